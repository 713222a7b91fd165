//! What the operator of the service does with developers.

use grantex_types::{DeveloperId, ErrorCode};

use super::audit::{self, Action};
use crate::model::{Actor, Tenant};
use crate::store::{Page, Read, Tx};
use crate::{Error, Result, validate};

/// The longest reason that an operator may give, in characters.
const LONGEST_REASON: usize = 500;

/// All developers.
pub fn list(store: &dyn Read, page: Page<DeveloperId>) -> Result<Vec<Tenant>> {
    Ok(store.tenants(page)?)
}

/// One developer.
pub fn get(store: &dyn Read, id: DeveloperId) -> Result<Tenant> {
    store.tenant(id)?.ok_or_else(|| Error::not_found("developer"))
}

/// Suspends a developer: its keys, tickets, sessions and consent links do not work until it is
/// resumed. Nothing is revoked. Doing it twice is fine.
pub fn suspend(
    tx: &mut dyn Tx,
    id: DeveloperId,
    by: Actor,
    reason: Option<&str>,
) -> Result<Tenant> {
    let mut tenant = get(tx, id)?;
    if tenant.suspended_at.is_none() {
        let now = tx.now();
        tenant.suspended_at = Some(now);
        tx.set_suspended(id, Some(now))?;
        note(tx, id, by, Action::DeveloperSuspended, reason)?;
    }
    Ok(tenant)
}

/// Lets a developer's keys, tickets, sessions and consent links work again. Doing it twice is fine.
pub fn resume(tx: &mut dyn Tx, id: DeveloperId, by: Actor, reason: Option<&str>) -> Result<Tenant> {
    let mut tenant = get(tx, id)?;
    if tenant.suspended_at.take().is_some() {
        tx.set_suspended(id, None)?;
        note(tx, id, by, Action::DeveloperResumed, reason)?;
    }
    Ok(tenant)
}

fn note(
    tx: &mut dyn Tx,
    id: DeveloperId,
    by: Actor,
    action: Action,
    reason: Option<&str>,
) -> Result<()> {
    let reason =
        reason.map(|text| validate::text("reason", text, 1, LONGEST_REASON)).transpose()?;
    let details: Vec<_> = reason.as_deref().map(|text| ("reason", text)).into_iter().collect();
    audit::note(tx, id, by, action, &id.to_string(), &details)
}

/// Refuses what belongs to a suspended developer.
pub(super) fn require_active(store: &dyn Read, id: DeveloperId) -> Result<()> {
    match store.tenant(id)? {
        Some(Tenant { suspended_at: Some(_), .. }) => Err(suspended()),
        _ => Ok(()),
    }
}

/// The refusal of every call for a suspended developer.
pub fn suspended() -> Error {
    Error::refused(
        ErrorCode::DeveloperSuspended,
        "the operator of this service has suspended this developer; contact the operator",
    )
}
