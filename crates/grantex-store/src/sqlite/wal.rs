//! The writer's upkeep of its file: checkpoints, room in the write-ahead log, marks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use grantex_core::env::Clock;
use grantex_core::store::StoreResult;
use rusqlite::Connection;

use super::common::Common;
use super::mark::{Mark, Marks, Progress};
use super::open::FILE_NAME;
use super::open::OpenError;
use super::values::store_error;

/// The write-ahead log grows no further while the readers of this process overlap. A commit alone
/// may exceed it, and so does a long snapshot of another process, such as a backup's: then it is as
/// large as what is written meanwhile. Four times what is checkpointed at once, so that it is
/// reached only if readers leave SQLite no moment to restart it.
pub(super) const LARGEST_WAL: u64 = 64 << 20;
/// How long to wait before trying again, when the log could not be emptied.
const ROOM_PAUSE: Duration = Duration::from_secs(1);
/// The longest time until committed data is copied into the database itself.
const CHECKPOINT_LAG: Duration = Duration::from_secs(10);
/// How far the mark may lag behind the commits: only the loss of younger commits may go undetected.
const MARK_LAG: Duration = Duration::from_secs(1);
/// How long to wait for readers at the end.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// The upkeep of one database.
pub(super) struct Upkeep {
    wal: PathBuf,
    progress: Progress,
    marks: Marks,
    clock: Arc<dyn Clock>,
    common: Arc<Common>,
    /// Since when there are commits that no mark records.
    unmarked_since: Option<Instant>,
    /// Since when there are commits that no checkpoint has copied.
    unfolded_since: Option<Instant>,
    /// When the log could not be emptied.
    crowded_at: Option<Instant>,
}

impl Upkeep {
    /// From here on the database counts as in use: a copy of it needs its write-ahead log, or an
    /// orderly stop.
    pub(super) fn start(
        dir: &Path,
        sequence: u64,
        connection: &Connection,
        clock: &Arc<dyn Clock>,
        common: &Arc<Common>,
    ) -> Result<Self, OpenError> {
        let path = dir.join(FILE_NAME);
        let unusable = |detail: String| OpenError::Unusable { path: path.clone(), detail };
        let mut progress =
            Progress::read(connection).map_err(|error| super::open::describe(&path, &error))?;
        progress.sequence = sequence.saturating_add(1);
        progress.stopped = false;
        progress.write(connection).map_err(|error| unusable(error.to_string()))?;
        fold(connection).map_err(|error| unusable(error.to_string()))?;
        let mark = Mark { progress: progress.clone(), at: clock.now() };
        mark.write(dir)
            .map_err(|error| unusable(format!("its mark cannot be written: {error}")))?;
        let wal = dir.join(format!("{FILE_NAME}-wal"));
        Ok(Self {
            wal,
            progress,
            marks: Marks::start(dir)?,
            clock: Arc::clone(clock),
            common: Arc::clone(common),
            unmarked_since: None,
            unfolded_since: None,
            crowded_at: None,
        })
    }

    /// How long the writer may sleep.
    pub(super) fn patience(&self) -> Option<Duration> {
        let due =
            |since: Option<Instant>, lag: Duration| Some(lag.saturating_sub(since?.elapsed()));
        let (mark, fold) =
            (due(self.unmarked_since, MARK_LAG), due(self.unfolded_since, CHECKPOINT_LAG));
        mark.into_iter().chain(fold).min()
    }

    /// To be called before a commit: adds the mark's row to it if a mark is due. The next
    /// [`committed`](Self::committed) then writes the mark.
    pub(super) fn before_commit(&self, connection: &Connection) -> StoreResult<Option<Progress>> {
        if self.unmarked_since.is_none_or(|since| since.elapsed() < MARK_LAG) {
            return Ok(None);
        }
        let next = Progress {
            sequence: self.progress.sequence.saturating_add(1),
            ..self.progress.clone()
        };
        next.write(connection)?;
        Ok(Some(next))
    }

    /// To be called after a commit, with what went into it.
    pub(super) fn committed(&mut self, marked: Option<Progress>, events: usize) {
        let now = Instant::now();
        let events = self.progress.events.saturating_add(events as u64);
        if let Some(progress) = marked {
            self.progress = Progress { events, ..progress };
            self.marks.remember(Mark { progress: self.progress.clone(), at: self.clock.now() });
            self.unmarked_since = None;
        } else {
            self.progress.events = events;
            self.unmarked_since.get_or_insert(now);
        }
        self.unfolded_since.get_or_insert(now);
    }

    /// To be called when nothing is being written: does what is due.
    pub(super) fn tend(&mut self, connection: &Connection) -> StoreResult<()> {
        if self.unmarked_since.is_some_and(|since| since.elapsed() >= MARK_LAG) {
            let marked = self.before_commit(connection)?;
            self.committed(marked, 0);
        }
        if self.unfolded_since.is_some_and(|since| since.elapsed() >= CHECKPOINT_LAG) {
            checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
            self.unfolded_since = None;
        }
        if self.wal_bytes() > LARGEST_WAL
            && self.crowded_at.is_none_or(|crowded| crowded.elapsed() >= ROOM_PAUSE)
        {
            let made_room = match self.common.gate.close() {
                Some(_closed) => fold(connection)?,
                None => false,
            };
            self.crowded_at = (!made_room).then(Instant::now);
            if !made_room {
                tracing::debug!(
                    "the write-ahead log cannot be restarted; another process may be reading the \
                     database"
                );
            }
            self.wal_bytes();
        }
        Ok(())
    }

    /// Copies everything into the database, so that this one file is complete, and records that in
    /// it and in the mark.
    pub(super) fn stop(mut self, connection: &Connection) -> StoreResult<()> {
        self.progress.sequence = self.progress.sequence.saturating_add(1);
        self.progress.stopped = true;
        self.progress.write(connection)?;
        self.marks.remember(Mark { progress: self.progress.clone(), at: self.clock.now() });
        let closed = self.common.gate.close_within(LAST_PATIENCE);
        let is_folded = fold(connection)?;
        drop(closed);
        if !is_folded {
            tracing::warn!(
                "another process is reading the database, so grantex.db-wal still belongs to it; \
                 copy both files together"
            );
        }
        self.wal_bytes();
        Ok(())
    }

    /// How large the write-ahead log is.
    fn wal_bytes(&self) -> u64 {
        let bytes = std::fs::metadata(&self.wal).map_or(0, |file| file.len());
        self.common.wal_bytes.store(bytes, Ordering::Relaxed);
        bytes
    }
}

/// Copies the write-ahead log into the database and empties it. Returns whether that was possible;
/// does not wait for readers.
fn fold(connection: &Connection) -> StoreResult<bool> {
    connection.busy_timeout(Duration::ZERO).map_err(store_error)?;
    let folded = checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)");
    connection.busy_timeout(super::open::BUSY).map_err(store_error)?;
    folded
}

fn checkpoint(connection: &Connection, sql: &str) -> StoreResult<bool> {
    connection
        .query_row(sql, [], |row| row.get::<_, bool>(0))
        .map(|is_busy| !is_busy)
        .map_err(store_error)
}
