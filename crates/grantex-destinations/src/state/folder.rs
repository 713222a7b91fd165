use std::fs;
use std::path::{Path, PathBuf};

use grantex_folder::{Lock, LockError, private_file};

/// The database in a state folder.
pub(super) const DATABASE: &str = "forward.db";

/// Why a forwarder's state cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another forwarder has it.
    #[error(
        "the state folder {folder} is in use by another forwarder{}; stop that one, or give this one a folder of its own",
        .pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// Its process id, if it is known.
        pid: Option<u32>,
    },
    /// There is no state in it.
    #[error(
        "there is no forwarder's state in {0}: either none has run with this state folder, or the folder was removed"
    )]
    Missing(PathBuf),
    /// It was removed, or another folder is in its place.
    #[error(
        "the state folder {0} was removed or replaced while the forwarder runs, so nothing is delivered: what would be \
         sent could not be written down. Put the folder back, or stop the forwarder and start it \
         again: without its checkpoints it begins at `since`, or with what happens then"
    )]
    Gone(PathBuf),
    /// A later version of this program wrote it.
    #[error(
        "the state folder {folder} was written by a later version (format {version}); use that version, or another folder"
    )]
    Later {
        /// The folder.
        folder: PathBuf,
        /// Its format.
        version: i64,
    },
    /// It cannot be made or opened.
    #[error("the state folder {folder} cannot be used: {source}")]
    Io {
        /// The folder.
        folder: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// It cannot be read or written now.
    #[error("the state cannot be read or written: {0}{hint}", hint = disk_hint(.0))]
    Database(#[from] rusqlite::Error),
    /// What it holds makes no sense.
    #[error("the state is damaged: {0}")]
    Damaged(String),
    /// The process is ending.
    #[error("the process is ending")]
    Ended,
}

fn disk_hint(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull | rusqlite::ErrorCode::SystemIoFailure) => {
            "; is the disk full?"
        }
        Some(rusqlite::ErrorCode::ReadOnly) => "; check that this user may write there",
        _ => "",
    }
}

/// Locks a state folder for this process; makes it if it does not exist.
pub(super) fn lock(folder: &Path) -> Result<Lock, StateError> {
    Lock::take(folder).map_err(|error| match error {
        LockError::InUse { pid } => StateError::InUse { folder: folder.to_owned(), pid },
        LockError::Io(source) => StateError::Io { folder: folder.to_owned(), source },
    })
}

/// Dead letters hold events: other users must not read them.
fn owner_only(path: &Path) -> Result<(), StateError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .map_err(|source| StateError::Io { folder: path.to_owned(), source })?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Which file a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId(#[cfg(unix)] (u64, u64));

impl FileId {
    #[cfg(unix)]
    pub(super) fn of(path: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = fs::metadata(path)?;
        Ok(Self((metadata.dev(), metadata.ino())))
    }

    #[cfg(not(unix))]
    pub(super) fn of(path: &Path) -> std::io::Result<Self> {
        fs::metadata(path).map(|_| Self())
    }
}

/// Creates the database's file, so that other users can never read it and the files that `SQLite`
/// puts beside it.
pub(super) fn make_private(path: &Path) -> Result<(), StateError> {
    private_file(path)
        .map(drop)
        .map_err(|source| StateError::Io { folder: path.to_owned(), source })?;
    owner_only(path)
}

/// Whether this folder exists or could be created, and this user can write to it.
pub(super) fn can_be_made(folder: &Path) -> std::io::Result<()> {
    let folder = std::path::absolute(folder)?;
    let there = folder.ancestors().find(|ancestor| ancestor.exists());
    let there = there.ok_or(std::io::ErrorKind::NotFound)?;
    if !there.is_dir() {
        return Err(std::io::ErrorKind::NotADirectory.into());
    }
    #[cfg(unix)]
    rustix::fs::access(there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)?;
    Ok(())
}
