//! The contract between the pipeline and a destination.

use std::future::Future;
use std::time::Duration;

use grantex::internal::redacted;
use grantex::{EventId, GrantexEvent};

use crate::batch::{Batch, Place};
use crate::state::StateError;

/// Somewhere that events go.
///
/// The pipeline calls [`place`](Self::place), writes the batch and its place down, calls
/// [`send`](Self::send) and [`flush`](Self::flush), and moves the checkpoint when both have
/// succeeded. It repeats what failed, for as long as it takes, and tells by [`SendError`] what to
/// repeat.
///
/// A destination keeps these promises, which [`conformance`](crate::conformance) checks:
///
/// 1. When `send` and then `flush` return `Ok`, every event of the batch is where it belongs and
///    stays there, whatever happens to this process.
/// 2. The same batch sent again does no harm: the receiver can tell a repeated event by its id.
/// 3. Dropping a future that one of these returned is safe: the batch is sent again.
/// 4. An error says what the receiver answered, without secrets.
///
/// Only `name` and `send` have to be written:
///
/// ```
/// use grantex_destinations::{Batch, EventDestination, SendError};
///
/// struct Stderr;
///
/// impl EventDestination for Stderr {
///     fn name(&self) -> &str {
///         "stderr"
///     }
///
///     async fn send(&self, batch: &Batch) -> Result<(), SendError> {
///         for event in batch.events() {
///             eprintln!("{}", event.json());
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait EventDestination: Send + Sync + 'static {
    /// Unique within a source; keys the checkpoint, so it must not change.
    fn name(&self) -> &str;

    /// How large batches grow unless the options say otherwise.
    fn defaults(&self) -> BatchLimits {
        BatchLimits::default()
    }

    /// How many batches may be on their way at once. 1 where one batch builds on the one before.
    fn max_concurrency(&self) -> usize {
        MAX_CONCURRENCY
    }

    /// Whether `next` may stand in one batch with `previous`.
    fn joins(&self, previous: &GrantexEvent, next: &GrantexEvent) -> bool {
        let _ = (previous, next);
        true
    }

    /// Whether what refuses may be something else than the receiver – a proxy, another server at a
    /// wrong address – for as long as nothing was accepted. Until then a refusal rejects no event.
    fn refusals_need_proof(&self) -> bool {
        false
    }

    /// Called before anything is sent, and again until it succeeds. `delivered` is the last event
    /// that is known to be there. A destination that itself keeps a checkpoint gives that one back,
    /// and it wins; others give `None`.
    fn open(
        &self,
        delivered: Option<EventId>,
    ) -> impl Future<Output = Result<Option<EventId>, SendError>> + Send {
        let _ = delivered;
        async { Ok(None) }
    }

    /// Where `batch` goes and how: everything that `send` needs besides the events and their format
    /// to send the same bytes to the same place again, after a restart and with another
    /// configuration.
    fn place(&self, batch: &Batch) -> impl Future<Output = Result<Place, SendError>> + Send {
        let _ = batch;
        async { Ok(Place::Null) }
    }

    /// Sends one batch to [its place](Batch::place). With `Ok` all of it is accepted.
    fn send(&self, batch: &Batch) -> impl Future<Output = Result<(), SendError>> + Send;

    /// Makes durable what was accepted. Called before each checkpoint and at the end.
    fn flush(&self) -> impl Future<Output = Result<(), SendError>> + Send {
        async { Ok(()) }
    }

    /// Frees what it holds. Called once, after the last batch.
    fn close(&self) -> impl Future<Output = Result<(), SendError>> + Send {
        async { Ok(()) }
    }

    /// Reaches the receiver without sending events, and says in words what was found there.
    fn probe(&self) -> impl Future<Output = Result<String, SendError>> + Send {
        async { Ok("there is nothing to probe".to_owned()) }
    }
}

/// Batches of one destination that are on their way at once, at most: more only help where the
/// receiver is far away, and each is a record in the state and a repeat after a crash.
pub const MAX_CONCURRENCY: usize = 64;

/// When a batch is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Events in a batch.
    pub events: usize,
    /// Bytes of its events' envelopes.
    pub bytes: usize,
    /// How long its first event waits for others.
    pub age: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { events: 100, bytes: 1 << 20, age: Duration::from_secs(1) }
    }
}

/// Why a batch was not taken, by what to do about it. As text it is without the secrets of URLs.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// It may pass by itself: the same batch is sent again, after a while.
    #[error("{}", redacted(message))]
    Retry {
        /// What happened.
        message: String,
        /// How long the receiver asks to wait.
        after: Option<Duration>,
    },
    /// Somebody has to mend something first – a credential, a permission, a missing topic. The same
    /// batch is sent again, slowly, and it is said loudly.
    #[error("{}", redacted(.0))]
    Refused(String),
    /// The batch's place is of no use any more: it gets another one and is sent again.
    #[error("{}", redacted(.0))]
    Misplaced(String),
    /// Nothing will ever be taken any more: the reader of a pipe is gone. The destination ends.
    #[error("{}", redacted(.0))]
    Over(String),
    /// Smaller batches would be taken. A single event that is too large is a dead letter.
    #[error("{}", redacted(.0))]
    TooLarge(String),
    /// The batch as it is will never be taken. It is halved until the event that spoils it stands
    /// alone, which is a dead letter then.
    #[error("{}", redacted(.0))]
    Rejected(String),
    /// Some events will never be taken.
    #[error("{} of the batch's events were rejected: {}", .events.len(), redacted(.events.first().map_or("", |(_, reason)| reason)))]
    EventsRejected {
        /// Their indexes in the batch, each with the answer that rejected it.
        events: Vec<(usize, String)>,
        /// The others are delivered; otherwise they are sent again without these.
        others_delivered: bool,
    },
}

impl SendError {
    /// What may pass by itself.
    pub fn retry(message: impl Into<String>) -> Self {
        Self::Retry { message: message.into(), after: None }
    }

    /// What needs somebody.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::Refused(message.into())
    }

    /// What rejects the batch.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::Rejected(message.into())
    }
}

impl From<StateError> for SendError {
    /// What cannot be written down is not sent. A database that is busy or full may pass.
    fn from(error: StateError) -> Self {
        match error {
            StateError::Database(_) => Self::retry(error.to_string()),
            other => Self::refused(other.to_string()),
        }
    }
}
