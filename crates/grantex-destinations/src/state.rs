//! What a forwarder keeps: checkpoints, the batches in flight, dead letters, gaps, reports.
//!
//! One SQLite database in the state folder. Every change is one transaction with one fsync; a
//! second process may read and write dead letters beside the forwarder that runs.

mod dead_letters;
mod folder;
mod in_flight;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use grantex::EventId;
use grantex_folder::Lock;
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

pub use dead_letters::{DeadLetter, DeadLetters, Redelivery, RejectedEvent};
pub use folder::StateError;
pub(crate) use in_flight::InFlight;
pub use report::{Gap, Report};

/// How long a statement waits for another process that writes: `dead-letters` commands are short.
const BUSY: Duration = Duration::from_secs(10);

/// Changes with every change of the tables; a folder of a later version is refused.
const VERSION: i64 = 2;

const SCHEMA: &str = "
CREATE TABLE checkpoint (
    destination TEXT PRIMARY KEY,
    cursor      TEXT NOT NULL,
    delivered   TEXT,
    changed_at  INTEGER NOT NULL
) STRICT;
CREATE TABLE in_flight (
    destination TEXT NOT NULL,
    first       TEXT NOT NULL,
    last        TEXT NOT NULL,
    excluded    TEXT NOT NULL,
    settings    TEXT NOT NULL,
    place       TEXT NOT NULL,
    done        INTEGER NOT NULL,
    PRIMARY KEY (destination, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE dead_letter (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    destination TEXT NOT NULL,
    event_id    TEXT NOT NULL,
    event       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    at          INTEGER NOT NULL,
    tries       INTEGER NOT NULL,
    again       INTEGER NOT NULL,
    UNIQUE (destination, event_id)
) STRICT;
CREATE TABLE gap (
    destination TEXT NOT NULL,
    after       TEXT,
    at          INTEGER NOT NULL,
    reason      TEXT NOT NULL
) STRICT;
CREATE TABLE report (
    destination TEXT PRIMARY KEY,
    report      TEXT NOT NULL
) STRICT;
";

/// Which configuration of each destination has accepted something. Since version 2.
const PROOF: &str = "
CREATE TABLE proof (
    destination   TEXT PRIMARY KEY,
    configuration TEXT NOT NULL
) STRICT;
";

/// A destination's durable cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Everything up to here is delivered, hidden by the filter, or among the dead letters.
    pub cursor: EventId,
    /// The last event that the destination acknowledged.
    pub delivered: Option<EventId>,
}

/// A forwarder's state. Clones share it.
#[derive(Debug, Clone)]
pub struct State {
    connection: Arc<Mutex<Connection>>,
    /// Where it is; nowhere for one in memory.
    opened: Option<Arc<Opened>>,
}

/// The state folder, and which database it held when it was opened.
#[derive(Debug)]
struct Opened {
    folder: PathBuf,
    database: folder::FileId,
    _lock: Option<Lock>,
}

impl Opened {
    fn check(&self) -> Result<(), StateError> {
        match folder::FileId::of(&self.folder.join(folder::DATABASE)) {
            Ok(there) if there == self.database => Ok(()),
            _ => Err(StateError::Gone(self.folder.clone())),
        }
    }
}

impl State {
    /// The state in `folder`, which is made if it is not there and locked for as long as the value
    /// lives. A second forwarder on it is refused.
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        let lock = folder::lock(folder)?;
        folder::make_private(&folder.join(folder::DATABASE))?;
        Self::at(folder, Some(lock))
    }

    /// The state in a `folder` that another process may be forwarding with: to look at it, and to
    /// decide about dead letters.
    pub fn look(folder: &Path) -> Result<Self, StateError> {
        if !folder.join(folder::DATABASE).is_file() {
            return Err(StateError::Missing(folder.to_owned()));
        }
        Self::at(folder, None)
    }

    fn at(folder: &Path, lock: Option<Lock>) -> Result<Self, StateError> {
        let connection = connect(folder)?;
        let io = |source| StateError::Io { folder: folder.to_owned(), source };
        // The folder is found again although the process may change its directory.
        let folder = std::path::absolute(folder).map_err(io)?;
        let database = folder::FileId::of(&folder.join(folder::DATABASE)).map_err(io)?;
        let opened = Some(Arc::new(Opened { folder, database, _lock: lock }));
        Ok(Self { connection: Arc::new(Mutex::new(connection)), opened })
    }

    /// Whether a forwarder could start in `folder`, as far as that can be checked without creating
    /// or locking it.
    pub fn check(folder: &Path) -> Result<(), StateError> {
        if folder.join(folder::DATABASE).is_file() {
            return Self::look(folder).map(drop);
        }
        folder::can_be_made(folder)
            .map_err(|source| StateError::Io { folder: folder.to_owned(), source })
    }

    /// State that ends with the process.
    pub fn in_memory() -> Result<Self, StateError> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(SCHEMA)?;
        connection.execute_batch(PROOF)?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), opened: None })
    }

    /// Whether the folder still holds what was opened. If the folder was removed, every checkpoint
    /// is lost, although the open database of this process still seems to work.
    pub fn is_in_place(&self) -> Result<(), StateError> {
        self.opened.as_ref().map_or(Ok(()), |opened| opened.check())
    }

    /// A destination's checkpoint; `None` before its first one.
    pub async fn checkpoint(&self, destination: &str) -> Result<Option<Checkpoint>, StateError> {
        let destination = destination.to_owned();
        self.with(move |connection| checkpoint(connection, &destination)).await
    }

    /// Every destination's checkpoint, by name.
    pub async fn checkpoints(&self) -> Result<Vec<(String, Checkpoint)>, StateError> {
        self.with(|connection| {
            let mut statement =
                connection.prepare("SELECT destination FROM checkpoint ORDER BY destination")?;
            let names: Vec<String> =
                statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            let with_checkpoint = |name: String| {
                Ok(checkpoint(connection, &name)?.map(|checkpoint| (name, checkpoint)))
            };
            names.into_iter().filter_map(|name| with_checkpoint(name).transpose()).collect()
        })
        .await
    }

    /// Whether this configuration of a destination has accepted an event, or an operator has set
    /// that its refusals count.
    pub(crate) async fn is_proven(
        &self,
        destination: &str,
        configuration: &str,
    ) -> Result<bool, StateError> {
        let (destination, configuration) = (destination.to_owned(), configuration.to_owned());
        self.with(move |connection| {
            let sql = "SELECT 1 FROM proof WHERE destination = ?1 AND configuration = ?2";
            Ok(connection.prepare_cached(sql)?.exists([destination, configuration])?)
        })
        .await
    }

    /// Records that.
    pub(crate) async fn prove(
        &self,
        destination: &str,
        configuration: &str,
    ) -> Result<(), StateError> {
        let (destination, configuration) = (destination.to_owned(), configuration.to_owned());
        self.with(move |connection| {
            let sql = "INSERT OR REPLACE INTO proof (destination, configuration) VALUES (?1, ?2)";
            connection.prepare_cached(sql)?.execute([destination, configuration])?;
            Ok(())
        })
        .await
    }

    /// Sets a destination's place where nothing is in flight.
    pub(crate) async fn move_to(
        &self,
        destination: &str,
        checkpoint: Checkpoint,
        now_ms: u64,
    ) -> Result<(), StateError> {
        let destination = destination.to_owned();
        self.with(move |connection| write_checkpoint(connection, &destination, checkpoint, now_ms))
            .await
    }

    /// Runs `work` with the database, away from the threads that serve sockets.
    async fn with<T, F>(&self, work: F) -> Result<T, StateError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, StateError> + Send + 'static,
    {
        let state = self.clone();
        let checked = move || {
            state.is_in_place()?;
            work(&mut state.connection.lock())
        };
        match tokio::task::spawn_blocking(checked).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(StateError::Ended),
        }
    }
}

