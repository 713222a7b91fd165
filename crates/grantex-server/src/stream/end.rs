//! Why the service ends a stream.

use grantex_core::log::Position;

/// Why the service ends a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The service shuts down.
    GoingAway,
    /// The API key that opened it was revoked.
    KeyRevoked,
    /// The ticket that opened it has expired.
    TicketExpired,
    /// The operator suspended its developer.
    Suspended,
    /// The next event, at this position, is damaged in the store. It is not sent, and going on
    /// after it would hide a gap.
    Damaged(Position),
    /// Retention removed events that were not delivered yet: going on would hide a gap.
    Trimmed,
}
