//! The store: its parts, opened in order.

use std::path::Path;
use std::sync::Arc;

use grantex_core::store::{Command, Health, Needs, Query, QueryKind, Scope, Store};

use super::committer::Committer;
use super::common::{Common, Environment};
use super::open::{self, FILE_NAME, Loss, OpenError};
use super::readers::Readers;
use super::wal::Upkeep;
use super::{counting, mark, schema};
use crate::data_dir::warn_of_other_writers;

/// A store in one SQLite file. [Closing](Self::close) or dropping it finishes the commands that are
/// queued, and leaves a file that is complete by itself.
pub struct SqliteStore {
    committer: Committer,
    readers: Readers,
}

impl SqliteStore {
    /// Opens or makes the database in `dir`, brings its tables up to date and checks it. The caller
    /// holds the [`DataDir`](crate::DataDir) lock. Refuses a database that has lost data.
    pub fn open(dir: &Path, environment: &Environment) -> Result<Self, OpenError> {
        Self::open_with(dir, environment, Loss::Refuse)
    }

    /// The same; with [`Loss::Accept`] it continues with the remaining data.
    pub fn open_with(dir: &Path, environment: &Environment, loss: Loss) -> Result<Self, OpenError> {
        let path = dir.join(FILE_NAME);
        warn_of_other_writers(&path);
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

    /// Finishes the commands that are queued, and copies the write-ahead log into the one file.
    /// Blocks.
    pub fn close(&self) {
        self.committer.close();
    }
}

impl Store for SqliteStore {
    /// Reads by key take microseconds here: the rows to read need not be named before.
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
