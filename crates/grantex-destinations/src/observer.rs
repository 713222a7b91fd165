//! Who wants to hear of what goes wrong.

use std::fmt;
use std::time::Duration;

use crate::state::RejectedEvent;

/// Hears of failures and of dead letters as they happen, besides the log and the figures.
///
/// Called from the pipelines: a method that takes long holds up its destination.
///
/// ```
/// use grantex_destinations::{EventSource, DeliveryFailure, Observer};
///
/// struct Pager;
///
/// impl Observer for Pager {
///     fn failed(&self, failure: &DeliveryFailure<'_>) {
///         if failure.needs_action {
///             eprintln!("{}: {}", failure.destination, failure.message);
///         }
///     }
/// }
///
/// let source = EventSource::builder().observer(Pager);
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Something failed: a batch was not taken, the stream of events ended, the state cannot be
    /// written.
    fn failed(&self, failure: &DeliveryFailure<'_>) {
        let _ = failure;
    }

    /// The destination will never take these events, at least one. They are among the dead letters
    /// by now.
    fn rejected(&self, destination: &str, letters: &[RejectedEvent]) {
        let _ = (destination, letters);
    }
}

/// Something that failed.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct DeliveryFailure<'a> {
    /// The destination whose pipeline it holds up.
    pub destination: &'a str,
    /// What happened, without secrets.
    pub message: &'a str,
    /// How often it has failed in a row.
    pub failures: u32,
    /// It will not pass by itself.
    pub needs_action: bool,
    /// When it is tried again. `None`: never, the destination gets no more events.
    pub retry_in: Option<Duration>,
}

/// Nobody listens.
pub(crate) struct NoObserver;

impl Observer for NoObserver {}

impl fmt::Debug for dyn Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
