//! Time and randomness, as arguments.

use grantex_types::Timestamp;

/// A clock. It may jump, also backwards; the log has its own order (see [`crate::log`]).
pub trait Clock: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// A source of unpredictable bits, suitable for identifiers that must not be guessed.
pub trait Rng: Send + Sync + 'static {
    /// 128 fresh bits.
    fn bits(&self) -> u128;
}
