//! A consistent copy of the database while the service runs.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use super::open::FILE_NAME;
use super::{mark, open};

/// How often it is looked how large the write-ahead log has become.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is no database to copy.
    #[error("{0} has no database; check --data-dir")]
    NothingThere(PathBuf),
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] open::OpenError),
    /// The service writes more meanwhile than there should be in its write-ahead log.
    #[error(
        "the service's write-ahead log grew beyond {0} bytes during the copy, so the copy was \
         stopped; try again when fewer writes happen, or raise --max-wal"
    )]
    TooMuchWritten(u64),
    /// The copy cannot be written.
    #[error("the copy {path} cannot be written: {detail}")]
    Write {
        /// The copy's file.
        path: PathBuf,
        /// SQLite's error.
        detail: String,
    },
}

/// Copies the database of `data_dir` into the new file `target`: one snapshot, compacted, with its
/// own mark beside it. Writers and readers go on meanwhile, in this and in other processes. The
/// copy is checked before this returns.
///
/// The service cannot restart its write-ahead log meanwhile. The copy is stopped when that is
/// larger than `largest_wal` bytes; 0 for no limit.
pub fn backup(data_dir: &Path, target: &Path, largest_wal: u64) -> Result<(), BackupError> {
    let source = data_dir.join(FILE_NAME);
    if !source.is_file() {
        return Err(BackupError::NothingThere(data_dir.to_owned()));
    }
    let failed = |error: &dyn std::error::Error| BackupError::Write {
        path: target.to_owned(),
        detail: error.to_string(),
    };
    let connection = open::untouching(&source)?;
    // `VACUUM INTO` only reads this database, but `query_only` forbids it all the same.
    connection.pragma_update(None, "query_only", false).map_err(|error| failed(&error))?;
    // SQLite fills an existing empty file; one that it creates would be readable by all users.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(target)
        .map_err(|error| failed(&error))?;
    let copied = while_wal_is_small(&connection, data_dir, largest_wal, |connection| {
        connection.execute("VACUUM INTO ?1", [target.to_string_lossy()])
    });
    copied.map_err(|_| BackupError::TooMuchWritten(largest_wal))?.map_err(|error| {
        match open::describe(&source, &error) {
            damaged @ open::OpenError::Damaged { .. } => BackupError::Open(damaged),
            _ => failed(&error),
        }
    })?;
    let file = File::open(target).map_err(|error| failed(&error))?;
    file.sync_all().map_err(|error| failed(&error))?;
    mark::seal(target)?;
    Ok(open::check(&open::reader(target)?, target)?)
}

/// The write-ahead log became too large.
pub(super) struct TooLarge;

/// Runs a long query, and interrupts it when the database's write-ahead log is larger than
/// `largest` bytes (0 for no limit): while it runs, the service cannot restart the log.
pub(super) fn while_wal_is_small<T>(
    connection: &Connection,
    data_dir: &Path,
    largest: u64,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<rusqlite::Result<T>, TooLarge> {
    let wal = data_dir.join(format!("{FILE_NAME}-wal"));
    let handle = connection.get_interrupt_handle();
    let (is_done, is_too_large) = (AtomicBool::new(false), AtomicBool::new(false));
    let result = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while largest > 0 && !is_done.load(Ordering::Relaxed) {
                if std::fs::metadata(&wal).is_ok_and(|file| file.len() > largest) {
                    is_too_large.store(true, Ordering::Relaxed);
                    handle.interrupt();
                }
                std::thread::park_timeout(LOOK_AGAIN);
            }
        });
        let result = work(connection);
        is_done.store(true, Ordering::Relaxed);
        watcher.thread().unpark();
        result
    });
    if result.is_err() && is_too_large.into_inner() { Err(TooLarge) } else { Ok(result) }
}
