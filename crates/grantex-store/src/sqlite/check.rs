//! A check of everything in a data folder, offline or while the service uses it.
//!
//! It only reads, and in slices, each of one short snapshot, so that the service beside it never
//! waits. Only the pages of a table are checked in one piece, as SQLite offers nothing else; that
//! is aborted if the service's write-ahead log grows too large meanwhile.

mod events;
mod rows;

use std::path::{Path, PathBuf};

use grantex_core::store::Read;
use grantex_types::{DeveloperId, Timestamp};
use rusqlite::Connection;

use super::backup::while_wal_is_small;
use super::damages::Damages;
use super::open::FILE_NAME;
use super::open::{self, OpenError, describe};
use super::unit_of_work::UnitOfWork;
use super::{mark, schema};

/// A damaged or missing item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The kind of item: `loss`, `page`, `log`, `event`, `budget`, `grant`, `row` or `key`.
    pub kind: &'static str,
    /// Which one.
    pub place: String,
    /// What is wrong with it.
    pub detail: String,
}

/// What a check reports.
#[derive(Debug)]
pub enum Found {
    /// It begins to check this.
    Looking(String),
    /// So many rows of it were checked.
    Rows(u64),
    /// An item is damaged or missing.
    Problem(Problem),
}

/// Why there is nothing to check.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There is no database.
    #[error("{0} has no database; check --data-dir")]
    NothingThere(PathBuf),
    /// It cannot be opened, or is of another release.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It was written by an older release.
    #[error(
        "{0} was written by an older version of Grantex; start this version on it once, then \
         check it"
    )]
    Older(PathBuf),
}

/// The receiver of the results.
type Sink<'s> = &'s mut dyn FnMut(Found);

/// Checks everything in the database of a data folder. `also` can check what else depends on it, in
/// one more snapshot.
pub fn check(
    data_dir: &Path,
    now: Timestamp,
    largest_wal: u64,
    sink: Sink<'_>,
    also: impl FnOnce(&dyn Read) -> Vec<Problem>,
) -> Result<(), CheckError> {
    let path = data_dir.join(FILE_NAME);
    if !path.is_file() {
        return Err(CheckError::NothingThere(data_dir.to_owned()));
    }
    // Before the database: a running service continues meanwhile.
    let mark = mark::Mark::read(data_dir)?;
    let connection = open::untouching(&path)?;
    let loss = |detail| {
        Found::Problem(Problem { kind: "loss", place: path.display().to_string(), detail })
    };
    match schema::version(&connection, &path)? {
        // Where a database was, an empty one is a loss and no older version.
        0 if mark.is_some() => {
            mark::missing(data_dir, mark.as_ref(), None).map(loss).into_iter().for_each(sink);
            return Ok(());
        }
        version if version < schema::newest() => return Err(CheckError::Older(path)),
        _ => {}
    }
    let damages = Damages::default();
    let checker = Checker { connection: &connection, path: &path, damages: &damages, now };
    let progress = mark::Progress::read(&connection).map_err(|error| describe(&path, &error))?;
    if let Some(detail) = mark::missing(data_dir, mark.as_ref(), Some(&progress)) {
        // A service that runs has not stopped; its mark is there.
        sink(loss(detail));
    }
    checker.pages(data_dir, largest_wal, sink);
    checker.logs(sink);
    checker.budgets(sink);
    checker.grants(sink);
    checker.references(sink);
    sink(Found::Looking("keys".into()));
    let problems = checker.snapshot(|unit| Ok(also(unit)));
    match problems {
        Ok(problems) => problems.into_iter().for_each(|problem| sink(Found::Problem(problem))),
        Err(error) => checker.unreadable("key_fingerprints", &error, sink),
    }
    Ok(())
}

struct Checker<'c> {
    connection: &'c Connection,
    path: &'c Path,
    damages: &'c Damages,
    now: Timestamp,
}

impl Checker<'_> {
    /// Runs queries on one snapshot.
    fn snapshot<T>(
        &self,
        work: impl FnOnce(&UnitOfWork<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let transaction = self.connection.unchecked_transaction()?;
        let unit = UnitOfWork {
            connection: &transaction,
            now: self.now,
            damages: self.damages,
            writing: None,
        };
        let result = work(&unit)?;
        transaction.finish()?;
        Ok(result)
    }

    fn unreadable(&self, what: &str, error: &rusqlite::Error, sink: Sink<'_>) {
        let place = format!("{} {what}", self.path.display());
        sink(Found::Problem(Problem { kind: "page", place, detail: error.to_string() }));
    }

    /// Every page of every table, and each index against its table.
    fn pages(&self, data_dir: &Path, largest_wal: u64, sink: Sink<'_>) {
        let tables = self.snapshot(|unit| {
            let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
            let mut statement = unit.connection.prepare(sql)?;
            statement
                .query_map([], |row| row.get::<_, String>(0))?
                .collect::<rusqlite::Result<Vec<_>>>()
        });
        let tables = match tables {
            Ok(tables) => tables,
            Err(error) => return self.unreadable("schema", &error, sink),
        };
        for table in tables {
            sink(Found::Looking(format!("pages of {table}")));
            let verdict =
                while_wal_is_small(self.connection, data_dir, largest_wal, |connection| {
                    let mut statement =
                        connection.prepare(&format!("PRAGMA integrity_check({table})"))?;
                    statement
                        .query_map([], |row| row.get::<_, String>(0))?
                        .collect::<rusqlite::Result<Vec<_>>>()
                });
            match verdict {
                Ok(Ok(lines)) => {
                    for detail in lines.into_iter().filter(|line| line != "ok") {
                        let place = format!("{} {table}", self.path.display());
                        sink(Found::Problem(Problem { kind: "page", place, detail }));
                    }
                }
                Ok(Err(error)) => self.unreadable(&table, &error, sink),
                Err(_) => {
                    let place = format!("{} {table}", self.path.display());
                    let detail = "its pages were not checked because the service's write-ahead \
                        log grew beyond --max-wal; check a backup instead"
                        .to_owned();
                    sink(Found::Problem(Problem { kind: "page", place, detail }));
                }
            }
        }
    }
}

/// An id that a query gave, for people.
fn developer(bytes: &[u8]) -> String {
    <[u8; 16]>::try_from(bytes).map_or_else(
        |_| format!("developer {bytes:02x?}"),
        |id| DeveloperId::from_bytes(id).to_string(),
    )
}
