//! Events that a destination refuses although it has accepted nothing yet.

use grantex::EventId;
use tokio::time::Instant;

use crate::delivery::{PROBES, Piece};
use crate::destination::SendError;
use crate::tries::Tries;

/// Pieces that are neither delivered nor rejected: nothing was accepted since the configuration
/// changed, so the refusal may not come from the destination. They are retried at long intervals,
/// and at once when another event was accepted.
#[derive(Debug)]
pub(crate) struct Held {
    pieces: Vec<Piece>,
    tries: Tries,
    try_at: Option<Instant>,
}

impl Held {
    pub(crate) fn new(pieces: Vec<Piece>, tries: Tries) -> Self {
        let try_at = (!pieces.is_empty()).then(Instant::now);
        Self { pieces, tries, try_at }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Trying more events would not help.
    pub(crate) fn is_full(&self) -> bool {
        self.pieces.len() >= PROBES
    }

    /// Adds pieces that were refused with `error`; returns how often that has happened, and until
    /// when it waits.
    pub(crate) fn add(
        &mut self,
        pieces: Vec<Piece>,
        error: &SendError,
    ) -> (u32, std::time::Duration) {
        self.pieces.extend(pieces);
        self.pieces.sort_by_key(|piece| -> EventId { piece.first() });
        let delay = self.tries.failed(error);
        self.try_at = Instant::now().checked_add(delay);
        (self.tries.failures(), delay)
    }

    /// An event was accepted: from now on refusals count.
    pub(crate) fn is_proven(&mut self) {
        self.tries.over();
        if !self.pieces.is_empty() {
            self.try_at = Some(Instant::now());
        }
    }

    /// When they are tried again.
    pub(crate) fn try_at(&self) -> Option<Instant> {
        self.try_at
    }

    /// Takes them, in log order.
    pub(crate) fn take(&mut self) -> Vec<Piece> {
        self.try_at = None;
        std::mem::take(&mut self.pieces)
    }
}
