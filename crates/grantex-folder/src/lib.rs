//! A folder that one process uses alone, and whose files only its owner reads: the service's data
//! directory, and a forwarder's state folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

/// The file that is locked. It holds the process id of the lock's holder, for error messages.
pub const LOCK_FILE: &str = "lock";

/// The right to use a folder alone, for as long as the value lives. The operating system keeps the
/// lock and ends it with the process, however the process ends.
///
/// ```
/// # fn main() -> Result<(), grantex_folder::LockError> {
/// # let parent = tempfile::tempdir()?;
/// let folder = parent.path().join("data");
/// let lock = grantex_folder::Lock::take(&folder)?;
/// assert!(grantex_folder::Lock::take(&folder).is_err());
/// drop(lock);
/// assert!(grantex_folder::Lock::take(&folder).is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Why a folder cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has the lock.
    #[error("in use by another process{}", .pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    InUse {
        /// Its process id, where the lock file has it.
        pid: Option<u32>,
    },
    /// The folder cannot be made, or its lock file cannot be opened.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Lock {
    /// Makes the folder if it does not exist (readable by its owner only) and locks it. Never
    /// waits.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        make(folder)?;
        let mut file = private_file(&folder.join(LOCK_FILE))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let read = file.read_to_string(&mut pid);
                let pid = read.ok().and_then(|_| pid.trim().parse().ok());
                return Err(LockError::InUse { pid });
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        // The process id is only for the message above, so a full disk is no reason to fail.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { file })
    }

    /// The locked file.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// Opens a file for reading and writing. A file that does not exist is made, readable by its owner
/// only.
pub fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(unix)]
fn make(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_names_the_process_that_has_the_first() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        let first = Lock::take(&folder).unwrap();
        let refused = Lock::take(&folder).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("in use by another process (pid {})", std::process::id())
        );
        drop(first);
        Lock::take(&folder).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_io_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = Lock::take(&file.path().join("folder")).unwrap_err();
        assert!(matches!(refused, LockError::Io(_)), "{refused}");
    }

    #[cfg(unix)]
    #[test]
    fn others_than_the_owner_read_nothing() {
        use std::os::unix::fs::PermissionsExt as _;
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        let _lock = Lock::take(&folder).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join(LOCK_FILE))), (0o700, 0o600));
    }
}
