//! The folder that holds everything one service keeps, and the lock on it.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use grantex_core::lease::Leases;
use grantex_folder::{Lock, LockError};

use crate::folder_leases::FolderLeases;

/// A data directory that this process alone uses, for as long as the value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: Arc<Lock>,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error(
        "the data directory {path} is in use by another grantex process{}; stop that process or \
         choose another --data-dir",
        .pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Its process id, if it is known.
        pid: Option<u32>,
    },
    /// It cannot be made or opened.
    #[error("the data directory {path} cannot be used: {source}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
}

/// Gives a new file to the owner of its folder. An administrator may work in the folder of the
/// service's user, who has to be able to read the file; others cannot change a file's owner, and
/// need not.
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

/// Who can write here can replace the keys and the data. That is no reason to refuse: volumes of
/// containers belong to a group that may write.
pub(crate) fn warn_of_other_writers(place: &Path) {
    const GROUP_OR_OTHERS_WRITE: u32 = 0o022;
    if let Ok(found) = fs::metadata(place)
        && found.mode() & GROUP_OR_OTHERS_WRITE != 0
    {
        let (path, mode) = (place.display(), format!("{:03o}", found.mode() & 0o777));
        tracing::warn!(%path, mode, "users other than its owner can write to the data directory; \
            to prevent it, run chmod go-w on it");
    }
}

impl DataDir {
    /// The leases of the jobs that belong to its data.
    pub fn leases(&self) -> Arc<dyn Leases> {
        Arc::new(FolderLeases::new(&self.path, &self.lock))
    }

    /// Makes the directory if it does not exist (readable by its owner only) and locks it. The lock
    /// ends with the process, however it ends.
    pub fn lock(path: &Path) -> Result<Self, DataDirError> {
        let io = |source| DataDirError::Io { path: path.to_owned(), source };
        let lock = Lock::take(path).map_err(|error| match error {
            LockError::InUse { pid } => DataDirError::InUse { path: path.to_owned(), pid },
            LockError::Io(source) => io(source),
        })?;
        give_to_owner(lock.file(), path).map_err(io)?;
        warn_of_other_writers(path);
        Ok(Self { path: path.to_owned(), lock: Arc::new(lock) })
    }

    /// Logs a warning where others than its owner may write the file or folder `name` in the
    /// directory.
    pub fn warn_of_other_writers(&self, name: &str) {
        warn_of_other_writers(&self.path.join(name));
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
