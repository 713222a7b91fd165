//! The embedded store: SQLite in WAL mode with `synchronous=FULL`.
//!
//! | File | What it holds |
//! |---|---|
//! | `schema` | the tables, as numbered migrations |
//! | `counting` | counters that a migration added, made up from the rows before anything else runs |
//! | `open` | opening a connection, and what is wrong with a file that does not open |
//! | `committer` | the writer's thread: savepoints, group commit, recovery from failed writes |
//! | `inbox` | what waits for the writer: a turn for each developer |
//! | `readers` | the readers' threads: one snapshot per query |
//! | `desk` | what waits for the readers of a kind: a turn for each developer |
//! | `wal`, `gate` | checkpoints, and room in the write-ahead log |
//! | `mark` | what remembers how far the database was |
//! | `unit_of_work` | a connection in a transaction: the type that implements `Read` and `Tx` |
//! | `read`, `write`, `log`, `keys`, `audit`, `sessions`, `cascade`, `ended` | the row primitives |
//! | `places` | finding ids and times in a log |
//! | `checksum`, `backfill`, `damages` | what an event's row has to be, and which are not |
//! | `plan` | in daily builds: the check that no statement of a transaction goes through a table |
//! | `bounded` | the test that what has ended costs nothing |
//! | `usage` | what a developer has, counted where it is written |
//! | `rows` | rows as the rules' types |
//! | `backup` | a consistent copy while the service runs |
//! | `check` | looking at everything, while the service runs or not |

mod audit;
mod backfill;
mod backup;
#[cfg(test)]
mod bounded;
mod cascade;
mod check;
mod checksum;
mod committer;
mod counting;
mod damages;
mod desk;
mod ended;
mod gate;
mod grant_list;
mod inbox;
mod keys;
mod log;
mod mark;
mod open;
mod places;
#[cfg(debug_assertions)]
mod plan;
mod read;
mod readers;
mod rows;
mod schema;
mod scope_names;
mod sessions;
mod unit_of_work;
mod usage;
mod wal;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use grantex_core::env::{Clock, Rng};
use grantex_core::store::{Command, Health, Listener, Needs, Query, QueryKind, Scope, Store};

pub use backup::{BackupError, backup};
pub use check::{CheckError, Found, Problem, check};
use committer::Committer;
use damages::Damages;
use gate::Gate;
pub use mark::MARK_FILE;
pub use open::{Loss, OpenError};
use readers::Readers;
use wal::Upkeep;

/// The database's file name inside the data directory.
pub const FILE_NAME: &str = "grantex.db";

/// What a store needs from outside.
#[derive(Clone)]
pub struct Environment {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives random bits.
    pub rng: Arc<dyn Rng>,
    /// Gets the notice of every commit; `()` where nothing listens.
    pub listener: Arc<dyn Listener>,
}

/// What the writer's thread and the readers' threads share.
#[derive(Default)]
struct Common {
    damages: Damages,
    gate: Gate,
    /// How large the write-ahead log was when it was last looked at.
    wal_bytes: AtomicU64,
}

/// A store in one SQLite file. [Closing](Self::close) or dropping it finishes the commands that are
/// queued, and leaves a file that is whole by itself.
pub struct SqliteStore {
    committer: Committer,
    readers: Readers,
}

impl SqliteStore {
    /// Opens or makes the database in `dir`, brings its tables up to date and checks it. The caller
    /// holds the [`DataDir`](crate::DataDir) lock. Refuses a database that has lost something.
    pub fn open(dir: &Path, environment: &Environment) -> Result<Self, OpenError> {
        Self::open_with(dir, environment, Loss::Refuse)
    }

    /// The same; with [`Loss::Accept`] it goes on with what is there.
    pub fn open_with(dir: &Path, environment: &Environment, loss: Loss) -> Result<Self, OpenError> {
        let path = dir.join(FILE_NAME);
        let sequence = mark::check(dir, loss)?;
        let mut connection = open::writer(&path)?;
        schema::migrate(&mut connection, &path)?;
        counting::count_debits(&mut connection, &path)?;
        let common = Arc::<Common>::default();
        let upkeep = Upkeep::start(dir, sequence, &connection, &environment.clock, &common)?;
        Ok(Self {
            committer: Committer::start(path.clone(), connection, environment, &common, upkeep)?,
            readers: Readers::start(&path, &environment.clock, &common)?,
        })
    }

    /// Ends it in good order: finishes the commands that are queued, and folds everything into the
    /// one file. Blocks.
    pub fn close(&self) {
        self.committer.close();
    }
}

impl Store for SqliteStore {
    /// Reads by key take microseconds here: what will be read need not be known before.
    fn submit(&self, scope: Scope, _: Needs, command: Box<dyn Command>) {
        self.committer.submit(scope, command);
    }

    fn query(&self, scope: Scope, kind: QueryKind, query: Query) {
        self.readers.query(scope, kind, query);
    }

    fn health(&self) -> Health {
        self.committer.health()
    }
}
