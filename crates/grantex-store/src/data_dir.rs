//! The folder that holds everything one service keeps, and the lock on it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

/// A data directory that this process alone uses, for as long as the value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error(
        "the data directory {path} is in use by another grantex process{holder}; stop that one or choose another --data-dir"
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// ` (pid 123)`, if it says so.
        holder: String,
    },
    /// It cannot be made or opened.
    #[error("the data directory {path} cannot be used: {source}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// Gives a file that was just made to whoever owns its folder: where an administrator works in the
/// folder of a service's user, that user has to be able to read it. Others than the administrator
/// cannot, and need not.
pub(crate) fn give_to_owner(file: &File, folder: &Path) -> std::io::Result<()> {
    let (owner, own) = (fs::metadata(folder)?, file.metadata()?);
    if owner.uid() == own.uid() {
        return Ok(());
    }
    match fchown(file, Some(owner.uid()), Some(owner.gid())) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        given => given,
    }
}

/// Whoever can write here can put other keys and other data in their place. No reason to refuse:
/// volumes of containers belong to a group that may write.
fn warn_of_other_writers(place: &Path) {
    const GROUP_OR_OTHERS_WRITE: u32 = 0o022;
    if let Ok(found) = fs::metadata(place)
        && found.mode() & GROUP_OR_OTHERS_WRITE != 0
    {
        let (path, mode) = (place.display(), format!("{:03o}", found.mode() & 0o777));
        tracing::warn!(%path, mode, "others than its owner can write here; if they should not: chmod go-w");
    }
}

impl DataDir {
    /// Makes the directory if it is not there (readable by its owner only) and locks it. The lock
    /// ends with the process, however it ends.
    pub fn lock(path: &Path) -> Result<Self, DataDirError> {
        let io = |source| DataDirError::Io { path: path.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(io)?;
        give_to_owner(&lock, path).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let holder = match lock.read_to_string(&mut pid) {
                    Ok(_) if !pid.trim().is_empty() => format!(" (pid {})", pid.trim()),
                    _ => String::new(),
                };
                return Err(DataDirError::InUse { path: path.to_owned(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        // Only for the message above: the lock itself is the operating system's.
        if lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).is_err() {
            tracing::debug!("the lock file does not take the process id");
        }
        for place in
            [path.to_owned(), path.join("signing-keys"), path.join(crate::sqlite::FILE_NAME)]
        {
            warn_of_other_writers(&place);
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
