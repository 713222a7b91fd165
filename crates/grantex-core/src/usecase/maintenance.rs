//! What the service does by itself to keep its data bounded.

use grantex_types::{DeveloperId, Lifetime, Timestamp};

use super::idempotency;
use crate::Result;
use crate::log::Position;
use crate::store::{Read, Tx};

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

/// Up to where a developer's log is to be trimmed, if it is. The newest event always stays.
pub fn trim_due(store: &dyn Read, developer: DeveloperId, retention: Retention) -> Result<Option<Position>> {
    let bounds = store.log_bounds(developer)?;
    let by_count = bounds.head.saturating_sub(retention.count.max(1));
    let oldest_kept = store.now().millis().saturating_sub(retention.age.millis());
    let by_age = store.position_before(developer, Timestamp::from_millis(oldest_kept))?;
    let up_to = by_count.max(by_age).min(bounds.head.saturating_sub(1));
    Ok((up_to > bounds.trimmed).then_some(up_to))
}

/// Removes up to `limit` of a developer's events that retention does not cover. Returns how many.
pub fn trim(tx: &mut dyn Tx, developer: DeveloperId, retention: Retention, limit: u32) -> Result<u64> {
    match trim_due(tx, developer, retention)? {
        Some(up_to) => Ok(tx.trim(developer, up_to, limit)?),
        None => Ok(0),
    }
}

/// Removes rows that nothing can need any more. Returns how many.
pub fn purge(tx: &mut dyn Tx, limit: u32) -> Result<u64> {
    let before =
        |lifetime: Lifetime| Timestamp::from_millis(tx.now().millis().saturating_sub(lifetime.millis()));
    let answers_before = before(idempotency::KEPT_FOR);
    let requests_before = before(REQUESTS_KEPT_FOR);
    let now = tx.now();
    let sessions = tx.purge_sessions(now, limit)?;
    Ok(tx.purge(answers_before, requests_before, limit)?.saturating_add(sessions))
}
