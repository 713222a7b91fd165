//! The contract between the pipeline and a destination.

use std::future::Future;
use std::time::Duration;

use grantex::internal::redacted;
use grantex::{EventId, GrantexEvent};

use crate::batch::{Batch, Place};
use crate::state::StateError;

/// A receiver of events.
///
/// The pipeline calls [`place`](Self::place), records the batch and its place, calls
/// [`send`](Self::send) and [`flush`](Self::flush), and moves the checkpoint when both have
/// succeeded. It retries a failed batch until it succeeds; the [`SendError`] determines what is
/// sent again.
///
/// A destination keeps these promises, which [`conformance`](crate::conformance) checks:
///
/// 1. When `send` and then `flush` return `Ok`, every event of the batch is stored durably,
///    whatever happens to this process.
/// 2. Sending the same batch again is safe: the receiver can recognise a repeated event by its id.
/// 3. Dropping a future that one of these returned is safe: the batch is sent again.
/// 4. An error quotes the receiver's answer, without secrets.
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

    /// How many batches may be in flight at once. 1 where a batch depends on the previous one.
    fn max_concurrency(&self) -> usize {
        MAX_CONCURRENCY
    }

    /// Whether `next` may be in the same batch as `previous`.
    fn joins(&self, previous: &GrantexEvent, next: &GrantexEvent) -> bool {
        let _ = (previous, next);
        true
    }

    /// Whether a refusal may come from something other than the receiver – a proxy, another server
    /// at a wrong address – as long as nothing was accepted. Until then a refusal rejects no event.
    fn refusals_need_proof(&self) -> bool {
        false
    }

    /// Called before anything is sent, and again until it succeeds. `delivered` is the last event
    /// that is known to be delivered. A destination that keeps a checkpoint itself returns it, and
    /// it takes precedence; others return `None`.
    fn open(
        &self,
        delivered: Option<EventId>,
    ) -> impl Future<Output = Result<Option<EventId>, SendError>> + Send {
        let _ = delivered;
        async { Ok(None) }
    }

    /// Where `batch` goes and how: everything that `send` needs, in addition to the events and
    /// their format, to send the same bytes to the same place again, after a restart and with
    /// another configuration.
    fn place(&self, batch: &Batch) -> impl Future<Output = Result<Place, SendError>> + Send {
        let _ = batch;
        async { Ok(Place::Null) }
    }

    /// Sends one batch to [its place](Batch::place). With `Ok` all of it is accepted.
    fn send(&self, batch: &Batch) -> impl Future<Output = Result<(), SendError>> + Send;

    /// Makes the accepted events durable. Called before each checkpoint and at the end.
    fn flush(&self) -> impl Future<Output = Result<(), SendError>> + Send {
        async { Ok(()) }
    }

    /// Releases its resources. Called once, after the last batch.
    fn close(&self) -> impl Future<Output = Result<(), SendError>> + Send {
        async { Ok(()) }
    }

    /// Contacts the receiver without sending events, and describes what it found.
    fn probe(&self) -> impl Future<Output = Result<String, SendError>> + Send {
        async { Ok("there is nothing to probe".to_owned()) }
    }
}

/// The most batches of one destination in flight at once: more only help where the receiver is far
/// away, and each is a record in the state and is sent again after a crash.
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

/// Why a batch was not accepted, by what the pipeline has to do. Its text has no secrets of URLs.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// A temporary failure: the same batch is sent again, after a delay.
    #[error("{}", redacted(message))]
    Retry {
        /// What happened.
        message: String,
        /// How long the receiver asks to wait.
        after: Option<Duration>,
    },
    /// Manual action is required – a credential, a permission, a missing topic. The same batch is
    /// sent again at long intervals, and an error is logged.
    #[error("{}", redacted(.0))]
    Refused(String),
    /// The batch's place cannot be used any more: the batch gets another one and is sent again.
    #[error("{}", redacted(.0))]
    Misplaced(String),
    /// The receiver will accept nothing any more: a pipe has lost its reader. The destination ends.
    #[error("{}", redacted(.0))]
    Over(String),
    /// Smaller batches would be accepted. A single event that is too large becomes a dead letter.
    #[error("{}", redacted(.0))]
    TooLarge(String),
    /// The batch will never be accepted as a whole. It is halved until the rejected event is
    /// isolated; that event becomes a dead letter.
    #[error("{}", redacted(.0))]
    Rejected(String),
    /// Some events will never be accepted. Its text is the answer that rejected the first one.
    #[error("{}", redacted(.events.first().map_or("", |(_, reason)| reason)))]
    EventsRejected {
        /// Their indexes in the batch, each with the answer that rejected it.
        events: Vec<(usize, String)>,
        /// The others are delivered; otherwise they are sent again without these.
        others_delivered: bool,
    },
}

impl SendError {
    /// A temporary failure.
    pub fn retry(message: impl Into<String>) -> Self {
        Self::Retry { message: message.into(), after: None }
    }

    /// A failure that needs manual action.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::Refused(message.into())
    }

    /// A rejection of the batch.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::Rejected(message.into())
    }
}

impl From<StateError> for SendError {
    /// A batch that cannot be recorded is not sent. A busy or full database is a temporary failure.
    fn from(error: StateError) -> Self {
        match error {
            StateError::Database(_) => Self::retry(error.to_string()),
            other => Self::refused(other.to_string()),
        }
    }
}
