//! Grants and delegation.

use grantex_types::api::grants::DelegateRequest;
use grantex_types::api::tokens::{Claims, InactiveReason};
use grantex_types::event::RevokedBy;
use grantex_types::{DeveloperId, ErrorCode, GrantId, Lifetime};

use super::quotas::Quotas;
use super::tokens::{self, Issued, Signer, Standing};
use super::{agents, cascade};
use crate::model::{Caller, Grant};
use crate::store::{GrantFilter, Need, Needs, Page, Read, Sifted, Tx};
use crate::{Error, Result, validate};

const DEFAULT_LIFETIME: Lifetime = Lifetime::from_seconds(3600);

/// A grant.
pub fn get(store: &dyn Read, developer: DeveloperId, id: GrantId) -> Result<Grant> {
    store.grant(developer, id)?.ok_or_else(|| Error::not_found("grant"))
}

/// The developer's grants.
pub fn list(
    store: &dyn Read,
    developer: DeveloperId,
    filter: &GrantFilter,
    page: Page<GrantId>,
) -> Result<Sifted<Grant, GrantId>> {
    Ok(store.grants(developer, filter, page)?)
}

/// What [`revoke`] reads by key.
pub fn revoke_needs(id: GrantId) -> Needs {
    [Need::Grant(id)].into()
}

/// Revokes a grant and everything delegated from it.
pub fn revoke(tx: &mut dyn Tx, developer: DeveloperId, id: GrantId, by: RevokedBy) -> Result<()> {
    let now = tx.now();
    let grant = get(tx, developer, id)?;
    if !grant.is_active(now) {
        return Err(Error::refused(
            ErrorCode::NotFound,
            "the grant has already been revoked or has expired",
        ));
    }
    cascade::revoke_grant(tx, &grant, by)
}

/// Revokes a grant on behalf of the principal who gave it.
pub fn revoke_as_principal(
    tx: &mut dyn Tx,
    developer: DeveloperId,
    principal_id: &str,
    id: GrantId,
) -> Result<()> {
    of_principal(tx, developer, principal_id, id)?;
    revoke(tx, developer, id, RevokedBy::Principal)
}

/// Revokes a grant on behalf of the principal who gave it, if it is still in force: asking twice is
/// no error.
pub fn end_as_principal(
    tx: &mut dyn Tx,
    developer: DeveloperId,
    principal_id: &str,
    id: GrantId,
) -> Result<()> {
    let grant = of_principal(tx, developer, principal_id, id)?;
    if grant.is_active(tx.now()) {
        cascade::revoke_grant(tx, &grant, RevokedBy::Principal)?;
    }
    Ok(())
}

/// A grant, for the principal who gave it.
pub fn of_principal(
    store: &dyn Read,
    developer: DeveloperId,
    principal_id: &str,
    id: GrantId,
) -> Result<Grant> {
    let grant = store.grant(developer, id)?.filter(|grant| grant.principal_id == principal_id);
    grant.ok_or_else(|| Error::not_found("grant"))
}

/// Whether the principal has a grant in force.
pub fn principal_has_active_grant(
    store: &dyn Read,
    developer: DeveloperId,
    principal_id: &str,
) -> Result<bool> {
    let filter = GrantFilter {
        principal_id: Some(principal_id.to_owned()),
        status: Some(grantex_types::api::grants::GrantStatus::Active),
        ..GrantFilter::default()
    };
    let mut page = Page { after: None, offset: 0, limit: 1 };
    loop {
        let found = store.grants(developer, &filter, page)?;
        if !found.rows.is_empty() || found.stopped_at.is_none() {
            return Ok(!found.rows.is_empty());
        }
        page.after = found.stopped_at;
    }
}

/// What [`delegate`] reads by key.
pub fn delegate_needs(parent: &Claims) -> Needs {
    [Need::Grant(parent.grnt), Need::Token(parent.jti)].into()
}

/// Gives another agent some of a grant's scopes. The parent's token is checked before: `parent`
/// are its claims.
pub fn delegate(
    tx: &mut dyn Tx,
    caller: &Caller,
    parent: &Claims,
    request: DelegateRequest,
    depth_limit: u8,
    signer: &Signer,
    quotas: &Quotas,
) -> Result<Issued> {
    if request.scopes.is_empty() {
        return Err(Error::bad_request("scopes must name at least one scope"));
    }
    let lifetime = validate::expires_in(request.expires_in.as_deref(), DEFAULT_LIFETIME)?;
    if parent.dev != caller.developer_id {
        return Err(Error::refused(
            ErrorCode::Forbidden,
            "the parent grant belongs to another developer",
        ));
    }
    let standing = Standing::load(tx, caller.developer_id, parent)?;
    let inactive = standing.inactive_reason(parent, tx.now());
    if inactive.is_some_and(|reason| reason != InactiveReason::AgentSuspended) {
        return Err(Error::bad_request("the parent grant or its token is revoked or expired"));
    }
    let parent_grant = get(tx, caller.developer_id, parent.grnt)?;
    let agent = agents::active(tx, caller, &request.sub_agent_id)?;
    if inactive.is_some() {
        return Err(Error::bad_request("the parent grant's agent, or one above it, is suspended"));
    }
    let scopes = parent_grant
        .scopes
        .select(request.scopes)
        .ok_or_else(|| Error::bad_request("scopes must be some of the parent grant's scopes"))?;
    let depth = parent_grant.depth.saturating_add(1);
    if depth > depth_limit {
        return Err(Error::refused(
            ErrorCode::DelegationDepthExceeded,
            format!("a grant can be delegated {depth_limit} times in a row, and this one has been"),
        ));
    }

    let now = tx.now();
    let grant = Grant {
        id: GrantId::from_parts(now.millis(), tx.random()),
        developer_id: caller.developer_id,
        agent_id: agent.agent_id,
        principal_id: parent_grant.principal_id.clone(),
        scopes,
        audience: parent_grant.audience.clone(),
        issued_at: now,
        expires_at: now.plus(lifetime).min(parent_grant.expires_at),
        revoked_at: None,
        lapsed: false,
        parent_id: Some(parent_grant.id),
        depth,
    };
    tokens::create_grant(tx, &grant, Some(&parent_grant), signer, quotas)
}
