//! What the service does by itself to keep its data bounded.

use grantex_types::{DeveloperId, Lifetime};

use super::idempotency;
use crate::Result;
use crate::store::Tx;

/// How much of a log is kept; what exceeds either bound goes.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Events older than this go.
    pub age: Lifetime,
    /// Events beyond this many a developer go, oldest first.
    pub count: u64,
}

/// How long an ended authorization request is kept, for whoever looks into what happened.
const REQUESTS_KEPT_FOR: Lifetime = Lifetime::from_seconds(30 * 24 * 3600);

/// Removes up to `limit` of a developer's events that retention does not cover. Returns how many.
/// The newest event always stays.
pub fn trim(tx: &mut dyn Tx, developer: DeveloperId, retention: Retention, limit: u32) -> Result<u64> {
    let bounds = tx.log_bounds(developer)?;
    let by_count = bounds.head.saturating_sub(retention.count.max(1));
    let oldest_kept = tx.now().millis().saturating_sub(retention.age.millis());
    let by_age = tx.position_before(developer, grantex_types::Timestamp::from_millis(oldest_kept))?;
    let up_to = by_count.max(by_age).min(bounds.head.saturating_sub(1));
    if up_to <= bounds.trimmed {
        return Ok(0);
    }
    Ok(tx.trim(developer, up_to, limit)?)
}

/// Removes rows that nothing can need any more. Returns how many.
pub fn purge(tx: &mut dyn Tx, limit: u32) -> Result<u64> {
    let before = |lifetime: Lifetime| {
        grantex_types::Timestamp::from_millis(tx.now().millis().saturating_sub(lifetime.millis()))
    };
    let answers_before = before(idempotency::KEPT_FOR);
    let requests_before = before(REQUESTS_KEPT_FOR);
    Ok(tx.purge(answers_before, requests_before, limit)?)
}
