//! The unit of work: a connection inside a transaction.

use std::time::Duration;

use grantex_core::StoreError;
use grantex_core::env::Rng;
use grantex_core::log::StoredEvent;
use grantex_core::store::{Change, StoreResult};
use grantex_types::{DeveloperId, Timestamp};
use rusqlite::{CachedStatement, Connection, Params, Row};

use super::damages::Damages;
use super::values::store_error;

/// What a batch did that others must learn of once it is committed.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) changes: Vec<Change>,
    pub(super) events: Vec<(DeveloperId, StoredEvent)>,
    /// Bytes that were stored beside the logs.
    pub(super) stored: Vec<(DeveloperId, u64)>,
    /// How far the clock was behind a log, in milliseconds, at worst.
    pub(super) clock_behind_millis: u64,
    /// The commands that held the writer for too long, by name.
    pub(super) slow: Vec<(&'static str, Duration)>,
}

/// The row primitives over one connection in a transaction, at one time. Implements `Read` and
/// `Tx`.
pub(super) struct UnitOfWork<'c> {
    pub(super) connection: &'c Connection,
    pub(super) now: Timestamp,
    pub(super) damages: &'c Damages,
    /// `None` for a reader.
    pub(super) writing: Option<Writing<'c>>,
}

/// What only a writer has.
pub(super) struct Writing<'c> {
    pub(super) rng: &'c dyn Rng,
    pub(super) effects: &'c mut Effects,
}

impl UnitOfWork<'_> {
    pub(super) fn statement(&self, sql: &str) -> StoreResult<CachedStatement<'_>> {
        #[cfg(debug_assertions)]
        if self.writing.is_some() {
            super::plan::check(self.connection, sql)?;
        }
        self.connection.prepare_cached(sql).map_err(store_error)
    }

    /// The only row, if there is one.
    pub(super) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> StoreResult<Option<T>> {
        let mut statement = self.statement(sql)?;
        let mut rows = statement.query(params).map_err(store_error)?;
        let found = rows.next().and_then(|row| row.map(map).transpose()).map_err(store_error);
        drop(rows);
        #[cfg(test)]
        super::bounded::count(&statement);
        found
    }

    /// All rows.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> StoreResult<Vec<T>> {
        let mut statement = self.statement(sql)?;
        let rows = statement.query_map(params, map).map_err(store_error)?;
        let all = rows.collect::<rusqlite::Result<_>>().map_err(store_error);
        #[cfg(test)]
        super::bounded::count(&statement);
        all
    }

    /// Runs a statement and returns how many rows it changed.
    pub(super) fn execute(&self, sql: &str, params: impl Params) -> StoreResult<usize> {
        let mut statement = self.statement(sql)?;
        let changed = statement.execute(params).map_err(store_error);
        #[cfg(test)]
        super::bounded::count(&statement);
        changed
    }

    /// Runs a statement that changes one row, if that is still what was read.
    pub(super) fn execute_if_unchanged(&self, sql: &str, params: impl Params) -> StoreResult<()> {
        match self.execute(sql, params)? {
            1 => Ok(()),
            _ => Err(StoreError::Conflict { may_retry: true }),
        }
    }

    pub(super) fn effects(&mut self) -> StoreResult<&mut Effects> {
        match &mut self.writing {
            Some(writing) => Ok(writing.effects),
            None => Err(StoreError::Internal("a reader cannot write".into())),
        }
    }
}