fn connect(folder: &Path) -> Result<Connection, StateError> {
    let path = folder.join(folder::DATABASE);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        0 => transaction.execute_batch(SCHEMA)?,
        1 | VERSION => {}
        later => return Err(StateError::Later { folder: folder.to_owned(), version: later }),
    }
    if version < VERSION {
        transaction.execute_batch(PROOF)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()?;
    Ok(connection)
}

fn checkpoint(
    connection: &Connection,
    destination: &str,
) -> Result<Option<Checkpoint>, StateError> {
    let row: Option<(String, Option<String>)> = connection
        .prepare_cached("SELECT cursor, delivered FROM checkpoint WHERE destination = ?1")?
        .query_row([destination], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    row.map(|(cursor, delivered)| {
        Ok(Checkpoint {
            cursor: id(&cursor)?,
            delivered: delivered.as_deref().map(id).transpose()?,
        })
    })
    .transpose()
}

fn write_checkpoint(
    connection: &Connection,
    destination: &str,
    checkpoint: Checkpoint,
    now_ms: u64,
) -> Result<(), StateError> {
    let delivered = checkpoint.delivered.map(|id| id.to_string());
    let sql = "INSERT INTO checkpoint (destination, cursor, delivered, changed_at) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (destination) DO UPDATE SET cursor = ?2, delivered = coalesce(?3, delivered), changed_at = ?4";
    connection.prepare_cached(sql)?.execute(params![
        destination,
        checkpoint.cursor.to_string(),
        delivered,
        now_ms.cast_signed()
    ])?;
    Ok(())
}

fn id(text: &str) -> Result<EventId, StateError> {
    text.parse().map_err(|_| StateError::Damaged(format!("{text:?} is no event id")))
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StateError> {
    serde_json::from_str(text).map_err(|error| StateError::Damaged(error.to_string()))
}

fn text(value: &impl serde::Serialize) -> Result<String, StateError> {
    serde_json::to_string(value).map_err(|error| StateError::Damaged(error.to_string()))
}
