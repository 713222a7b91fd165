use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The database in a state folder.
pub(super) const DATABASE: &str = "forward.db";

/// Why a forwarder's state cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another forwarder has it.
    #[error(
        "the state folder {folder} is in use by another forwarder{holder}; stop that one, or give this one a folder of its own"
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// ` (pid 123)`, if it says so.
        holder: String,
    },
    /// There is no state in it.
    #[error(
        "there is no forwarder's state in {0}: either none has run with this state folder, or the folder was removed"
    )]
    Missing(PathBuf),
    /// It is not there any more, or another one is in its place.
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
        /// What the operating system said.
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
        Some(rusqlite::ErrorCode::ReadOnly) => "; may this user write there?",
        _ => "",
    }
}

/// The right to forward with a state folder, for as long as the value lives: a lock of the
/// operating system, which dies with the process however that ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Makes the folder if it is not there (readable by its owner only) and locks it.
    pub fn take(folder: &Path) -> Result<Self, StateError> {
        let io = |source| StateError::Io { folder: folder.to_owned(), source };
        make(folder).map_err(io)?;
        let mut file = private().open(folder.join("lock")).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let holder = match file.read_to_string(&mut pid) {
                    Ok(_) if !pid.trim().is_empty() => format!(" (pid {})", pid.trim()),
                    _ => String::new(),
                };
                return Err(StateError::InUse { folder: folder.to_owned(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        // Only for the message above: the lock itself is the operating system's.
        if file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).is_err() {
            tracing::debug!("the lock file does not take the process id");
        }
        Ok(Self { _file: file })
    }
}

#[cfg(unix)]
fn make(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Dead letters hold events: nobody else reads them.
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

/// Makes the database's file, so that it and what `SQLite` puts beside it are never anybody else's
/// to read.
pub(super) fn make_private(path: &Path) -> Result<(), StateError> {
    private()
        .open(path)
        .map(drop)
        .map_err(|source| StateError::Io { folder: path.to_owned(), source })?;
    owner_only(path)
}

/// Whether this folder is there or could be made, and is this user's to write.
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
