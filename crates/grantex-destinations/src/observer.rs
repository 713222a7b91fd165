//! Notifications of failures.

use std::fmt;
use std::time::Duration;

use crate::state::RejectedEvent;

/// Is notified of failures and of dead letters as they happen, in addition to the log and the
/// metrics.
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
    /// A failure: a batch was not accepted, the stream of events ended, the state cannot be
    /// written.
    fn failed(&self, failure: &DeliveryFailure<'_>) {
        let _ = failure;
    }

    /// The destination rejected these events, at least one. They are stored as dead letters
    /// already.
    fn rejected(&self, destination: &str, letters: &[RejectedEvent]) {
        let _ = (destination, letters);
    }
}

/// A failed operation.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct DeliveryFailure<'a> {
    /// The destination whose pipeline it holds up.
    pub destination: &'a str,
    /// What happened, without secrets.
    pub message: &'a str,
    /// How often it has failed in a row.
    pub failures: u32,
    /// It needs manual action.
    pub needs_action: bool,
    /// When it is tried again. `None`: never, the destination gets no more events.
    pub retry_in: Option<Duration>,
}

/// An observer that ignores everything.
pub(crate) struct NoObserver;

impl Observer for NoObserver {}

impl fmt::Debug for dyn Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
