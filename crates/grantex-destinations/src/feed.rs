//! The reading side of a pipeline: events from the log into a bounded buffer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use grantex::{EventId, GrantexEvent, Progress};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tracing::instrument::WithSubscriber as _;

use crate::log::{EventLog, Filter, LogError, Start};
use crate::stats::{CLOSED_FULL, Stats};

/// The most bytes of events that wait for a destination: a few seconds of a busy log, and the
/// memory that a destination uses while it is down.
const ROOM_BYTES: usize = 8 << 20;

/// What an event takes beside its text, roughly: its parsed form.
const EVENT_OVERHEAD_BYTES: usize = 512;

/// A stream whose buffer stays full for so long is closed, well before the service would disconnect
/// it, and resumed at its cursor when there is room.
const FULL_BEFORE_CLOSE: Duration = Duration::from_secs(5);

/// What comes out of the buffer.
#[derive(Debug)]
pub(crate) enum Fed {
    Event { event: GrantexEvent, arrived: Instant, room: OwnedSemaphorePermit },
    Cursor(EventId),
    Failed(LogError),
}

/// A stream of the log that is read ahead. Dropping it closes the stream.
#[derive(Debug)]
pub(crate) struct Feed {
    fed: mpsc::UnboundedReceiver<Fed>,
    task: JoinHandle<()>,
}

impl Feed {
    pub(crate) fn open(
        log: Arc<dyn EventLog>,
        filter: Filter,
        start: Start,
        stats: Arc<Stats>,
    ) -> Self {
        // Bounded by the bytes that `Room` lends: what is in the channel holds a part of them.
        let (feeding, fed) = mpsc::unbounded_channel();
        let reading = async move {
            let reader =
                Reader { log, filter, stats, room: Arc::new(Semaphore::new(ROOM_BYTES)), feeding };
            if let Err(error) = reader.read(start).await {
                let _ = reader.feeding.send(Fed::Failed(error));
            }
        };
        Self { fed, task: tokio::spawn(reading.with_current_subscriber()) }
    }

    /// The next item; `None` after a failure. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Fed> {
        self.fed.recv().await
    }

    /// Stops reading; buffered items can still be taken.
    pub(crate) fn close(&mut self) {
        self.task.abort();
        self.fed.close();
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Reader {
    log: Arc<dyn EventLog>,
    filter: Filter,
    stats: Arc<Stats>,
    room: Arc<Semaphore>,
    feeding: mpsc::UnboundedSender<Fed>,
}

impl Reader {
    /// Reads until the receiver is dropped or the log fails.
    async fn read(&self, mut start: Start) -> Result<(), LogError> {
        loop {
            let mut steps = self.log.open(&self.filter, &start);
            let full = loop {
                let event = match steps.next().await {
                    None => return Ok(()),
                    Some(Err(error)) => return Err(error),
                    Some(Ok(Progress::Cursor(id))) => {
                        if self.feeding.send(Fed::Cursor(id)).is_err() {
                            return Ok(());
                        }
                        continue;
                    }
                    Some(Ok(Progress::Event(event))) => event,
                };
                start = Start::After(event.id);
                let bytes = event.json().len().saturating_add(EVENT_OVERHEAD_BYTES).min(ROOM_BYTES);
                let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
                let lent =
                    timeout(FULL_BEFORE_CLOSE, Arc::clone(&self.room).acquire_many_owned(bytes))
                        .await;
                match lent {
                    Ok(Ok(room)) => self.feed(event, room)?,
                    Ok(Err(_)) => return Ok(()),
                    Err(_) => break (event, bytes),
                }
            };
            drop(steps);
            metrics::counter!(CLOSED_FULL).increment(1);
            tracing::debug!("the destination is behind; its stream is closed until there is room");
            // Half of the room, so that a slow destination reopens for many events, not for one.
            let (event, bytes) = full;
            let half = u32::try_from(ROOM_BYTES / 2).unwrap_or(u32::MAX).max(bytes);
            let Ok(mut room) = Arc::clone(&self.room).acquire_many_owned(half).await else {
                return Ok(());
            };
            if let Some(rest) = room.split((half.saturating_sub(bytes)) as usize) {
                drop(rest);
            }
            self.feed(event, room)?;
        }
    }

    fn feed(&self, event: GrantexEvent, room: OwnedSemaphorePermit) -> Result<(), LogError> {
        let arrived = Instant::now();
        self.feeding
            .send(Fed::Event { event, arrived, room })
            .map_err(|_| LogError::Broken("the reader is gone".into()))?;
        self.stats.read(1);
        Ok(())
    }
}
