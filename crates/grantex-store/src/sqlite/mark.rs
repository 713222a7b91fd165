//! The mark: a small file beside the database that records its last commit, so that a loss of data
//! is detected.
//!
//! Once a second, if there were commits, the writer increments [`Progress::sequence`] in a
//! transaction that it commits in any case. A separate thread writes the mark after that commit, so
//! that everything the mark records is durable already. A start that finds a lower number, or
//! another database, has lost what was committed between.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use grantex_core::store::StoreResult;
use grantex_types::Timestamp;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::open::{self, FILE_NAME, Loss, OpenError, describe};
use super::schema;
use super::values::{int, store_error, time, uint};
use crate::data_dir::give_to_owner;

/// The mark's file name inside the data directory.
pub const MARK_FILE: &str = "grantex.mark";
/// How long to wait after a mark could not be written.
const PAUSE: Duration = Duration::from_secs(1);

/// Which database it is, and how far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Progress {
    /// Made once, when the database was.
    pub(super) identity: [u8; 16],
    /// Grows with each mark.
    pub(super) sequence: u64,
    /// Whether the last write recorded an orderly stop.
    pub(super) stopped: bool,
    /// Events that all logs together ever had.
    pub(super) events: u64,
}

impl Progress {
    /// The database's own record.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        connection.query_row(
            "SELECT identity, sequence, stopped, (SELECT coalesce(sum(head), 0) FROM logs) AS events FROM progress",
            [],
            |row| {
                Ok(Self {
                    identity: row.get("identity")?,
                    sequence: uint(row, "sequence")?,
                    stopped: row.get("stopped")?,
                    events: uint(row, "events")?,
                })
            },
        )
    }

    /// Writes sequence and state, in the transaction that is open.
    pub(super) fn write(&self, connection: &Connection) -> StoreResult<()> {
        let mut statement = connection
            .prepare_cached("UPDATE progress SET sequence = ?1, stopped = ?2")
            .map_err(store_error)?;
        statement.execute((int(self.sequence), self.stopped)).map_err(store_error)?;
        Ok(())
    }
}

/// The file's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) progress: Progress,
    pub(super) at: Timestamp,
}

impl Mark {
    /// The mark of a data directory; `None` if there is none that can be read.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, OpenError> {
        let path = dir.join(MARK_FILE);
        match fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok().as_ref().and_then(Self::parse)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(OpenError::Unusable { path, detail: error.to_string() }),
        }
    }

    fn parse(value: &Value) -> Option<Self> {
        let identity = u128::from_str_radix(value["database"].as_str()?, 16).ok()?;
        let progress = Progress {
            identity: identity.to_be_bytes(),
            sequence: value["sequence"].as_u64()?,
            stopped: value["stopped"].as_bool()?,
            events: value["events"].as_u64()?,
        };
        Some(Self { progress, at: value["at"].as_str()?.parse().ok()? })
    }

    /// Replaces the file. Its old content is as good until the new one is there.
    pub(super) fn write(&self, dir: &Path) -> std::io::Result<()> {
        let Progress { identity, sequence, stopped, events } = &self.progress;
        let text = json!({
            "database": format!("{:032x}", u128::from_be_bytes(*identity)),
            "sequence": sequence, "stopped": stopped, "events": events, "at": self.at,
        });
        let fresh = dir.join(format!("{MARK_FILE}.new"));
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        give_to_owner(&file, dir)?;
        writeln!(file, "{text}")?;
        file.sync_data()?;
        fs::rename(&fresh, dir.join(MARK_FILE))
    }
}

/// Writes marks in the background.
pub(super) struct Marks {
    queue: Option<Sender<Mark>>,
    thread: Option<JoinHandle<()>>,
}

impl Marks {
    pub(super) fn start(dir: &Path) -> Result<Self, OpenError> {
        let (queue, marks) = channel();
        let folder = dir.to_owned();
        let thread = std::thread::Builder::new()
            .name("marks".into())
            .spawn(move || write_marks(&folder, &marks))
            .map_err(|error| OpenError::Unusable {
                path: dir.join(MARK_FILE),
                detail: error.to_string(),
            })?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Has a mark written. Its content is durable already.
    pub(super) fn remember(&self, mark: Mark) {
        if let Some(queue) = &self.queue {
            // It listens as long as this lives.
            let _ = queue.send(mark);
        }
    }
}

impl Drop for Marks {
    /// Waits for the last one.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the mark panicked");
        }
    }
}

