//! How much one developer may have.

use grantex_types::{DeveloperId, ErrorCode};

use crate::model::Usage;
use crate::store::{Read, Tx};
use crate::{Error, Result};

/// How much a developer may have; 0 switches each limit off. The defaults are more than one
/// developer of a service on one machine needs, and such a machine can hold several times as much.
#[derive(Debug, Clone, Copy)]
pub struct Quotas {
    /// Agents that are not deleted.
    pub agents: u64,
    /// Grants in force.
    pub grants: u64,
    /// API keys that work: also a bound on the cost of reading all of them.
    pub keys: u32,
    /// Approximate bytes of all its rows.
    pub bytes: u64,
}

impl Quotas {
    /// No limit at all.
    pub const OFF: Self = Self { agents: 0, grants: 0, keys: 0, bytes: 0 };
}

impl Default for Quotas {
    fn default() -> Self {
        Self { agents: 100_000, grants: 1_000_000, keys: 100, bytes: 10 << 30 }
    }
}

/// Expired grants that are put aside at once where a new one finds no room: some milliseconds.
/// Maintenance does the rest within a minute.
const LAPSED_AT_ONCE: u32 = 250;

/// Refuses another agent beyond the quota.
pub(super) fn require_room_for_agent(
    store: &dyn Read,
    developer: DeveloperId,
    quotas: &Quotas,
) -> Result<()> {
    let Usage { agents, .. } = store.usage(developer)?;
    require(agents, quotas.agents, "agents", "delete some")
}

/// Refuses another grant beyond the quota. Grants that have expired take no room.
pub(super) fn require_room_for_grant(
    tx: &mut dyn Tx,
    developer: DeveloperId,
    quotas: &Quotas,
) -> Result<()> {
    let mut grants = tx.usage(developer)?.grants;
    if is_reached(grants, quotas.grants) && !tx.has_cascade_job(developer)? {
        let now = tx.now();
        tx.lapse(developer, now, LAPSED_AT_ONCE)?;
        grants = tx.usage(developer)?.grants;
    }
    require(grants, quotas.grants, "grants in force", "revoke some")
}

/// Refuses another API key beyond the quota.
pub(super) fn require_room_for_key(
    store: &dyn Read,
    developer: DeveloperId,
    quotas: &Quotas,
) -> Result<()> {
    if quotas.keys == 0 {
        return Ok(());
    }
    let working = store.working_keys(developer, quotas.keys)?;
    require(working.into(), quotas.keys.into(), "working API keys", "revoke one")
}

/// Whether a developer has reached the limit of stored bytes.
pub fn is_full(store: &dyn Read, developer: DeveloperId, quotas: &Quotas) -> Result<bool> {
    Ok(quotas.bytes > 0 && is_reached(store.usage(developer)?.bytes, quotas.bytes))
}

/// The refusal of a write for a developer who has reached the storage limit.
pub fn full() -> Error {
    refused(
        "this developer has reached the storage limit that the operator set; ask the operator for \
         more"
            .into(),
    )
}

fn is_reached(count: u64, most: u64) -> bool {
    most > 0 && count >= most
}

fn require(count: u64, most: u64, what: &str, remedy: &str) -> Result<()> {
    if is_reached(count, most) {
        return Err(refused(format!(
            "this developer has {count} {what}, the maximum that the operator allows; {remedy}, \
             or ask the operator for more"
        )));
    }
    Ok(())
}

fn refused(message: String) -> Error {
    Error::refused(ErrorCode::QuotaExceeded, message)
}
