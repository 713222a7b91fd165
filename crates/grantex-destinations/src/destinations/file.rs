//! Files and standard output, as NDJSON.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::batch::{Batch, Place};
use crate::destination::{BatchLimits, EventDestination, SendError};
use crate::error::ConfigError;

/// Where the lines go.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileOptions {
    /// The file, made if it is not there; `-` for standard output.
    pub path: PathBuf,
}

impl FileOptions {
    /// This file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

/// Appends each event as one line to a file, a pipe or a device.
///
/// A batch that was cut off – a killed process, a full disk – is cut back to where it began before
/// it is written again, so that no line is torn or doubled. A file that was moved away (rotated) is
/// made again, readable by its owner only, as each file that is made is.
///
/// Standard output, a pipe, a terminal and a device can be neither cut back nor synced: there,
/// lines may be doubled after a crash. When a pipe has no reader any more, the destination ends.
#[derive(Debug)]
pub struct FileDestination {
    name: String,
    output: Arc<Output>,
}

#[derive(Debug)]
enum Output {
    Stdout,
    File { path: PathBuf, open: Mutex<Option<File>> },
}

/// Where a batch begins.
#[derive(Debug, Serialize, Deserialize)]
struct Begin {
    /// Bytes before it.
    length: u64,
    /// Which file that is said of: it may be rotated.
    file: u64,
    /// What stood there before did not end its line.
    ends_line: bool,
}

impl FileDestination {
    /// A destination of this name.
    pub fn new(name: impl Into<String>, options: FileOptions) -> Result<Self, ConfigError> {
        let output = if options.path == Path::new("-") || is_standard_output(&options.path) {
            Output::Stdout
        } else if options.path.as_os_str().is_empty() {
            return Err(ConfigError::value("path", "names no file"));
        } else {
            Output::File { path: options.path, open: Mutex::new(None) }
        };
        Ok(Self { name: name.into(), output: Arc::new(output) })
    }

    async fn blocking<T, F>(&self, work: F) -> Result<T, SendError>
    where
        T: Send + 'static,
        F: FnOnce(&Output) -> io::Result<T> + Send + 'static,
    {
        let output = Arc::clone(&self.output);
        let done = tokio::task::spawn_blocking(move || {
            work(&output).map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => {
                    SendError::Over(format!("{output}: this pipe has no reader any more"))
                }
                _ => SendError::retry(format!("{output}: {error}")),
            })
        });
        done.await.unwrap_or_else(|error| Err(SendError::retry(error.to_string())))
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File { path, .. } => path.display().fmt(f),
        }
    }
}

impl Output {
    /// Calls `work` with the file, which is opened (again) where the path leads to another one or
    /// none.
    fn with<T>(&self, work: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<Option<T>> {
        let Self::File { path, open } = self else { return Ok(None) };
        let mut open = open.lock();
        let is_current = match (&*open, std::fs::metadata(path)) {
            (Some(file), Ok(there)) => identity(&file.metadata()?) == identity(&there),
            _ => false,
        };
        if !is_current {
            *open = Some(open_at(path)?);
        }
        open.as_mut().map(work).transpose()
    }
}

impl Output {
    /// What is there, in words.
    fn probe(&self) -> io::Result<String> {
        match self {
            // To open a pipe and close it again would end its reader.
            Self::File { path, .. }
                if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) =>
            {
                Ok(format!("{self} is no file, so nothing in it is synced"))
            }
            _ => {
                let size = self.with(|file| Ok(file.metadata()?.len()))?;
                Ok(size.map_or(self.to_string(), |size| {
                    format!("{self} can be written; it has {size} bytes")
                }))
            }
        }
    }
}

/// A name of this process's own standard output, which leads to a pipe, a socket or a terminal:
/// those are written to as they are, for not all of them can be opened by their names.
fn is_standard_output(path: &Path) -> bool {
    let names = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
    names.iter().any(|name| path == Path::new(name))
        && !std::fs::metadata(path).is_ok_and(|there| there.is_file())
}

fn open_at(path: &Path) -> io::Result<File> {
    match std::fs::metadata(path) {
        Ok(there) if !there.is_file() => open_stream(path),
        Ok(_) => options().open(path),
        Err(_) => {
            let made = options().open(path)?;
            sync_folder(path)?;
            Ok(made)
        }
    }
}

/// Opens a pipe or a device to write only: a process that could also read from a pipe would not
/// learn that its reader is gone. Does not wait for a reader; the next try finds one.
#[cfg(unix)]
fn open_stream(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags =
        OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let stream = rustix::fs::open(path, flags, Mode::empty())?;
    rustix::fs::fcntl_setfl(&stream, OFlags::APPEND)?;
    Ok(File::from(stream))
}

#[cfg(not(unix))]
fn open_stream(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).open(path)
}

/// Makes durable what was written, where that means anything.
fn sync(file: &File) -> io::Result<()> {
    if !file.metadata()?.is_file() {
        return Ok(());
    }
    match file.sync_data() {
        // Some file systems know nothing of it.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

/// A file that is made is its owner's alone: events say who may do what. One that is there keeps
/// its mode.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(unix)]
fn identity(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn identity(_: &std::fs::Metadata) -> u64 {
    0
}

/// A new file's name is durable only with its folder.
fn sync_folder(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// Where a batch begins; nowhere in what is no file.
fn begin(file: &mut File) -> io::Result<Option<Begin>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let length = metadata.len();
    let mut last = [b'\n'];
    if length > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok(Some(Begin { length, file: identity(&metadata), ends_line: last == [b'\n'] }))
}

fn write(file: &mut File, begin: Option<Begin>, lines: &[u8]) -> io::Result<()> {
    let metadata = file.metadata()?;
    let begin =
        begin.filter(|begin| begin.file == identity(&metadata) && begin.length <= metadata.len());
    if let Some(begin) = begin {
        if begin.length < metadata.len() {
            file.set_len(begin.length)?;
        }
        if !begin.ends_line {
            file.write_all(b"\n")?;
        }
    }
    file.write_all(lines)
}

impl EventDestination for FileDestination {
    fn name(&self) -> &str {
        &self.name
    }

    fn defaults(&self) -> BatchLimits {
        BatchLimits { events: 1000, bytes: 4 << 20, age: std::time::Duration::from_millis(200) }
    }

    fn max_concurrency(&self) -> usize {
        1
    }

    async fn place(&self, _: &Batch) -> Result<Place, SendError> {
        let begin = self.blocking(|output| Ok(output.with(begin)?.flatten())).await?;
        Ok(serde_json::to_value(begin).unwrap_or_default())
    }

    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        let lines = batch.to_ndjson();
        let begin: Option<Begin> = serde_json::from_value(batch.place().clone()).ok().flatten();
        self.blocking(move |output| {
            if output.with(|file| write(file, begin, &lines))?.is_none() {
                io::stdout().lock().write_all(&lines)?;
            }
            Ok(())
        })
        .await
    }

    async fn flush(&self) -> Result<(), SendError> {
        self.blocking(|output| {
            if output.with(|file| sync(file))?.is_none() {
                io::stdout().lock().flush()?;
            }
            Ok(())
        })
        .await
    }

    async fn probe(&self) -> Result<String, SendError> {
        self.blocking(Output::probe).await
    }
}