fn write_marks(dir: &Path, marks: &Receiver<Mark>) {
    let mut failing = false;
    while let Ok(mut mark) = marks.recv() {
        loop {
            // Only the newest counts.
            while let Ok(newer) = marks.try_recv() {
                mark = newer;
            }
            let Err(error) = mark.write(dir) else {
                failing = false;
                break;
            };
            if !failing {
                tracing::warn!(%error, "the mark beside the database cannot be written; data that \
                    a crash loses from now on may go unnoticed");
            }
            failing = true;
            match marks.recv_timeout(PAUSE) {
                Ok(newer) => mark = newer,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// Checks, without changing anything, whether the database of `dir` is the same as before, and
/// holds everything acknowledged at the last mark. Returns the sequence to continue from.
pub(super) fn check(dir: &Path, loss: Loss) -> Result<u64, OpenError> {
    let mark = Mark::read(dir)?;
    let found = find(dir)?;
    let sequence = |progress: Option<&Progress>| progress.map_or(0, |progress| progress.sequence);
    let next = sequence(found.as_ref()).max(sequence(mark.as_ref().map(|mark| &mark.progress)));
    let Some(detail) = missing(dir, mark.as_ref(), found.as_ref()) else { return Ok(next) };
    match loss {
        Loss::Refuse => Err(OpenError::Lost { path: dir.join(FILE_NAME), detail }),
        Loss::Accept => {
            tracing::warn!(
                detail,
                "the database has lost committed data; the service continues without it because \
                 of --accept-loss"
            );
            Ok(next)
        }
    }
}

/// Checks the database, and returns its own record: `None` if it is of a release without marks, or
/// new.
fn find(dir: &Path) -> Result<Option<Progress>, OpenError> {
    let path = dir.join(FILE_NAME);
    if !path.exists() {
        return Ok(None);
    }
    let connection = open::untouching(&path)?;
    if schema::version(&connection, &path)? == 0 {
        return Ok(None);
    }
    open::check(&connection, &path)?;
    if !schema::has_table(&connection, "progress", &path)? {
        return Ok(None);
    }
    Progress::read(&connection).map(Some).map_err(|error| describe(&path, &error))
}

/// What is missing, in words.
pub(super) fn missing(dir: &Path, mark: Option<&Mark>, found: Option<&Progress>) -> Option<String> {
    match (mark, found) {
        (None, Some(found)) => {
            // A copy of a database that was stopped in an orderly way is complete by itself.
            let name = dir.join(MARK_FILE);
            (!found.stopped && found.sequence > 0).then(|| {
                format!(
                    "the service was not stopped normally, and {}, which records how far the \
                     database was, is missing or unreadable; it cannot be determined whether data \
                     is missing",
                    name.display()
                )
            })
        }
        (Some(mark), None) => Some(format!(
            "the file is missing or empty; at {} it had {} events",
            mark.at, mark.progress.events
        )),
        (Some(mark), Some(found)) if mark.progress.identity != found.identity => Some(format!(
            "it is not the database that was here at {} with {} events",
            mark.at, mark.progress.events
        )),
        (Some(mark), Some(found)) if found.sequence < mark.progress.sequence => {
            Some(match mark.progress.events.saturating_sub(found.events) {
                0 => format!(
                    "no event is missing, but other data committed before {} is, such as API \
                     keys, agents and debits",
                    mark.at
                ),
                lost => format!(
                    "at {} it had {} events and now has {}: {lost} events are missing, with other \
                     data that was committed with them",
                    mark.at, mark.progress.events, found.events
                ),
            })
        }
        _ => None,
    }
}

/// Makes a copy of a database complete by itself: stopped in order, with its own mark beside it.
pub(super) fn seal(copy: &Path) -> Result<(), OpenError> {
    let seal = || -> rusqlite::Result<Mark> {
        let connection = Connection::open(copy)?;
        connection.execute("UPDATE progress SET stopped = 1", [])?;
        let progress = Progress::read(&connection)?;
        let at = connection.query_row(
            "SELECT coalesce(max(head_at), 0) AS at FROM logs",
            [],
            |row| time(row, "at"),
        )?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(Mark { progress, at })
    };
    let mark = seal().map_err(|error| describe(copy, &error))?;
    let unusable = |error: std::io::Error| OpenError::Unusable {
        path: copy.to_owned(),
        detail: error.to_string(),
    };
    File::open(copy).and_then(|file| file.sync_all()).map_err(unusable)?;
    let dir: PathBuf = copy.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
    mark.write(&dir).map_err(unusable)
}
