//! From single events to batches.

use grantex::{EventId, GrantexEvent};
use tokio::time::{Instant, sleep_until};

use crate::destination::{BatchLimits, EventDestination};
use crate::feed::{Fed, Feed};
use crate::log::LogError;

/// What the reading side passes to the pipeline.
#[derive(Debug)]
pub(crate) enum Gathered {
    /// Events that make a batch.
    Batch(Vec<GrantexEvent>),
    /// No further events up to here, after everything that was returned before.
    Cursor(EventId),
    /// The stream has failed, after everything that was returned before.
    Failed(LogError),
    /// The stream was closed, and everything was returned.
    Drained,
}

/// A stream's events, gathered until a batch is full or old.
#[derive(Debug)]
pub(crate) struct Gather {
    feed: Feed,
    limits: BatchLimits,
    pending: Vec<GrantexEvent>,
    bytes: usize,
    /// When the first of them came.
    oldest: Option<Instant>,
    /// What comes after the pending ones.
    next: Option<Fed>,
}

impl Gather {
    pub(crate) fn new(feed: Feed, limits: BatchLimits) -> Self {
        Self { feed, limits, pending: Vec::new(), bytes: 0, oldest: None, next: None }
    }

    /// Stops reading. Events that were read are still returned, without waiting for more.
    pub(crate) fn close(&mut self) {
        self.feed.close();
    }

    /// The next batch, or another item. Cancel-safe.
    pub(crate) async fn next(&mut self, destination: &impl EventDestination) -> Gathered {
        loop {
            if self.next.is_none() {
                let deadline = self.oldest.and_then(|oldest| oldest.checked_add(self.limits.age));
                tokio::select! {
                    biased;
                    fed = self.feed.next() => match fed {
                        Some(fed) => self.next = Some(fed),
                        None => return self.take().map_or(Gathered::Drained, Gathered::Batch),
                    },
                    () = wait(deadline) => {
                        if let Some(batch) = self.take() {
                            return Gathered::Batch(batch);
                        }
                    }
                }
            }
            if let Some(gathered) = self.accept(destination) {
                return gathered;
            }
        }
    }

    /// Adds an item that was read; returns what it completes.
    fn accept(&mut self, destination: &impl EventDestination) -> Option<Gathered> {
        match self.next.take()? {
            Fed::Event { event, arrived, room } => {
                let bytes = self.bytes.saturating_add(event.json().len());
                let joins = self.pending.last().is_none_or(|last| {
                    bytes <= self.limits.bytes && destination.joins(last, &event)
                });
                if !joins {
                    self.next = Some(Fed::Event { event, arrived, room });
                    return self.take().map(Gathered::Batch);
                }
                self.oldest.get_or_insert(arrived);
                self.bytes = bytes;
                self.pending.push(event);
                let is_full =
                    self.pending.len() >= self.limits.events || self.bytes >= self.limits.bytes;
                if is_full { self.take().map(Gathered::Batch) } else { None }
            }
            Fed::Cursor(id) => {
                if self.pending.is_empty() {
                    return Some(Gathered::Cursor(id));
                }
                // The batch will move the place far enough; the next cursor comes within seconds.
                None
            }
            Fed::Failed(error) => match self.take() {
                Some(batch) => {
                    self.next = Some(Fed::Failed(error));
                    Some(Gathered::Batch(batch))
                }
                None => Some(Gathered::Failed(error)),
            },
        }
    }

    fn take(&mut self) -> Option<Vec<GrantexEvent>> {
        (self.bytes, self.oldest) = (0, None);
        let events = std::mem::take(&mut self.pending);
        (!events.is_empty()).then_some(events)
    }
}

async fn wait(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
