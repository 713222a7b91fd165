//! A consistent copy of the database while the service runs.

use std::path::{Path, PathBuf};

use super::{FILE_NAME, open};

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is no database to copy.
    #[error("there is no database in {0}; is it the right --data-dir?")]
    NothingThere(PathBuf),
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] open::OpenError),
    /// The copy cannot be written.
    #[error("the copy {path} cannot be written: {detail}")]
    Write {
        /// The copy's file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
}

/// Copies the database of `data_dir` into the new file `target`: one snapshot, compacted. Writers
/// and readers go on meanwhile, in this and in other processes. The copy is checked before this returns.
pub fn backup(data_dir: &Path, target: &Path) -> Result<(), BackupError> {
    let source = data_dir.join(FILE_NAME);
    if !source.is_file() {
        return Err(BackupError::NothingThere(data_dir.to_owned()));
    }
    let failed = |error: &dyn std::error::Error| BackupError::Write {
        path: target.to_owned(),
        detail: error.to_string(),
    };
    let connection = open::reader(&source)?;
    // `VACUUM INTO` only reads this database, but `query_only` forbids it all the same.
    connection.pragma_update(None, "query_only", false).map_err(|error| failed(&error))?;
    connection.execute("VACUUM INTO ?1", [target.to_string_lossy()]).map_err(|error| failed(&error))?;
    let file = std::fs::File::open(target).map_err(|error| failed(&error))?;
    file.sync_all().map_err(|error| failed(&error))?;
    Ok(open::check(&open::reader(target)?, target)?)
}
