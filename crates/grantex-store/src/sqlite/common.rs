//! What the threads of a store share, and what a store needs from outside.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use grantex_core::env::{Clock, Rng};
use grantex_core::store::Listener;

use super::damages::Damages;
use super::gate::Gate;

/// What a store needs from outside.
#[derive(Clone)]
pub struct Environment {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives random bits.
    pub rng: Arc<dyn Rng>,
    /// Gets the notice of every commit; `()` where nothing listens.
    pub listener: Arc<dyn Listener>,
}

/// What the writer's thread and the readers' threads share.
#[derive(Default)]
pub(super) struct Common {
    pub(super) damages: Damages,
    pub(super) gate: Gate,
    /// How large the write-ahead log was when it was last looked at.
    pub(super) wal_bytes: AtomicU64,
}
