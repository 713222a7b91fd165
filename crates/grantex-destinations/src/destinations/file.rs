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

/// Appends each event as one line to a file.
///
/// A batch that was cut off – a killed process, a full disk – is cut back to where it began before it
/// is written again, so that no line is torn or doubled. A file that was moved away (rotated) is made
/// again, readable by its owner only, as each file that is made is. Standard output cannot be cut back: there, lines may be doubled after a crash.
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
        let output = if options.path == Path::new("-") {
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
            work(&output).map_err(|error| SendError::retry(format!("{output}: {error}")))
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
    /// Calls `work` with the file, which is opened (again) where the path leads to another one or none.
    fn with<T>(&self, work: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<Option<T>> {
        let Self::File { path, open } = self else { return Ok(None) };
        let mut open = open.lock();
        let is_current = match (&*open, std::fs::metadata(path)) {
            (Some(file), Ok(there)) => identity(&file.metadata()?) == identity(&there),
            _ => false,
        };
        if !is_current {
            let is_new = !path.exists();
            *open = Some(options().open(path)?);
            if is_new {
                sync_folder(path)?;
            }
        }
        open.as_mut().map(work).transpose()
    }
}

/// A file that is made is its owner's alone: events say who may do what. One that is there keeps its mode.
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

fn begin(file: &mut File) -> io::Result<Begin> {
    let metadata = file.metadata()?;
    let length = metadata.len();
    let mut last = [b'\n'];
    if length > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok(Begin { length, file: identity(&metadata), ends_line: last == [b'\n'] })
}

fn write(file: &mut File, begin: Option<Begin>, lines: &[u8]) -> io::Result<()> {
    let metadata = file.metadata()?;
    let begin = begin.filter(|begin| begin.file == identity(&metadata) && begin.length <= metadata.len());
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
        let begin = self.blocking(|output| output.with(begin)).await?;
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
            if output.with(|file| file.sync_data())?.is_none() {
                io::stdout().lock().flush()?;
            }
            Ok(())
        })
        .await
    }

    async fn probe(&self) -> Result<String, SendError> {
        let size = self.blocking(|output| output.with(|file| Ok(file.metadata()?.len()))).await?;
        Ok(match size {
            None => "standard output".to_owned(),
            Some(size) => format!("{} can be written; it has {size} bytes", self.output),
        })
    }
}
