//! Opening the database, and the reasons why it cannot be opened.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::data_dir::give_to_owner;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

/// The database's file name inside the data directory.
pub const FILE_NAME: &str = "grantex.db";

/// Prepared statements kept per connection: more than the store has different ones.
const STATEMENTS: usize = 256;
/// The writer's page cache, in KiB: the pages that some thousand active grants change again and
/// again.
const WRITER_CACHE_KIB: i64 = 16 << 10;
/// Pages of 4 KiB in the write-ahead log before they are copied into the database. What is changed
/// again and again is copied once for all the times between, so more means less work; 16 MiB are
/// still read back in milliseconds at start.
const CHECKPOINT_PAGES: i64 = 4096;
/// How long to wait for another process that has the file (a backup, a shell).
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// Files up to this size are read whole at start to check every page; larger ones would delay
/// the start by minutes, and are only checked when a page is used.
const CHECKED_WHOLE: u64 = 1 << 30;

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is not what was written.
    #[error(
        "the database {path} is damaged: {detail}. Nothing was changed. Restore the data \
         directory from a backup (made by `grantex backup`), or move the file away to start with \
         an empty database"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The file is a SQLite database of something else.
    #[error("{path} is a SQLite database of another program; choose another --data-dir")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is intact, but lacks committed data, or is another database.
    #[error(
        "the database {path} has lost committed data: {detail}. Nothing was changed. Restore the \
         data directory with all its files from a backup into an empty folder, or find the \
         grantex.db-wal that belongs to the database. To continue with what is left, and lose the rest for good, start once with --accept-loss"
    )]
    Lost {
        /// The file.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// The file was written by a later version.
    #[error(
        "{path} was written by a newer version of Grantex (its schema is {version}, this version \
         knows {known}); use that version or a newer one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's version.
        version: usize,
        /// The newest version this program knows.
        known: usize,
    },
    /// The file cannot be reached, read or written.
    #[error("the database {path} cannot be opened: {detail}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The error of SQLite or the operating system.
        detail: String,
    },
}

/// What to do about a database that lost data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Do not open it.
    Refuse,
    /// Continue with the remaining data.
    Accept,
}

/// Classifies `error`.
pub(super) fn describe(path: &Path, error: &rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    let detail = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            OpenError::Damaged { path, detail }
        }
        _ => OpenError::Unusable { path, detail },
    }
}

/// Sets what every connection has in common.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Without it SQLite uses the value bound to a `LIMIT`, and plans the statement again whenever
    // that is bound, which costs more than most of these statements (`sqlite3ExprIsInteger`).
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// The connection that writes.
pub(super) fn writer(path: &Path) -> Result<Connection, OpenError> {
    // SQLite would create the file readable by all users.
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .and_then(|file| give_to_owner(&file, path.parent().unwrap_or(Path::new("."))))
        .map_err(|error| OpenError::Unusable {
            path: path.to_owned(),
            detail: error.to_string(),
        })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        prepare(&connection)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "cache_size", WRITER_CACHE_KIB.saturating_neg())?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        // The space that it grew to is released when the log restarts.
        connection.pragma_update(
            None,
            "journal_size_limit",
            CHECKPOINT_PAGES.saturating_mul(4096),
        )?;
        Ok(connection)
    };
    open().map_err(|error| describe(path, &error))
}

/// A connection that only reads.
pub(super) fn reader(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        prepare(&connection)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    };
    open().map_err(|error| describe(path, &error))
}

/// A connection that only reads, and leaves all files as they are when it closes.
pub(super) fn untouching(path: &Path) -> Result<Connection, OpenError> {
    let connection = reader(path)?;
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(|error| describe(path, &error))?;
    Ok(connection)
}

/// Checks that pages and logs are intact.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let damaged = |detail: String| OpenError::Damaged { path: path.to_owned(), detail };
    let size = std::fs::metadata(path).map_or(0, |file| file.len());
    if size <= CHECKED_WHOLE {
        let verdict: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|error| describe(path, &error))?;
        if verdict != "ok" {
            return Err(damaged(verdict));
        }
    } else {
        tracing::info!(
            bytes = size,
            "the database is too large to check at the start; its pages are checked when they are \
             read"
        );
    }
    // Each log must reach from just after what was trimmed to its head.
    let broken: i64 = connection
        .query_row(
            "SELECT count(*) FROM logs l WHERE l.head > l.trimmed AND (
                 coalesce((SELECT min(position) FROM events e
                     WHERE e.developer_id = l.developer_id), 0) != l.trimmed + 1
              OR coalesce((SELECT max(position) FROM events e WHERE e.developer_id = l.developer_id), 0) != l.head)",
            [],
            |row| row.get(0),
        )
        .map_err(|error| describe(path, &error))?;
    if broken > 0 {
        return Err(damaged(format!("{broken} event logs have missing events")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_is_planned_once_whatever_is_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let writing = writer(&path).unwrap();
        writing.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY)").unwrap();
        for connection in [writing, reader(&path).unwrap()] {
            let mut statement =
                connection.prepare("SELECT id FROM t WHERE id > ?1 LIMIT ?2").unwrap();
            for limit in 1..10 {
                assert!(statement.query((0, limit)).unwrap().next().unwrap().is_none());
            }
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
        }
    }
}
