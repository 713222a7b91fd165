//! The work that the service does by itself to keep its data bounded.

use grantex_types::{DeveloperId, Lifetime, Timestamp};

use super::idempotency;
use crate::Result;
use crate::log::Position;
use crate::store::{Ended, Read, Tx};

/// How much of a log is kept; events that exceed either bound are removed.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Events older than this are removed.
    pub age: Lifetime,
    /// Events beyond this number per developer are removed, oldest first.
    pub count: u64,
}

/// How long an authorization request that ended without a grant is kept, for those who look into
/// what happened.
const REQUESTS_KEPT_FOR: Lifetime = Lifetime::from_seconds(30 * 24 * 3600);

/// Up to where a developer's log is to be trimmed, if it is. The newest event always stays.
pub fn trim_due(
    store: &dyn Read,
    developer: DeveloperId,
    retention: Retention,
) -> Result<Option<Position>> {
    let bounds = store.log_bounds(developer)?;
    let by_count = bounds.head.saturating_sub(retention.count.max(1));
    let oldest_kept = store.now().millis().saturating_sub(retention.age.millis());
    let by_age = store.position_before(developer, Timestamp::from_millis(oldest_kept))?;
    let up_to = by_count.max(by_age).min(bounds.head.saturating_sub(1));
    Ok((up_to > bounds.trimmed).then_some(up_to))
}

/// Removes up to `limit` of a developer's events that retention does not cover. Returns how many.
pub fn trim(
    tx: &mut dyn Tx,
    developer: DeveloperId,
    retention: Retention,
    limit: u32,
) -> Result<u64> {
    match trim_due(tx, developer, retention)? {
        Some(up_to) => Ok(tx.trim(developer, up_to, limit)?),
        None => Ok(0),
    }
}

/// Removes up to `limit` rows that are not needed any more; history only after `history_age`, if
/// one is set. Returns how many.
pub fn purge(tx: &mut dyn Tx, history_age: Option<Lifetime>, limit: u32) -> Result<u64> {
    let ended = Ended {
        answers: before(tx, idempotency::KEPT_FOR),
        requests: before(tx, REQUESTS_KEPT_FOR),
        history: history_age.map(|age| before(tx, age)),
    };
    let now = tx.now();
    let sessions = tx.purge_sessions(now, limit)?;
    let entries = match ended.history {
        Some(before) => tx.purge_audit(before, limit)?,
        None => 0,
    };
    Ok(tx.purge(&ended, limit)?.saturating_add(sessions).saturating_add(entries))
}

/// What one developer's grants need of maintenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantsDue {
    /// Some have expired and are still among those that cascades and lists read.
    Lapse,
    /// Some ended so long ago that they are no longer kept.
    Purge,
}

/// What there is to do about a developer's grants. A cascade comes first: it still has to revoke
/// what expires while it runs, and finds what it covers by the grants above.
pub fn grants_due(
    store: &dyn Read,
    developer: DeveloperId,
    history_age: Option<Lifetime>,
) -> Result<Option<GrantsDue>> {
    if store.has_cascade_job(developer)? {
        return Ok(None);
    }
    if store.earliest_end(developer)?.is_some_and(|end| end <= store.now()) {
        return Ok(Some(GrantsDue::Lapse));
    }
    match history_age {
        Some(age) if store.has_history(developer, before(store, age))? => {
            Ok(Some(GrantsDue::Purge))
        }
        _ => Ok(None),
    }
}

/// Does up to `limit` rows of what is due about a developer's grants. Returns how many rows it did,
/// 0 when nothing is left.
pub fn tend_grants(
    tx: &mut dyn Tx,
    developer: DeveloperId,
    history_age: Option<Lifetime>,
    limit: u32,
) -> Result<u64> {
    let now = tx.now();
    match (grants_due(tx, developer, history_age)?, history_age) {
        (Some(GrantsDue::Lapse), _) => Ok(tx.lapse(developer, now, limit)?),
        (Some(GrantsDue::Purge), Some(age)) => {
            let before = before(tx, age);
            Ok(tx.purge_history(developer, before, limit)?)
        }
        _ => Ok(0),
    }
}

fn before(store: &dyn Read, lifetime: Lifetime) -> Timestamp {
    Timestamp::from_millis(store.now().millis().saturating_sub(lifetime.millis()))
}
