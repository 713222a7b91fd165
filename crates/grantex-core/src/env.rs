//! Time and randomness, as arguments.

use grantex_types::Timestamp;

/// Tells the time. It may jump, also backwards; the log makes its own order (see [`crate::log`]).
pub trait Clock: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// Gives unpredictable bits, fit for identifiers that must not be guessed.
pub trait Rng: Send + Sync + 'static {
    /// 128 fresh bits.
    fn bits(&self) -> u128;
}
