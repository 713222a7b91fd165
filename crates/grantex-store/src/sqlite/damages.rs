//! Which events were found damaged.

use std::collections::HashSet;

use grantex_core::log::{Damage, Position};
use grantex_types::DeveloperId;
use parking_lot::Mutex;

/// Damaged events that are remembered, so that each is counted and logged once: far more than an
/// operator reads.
const MOST: usize = 10_000;

/// The events that were found damaged since the start.
#[derive(Default)]
pub(super) struct Damages(Mutex<HashSet<(DeveloperId, Position)>>);

impl Damages {
    /// Records, counts and logs the new ones.
    pub(super) fn note(&self, developer: DeveloperId, damage: &Damage) {
        let mut known = self.0.lock();
        let before = known.len();
        known.extend(
            (damage.first..=damage.last)
                .take(MOST.saturating_sub(before))
                .map(|at| (developer, at)),
        );
        let fresh = known.len().saturating_sub(before);
        drop(known);
        if fresh > 0 {
            metrics::counter!("grantex_damaged_events_total").increment(fresh as u64);
            tracing::error!(%developer, first = damage.first, last = damage.last, "events of a \
                log are damaged; `grantex check` lists all damage");
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.lock().len()
    }
}
