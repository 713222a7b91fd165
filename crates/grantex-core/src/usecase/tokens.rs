//! Grant tokens: exchange, refresh, verification, revocation.

use std::sync::Arc;

use grantex_types::api::authorization::ConsentStatus;
use grantex_types::api::tokens::{ActingAgent, Claims, GrantClaim, InactiveReason};
use grantex_types::event::{IssueMethod, RevokedBy};
use grantex_types::scope::LARGEST_SCOPES;
use grantex_types::{
    AgentId, AuthRequestId, DeveloperId, EventData, GrantId, Lifetime, RefreshId, Timestamp,
    TokenId,
};
use serde::{Deserialize, Serialize};

use super::idempotency::{self, IdempotencyKey};
use super::quotas::{self, Quotas};
use super::{agents, budgets, cascade};
use crate::model::{Caller, Grant, RefreshToken, Token};
use crate::store::{Need, Needs, Read, Tx};
use crate::{Error, Result};

/// How long after its use a refresh token may be presented again without revoking the grant: a
/// client that retries at once is not a thief. Later its reuse ends the family (RFC 9700 §4.14.2).
pub const REUSE_GRACE: Lifetime = Lifetime::from_seconds(30);

/// How a token is to be signed.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The service's public base URL: `iss`.
    pub issuer: String,
    /// The signing key.
    pub kid: String,
    /// How long a token lives at most; its grant's end comes first.
    pub lifetime: Lifetime,
}

/// A token to be signed, and a refresh token to be derived: everything but the secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Issued {
    /// The claims of the JWT.
    pub claims: Claims,
    /// The key that signs it.
    pub kid: String,
    /// The refresh token's public name.
    pub refresh_id: RefreshId,
    /// When the token ends, to the millisecond.
    pub expires_at: Timestamp,
}

/// What an exchange presents.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The request whose code was shown; the code itself is checked before.
    pub auth_request_id: AuthRequestId,
    /// The agent that claims the grant.
    pub agent_id: String,
    /// The hash of the presented verifier, if there is one.
    pub challenge: Option<String>,
}

/// The result of using a code or a refresh token. A refusal can have an effect that must be
/// committed, so it is not an error.
#[derive(Debug, Clone)]
pub enum Issuance {
    /// A new token.
    Issued(Box<Issued>),
    /// Nothing was issued, for this reason.
    Refused(&'static str),
}

/// One answer for all failures, so that an attacker who guesses codes learns nothing.
pub const CODE_REFUSED: &str = "the code is invalid, expired, used, or was made for another agent";
/// One answer for all failures, so that an attacker who guesses refresh tokens learns nothing.
pub const REFRESH_REFUSED: &str =
    "the refresh token is invalid, used, expired, or its grant is not active";

/// What [`exchange`] reads by key.
pub fn exchange_needs(shown: &Exchange) -> Needs {
    [Need::AuthRequest(shown.auth_request_id)].into()
}

/// Issues a token once for an idempotency key. An error undoes what `work` did. A refusal inside
/// `Ok` keeps it: the call is refused, and the grant whose secret is in two hands stays revoked.
/// Refusals are not kept as answers.
pub fn issue_once(
    tx: &mut dyn Tx,
    developer: DeveloperId,
    key: Option<&IdempotencyKey>,
    work: impl FnOnce(&mut dyn Tx) -> Result<Issuance>,
) -> Result<std::result::Result<Issued, Error>> {
    let mut refusal = None;
    let issued = idempotency::once(tx, developer, key, |tx| match work(tx)? {
        Issuance::Issued(issued) => Ok(*issued),
        Issuance::Refused(why) => {
            refusal = Some(Error::bad_request(why));
            Err(Error::bad_request(why))
        }
    });
    match refusal {
        Some(refusal) => Ok(Err(refusal)),
        None => issued.map(Ok),
    }
}

/// Turns an approved request into a grant with its first token. A failed try changes nothing.
///
/// A code that is presented again, with the agent and verifier of the first exchange, has leaked:
/// the grant that it created is revoked, with everything delegated from it (RFC 6749 §4.1.2).
pub fn exchange(
    tx: &mut dyn Tx,
    caller: &Caller,
    shown: &Exchange,
    signer: &Signer,
    quotas: &Quotas,
) -> Result<Issuance> {
    let invalid = || Error::bad_request(CODE_REFUSED);
    let now = tx.now();
    let mut request = tx
        .auth_request(shown.auth_request_id)?
        .filter(|request| request.developer_id == caller.developer_id)
        .filter(|request| request.agent_id.to_string() == shown.agent_id)
        .ok_or_else(invalid)?;
    if request.status == ConsentStatus::Exchanged && request.code_challenge == shown.challenge {
        if let Some(grant) = request.grant_id {
            end_grant(tx, caller.developer_id, grant)?;
        }
        return Ok(Issuance::Refused(CODE_REFUSED));
    }
    if request.status != ConsentStatus::Approved
        || request.code_expires_at().is_none_or(|end| end <= now)
    {
        return Err(invalid());
    }
    if request.code_challenge != shown.challenge {
        return Err(Error::bad_request(match (&request.code_challenge, &shown.challenge) {
            (Some(_), None) => "codeVerifier is missing; the request had a codeChallenge",
            (None, _) => "codeVerifier must be left out: the request had no codeChallenge",
            _ => "the codeVerifier does not match the codeChallenge of the request",
        }));
    }
    let agent = agents::active(tx, caller, &shown.agent_id)
        .map_err(|error| if error.code().is_some() { invalid() } else { error })?;
    let expires_at = request.grant_expires_at().ok_or_else(invalid)?;

    let grant = Grant {
        id: GrantId::from_parts(now.millis(), tx.random()),
        developer_id: caller.developer_id,
        agent_id: agent.agent_id,
        principal_id: request.principal_id.clone(),
        scopes: request.scopes.clone(),
        audience: request.audience.clone(),
        issued_at: now,
        expires_at,
        revoked_at: None,
        lapsed: false,
        parent_id: None,
        depth: 0,
    };
    request.status = ConsentStatus::Exchanged;
    request.grant_id = Some(grant.id);
    tx.update_auth_request(&request, ConsentStatus::Approved)?;
    let issued = create_grant(tx, &grant, None, signer, quotas)?;
    if let Some(budget) = &request.budget {
        budgets::insert(tx, &grant, budget.initial_budget, &budget.currency)?;
    }
    Ok(Issuance::Issued(Box::new(issued)))
}

/// Revokes the grant of a leaked secret, with everything below it: the service cannot distinguish
/// the client from a thief, and a thief may have delegated the grant.
fn end_grant(tx: &mut dyn Tx, developer: DeveloperId, id: GrantId) -> Result<()> {
    let now = tx.now();
    match tx.grant(developer, id)?.filter(|grant| grant.is_active(now)) {
        Some(grant) => cascade::revoke_grant(tx, &grant, RevokedBy::System),
        None => Ok(()),
    }
}

/// Adds a grant with its first token: `grant.created`, then `token.issued`.
pub(super) fn create_grant(
    tx: &mut dyn Tx,
    grant: &Grant,
    parent: Option<&Grant>,
    signer: &Signer,
    quotas: &Quotas,
) -> Result<Issued> {
    quotas::require_room_for_grant(tx, grant.developer_id, quotas)?;
    if grant.scopes.json_bytes() > LARGEST_SCOPES {
        return Err(Error::bad_request(format!(
            "the scopes must take at most {LARGEST_SCOPES} bytes together; ask for fewer"
        )));
    }
    tx.insert_grant(grant)?;
    let created = EventData::GrantCreated {
        grant_id: grant.id,
        agent_id: grant.agent_id,
        principal_id: grant.principal_id.clone(),
        scopes: grant.scopes.clone(),
    };
    tx.append(grant.developer_id, &grant.subject(), created)?;
    issue(tx, grant, parent, IssueMethod::Exchange, signer)
}

/// What [`refresh`] reads by key.
pub fn refresh_needs(id: RefreshId) -> Needs {
    [Need::RefreshToken(id)].into()
}

/// Spends a refresh token for a new token of the same grant.
///
/// One that is presented again after [`REUSE_GRACE`] has leaked: its grant is revoked, with
/// everything delegated from it (RFC 9700 §4.14.2).
pub fn refresh(
    tx: &mut dyn Tx,
    caller: &Caller,
    id: RefreshId,
    agent_id: &str,
    signer: &Signer,
) -> Result<Issuance> {
    let refused = Ok(Issuance::Refused(REFRESH_REFUSED));
    let now = tx.now();
    let Some(token) = tx.refresh_token(caller.developer_id, id)? else { return refused };
    if let Some(spent_at) = token.spent_at {
        if spent_at.plus(REUSE_GRACE) <= now {
            end_grant(tx, caller.developer_id, token.grant_id)?;
        }
        return refused;
    }
    let grant = tx
        .grant(caller.developer_id, token.grant_id)?
        .filter(|grant| grant.is_active(now) && grant.agent_id.to_string() == agent_id);
    let Some(grant) = grant.filter(|_| token.ended_at.is_none()) else { return refused };
    if !agents::suspended(tx, caller.developer_id, &chain(tx, &grant)?)?.is_empty() {
        return refused;
    }
    let parent = match grant.parent_id {
        Some(id) => tx.grant(caller.developer_id, id)?,
        None => None,
    };
    tx.spend_refresh_token(&token, now)?;
    let issued = issue(tx, &grant, parent.as_ref(), IssueMethod::Refresh, signer)?;
    Ok(Issuance::Issued(Box::new(issued)))
}

/// The agents that a grant's tokens rest on: its own, then those of the grants above, nearest
/// first.
fn chain(store: &dyn Read, grant: &Grant) -> Result<Vec<AgentId>> {
    let mut chain = vec![grant.agent_id];
    if grant.parent_id.is_some() {
        chain.extend(store.agents_above(grant.developer_id, grant.id)?);
    }
    Ok(chain)
}

fn issue(
    tx: &mut dyn Tx,
    grant: &Grant,
    parent: Option<&Grant>,
    method: IssueMethod,
    signer: &Signer,
) -> Result<Issued> {
    let now = tx.now();
    let token = Token {
        id: TokenId::from_parts(now.millis(), tx.random()),
        developer_id: grant.developer_id,
        grant_id: grant.id,
        issued_at: now,
        method: Some(method),
        expires_at: now.plus(signer.lifetime).min(grant.expires_at),
        revoked_at: None,
    };
    let refresh = RefreshToken {
        id: RefreshId::from_parts(now.millis(), tx.random()),
        developer_id: grant.developer_id,
        grant_id: grant.id,
        expires_at: grant.expires_at,
        spent_at: None,
        ended_at: None,
    };
    let budget = match method {
        IssueMethod::Exchange => None,
        IssueMethod::Refresh => tx.budget(grant.developer_id, grant.id)?,
    };
    let above = match parent {
        Some(_) => tx.agents_above(grant.developer_id, grant.id)?,
        None => Vec::new(),
    };
    tx.insert_token(&token, &signer.kid)?;
    tx.insert_refresh_token(&refresh)?;
    let issued = EventData::TokenIssued { grant_id: grant.id, token_id: token.id, method };
    tx.append(grant.developer_id, &grant.subject(), issued)?;
    // All of the standard claims or none: a verifier that reads them must not find half of them.
    let scope = grant.scopes.to_oauth();
    let is_standard = scope.is_some();
    Ok(Issued {
        claims: Claims {
            iss: signer.issuer.clone(),
            sub: grant.principal_id.clone(),
            agt: grant.agent_id.did(),
            dev: grant.developer_id,
            scp: grant.scopes.clone(),
            grnt: grant.id,
            jti: token.id,
            iat: now.seconds(),
            // JWTs count whole seconds. Rounded up, so that a one-second grant has a token at
            // all; what is checked here ends with the millisecond.
            exp: token.expires_at.plus_millis(999).seconds(),
            aud: grant.audience.clone(),
            parent_agt: parent.map(|parent| parent.agent_id.did()),
            parent_grnt: parent.map(|parent| parent.id),
            delegation_depth: parent.map(|_| grant.depth),
            bdg: budget.map(|budget| budget.remaining_budget.as_number()),
            client_id: is_standard.then_some(grant.agent_id),
            grant: is_standard.then(|| GrantClaim {
                grant_id: grant.id,
                agent_did: grant.agent_id.did(),
                developer_id: grant.developer_id,
                parent_grant_id: parent.map(|parent| parent.id),
                delegation_depth: parent.map(|_| grant.depth),
            }),
            act: ActingAgent::chain(above.into_iter().map(AgentId::did)).filter(|_| is_standard),
            scope,
        },
        kid: signer.kid.clone(),
        refresh_id: refresh.id,
        expires_at: token.expires_at,
    })
}

/// Why a token is not for this caller, whatever its standing: it is another developer's, or not for
/// the `audience` that the caller asks about.
pub fn not_for(
    claims: &Claims,
    developer: DeveloperId,
    audience: Option<&str>,
) -> Option<InactiveReason> {
    if claims.dev != developer {
        return Some(InactiveReason::WrongDeveloper);
    }
    let is_other = audience.is_some() && claims.aud.as_deref() != audience;
    is_other.then_some(InactiveReason::WrongAudience)
}

/// What of a grant decides whether its tokens are in force.
#[derive(Debug, Clone)]
pub struct GrantStanding {
    /// Whether it is revoked.
    pub revoked: bool,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The agents that have to be active: its own, then those of the grants above, nearest first.
    pub chain: Arc<[AgentId]>,
}

impl GrantStanding {
    /// Looks it up.
    pub fn load(store: &dyn Read, developer: DeveloperId, id: GrantId) -> Result<Option<Self>> {
        let Some(grant) = store.grant(developer, id)? else { return Ok(None) };
        let chain = chain(store, &grant)?.into();
        Ok(Some(Self {
            revoked: grant.revoked_at.is_some(),
            expires_at: grant.in_force_until(),
            chain,
        }))
    }
}

/// What of a token itself decides whether it is in force.
#[derive(Debug, Clone, Copy)]
pub struct TokenStanding {
    /// Whether it was revoked by itself.
    pub revoked: bool,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl TokenStanding {
    /// Looks it up.
    pub fn load(store: &dyn Read, developer: DeveloperId, id: TokenId) -> Result<Option<Self>> {
        let token = store.token(developer, id)?;
        Ok(token.map(|token| Self {
            revoked: token.revoked_at.is_some(),
            expires_at: token.expires_at,
        }))
    }
}

/// Everything that decides whether a token with a valid signature is in force.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Its grant, if there is one.
    pub grant: Option<GrantStanding>,
    /// The token, if it is known.
    pub token: Option<TokenStanding>,
    /// The agents of the grant's chain that are not active.
    pub suspended: Vec<AgentId>,
}

impl Standing {
    /// Looks it up.
    pub fn load(store: &dyn Read, developer: DeveloperId, claims: &Claims) -> Result<Self> {
        let grant = GrantStanding::load(store, developer, claims.grnt)?;
        let chain = grant.as_ref().map_or(&[][..], |grant| &grant.chain);
        let suspended = agents::suspended(store, developer, chain)?;
        Ok(Self { suspended, grant, token: TokenStanding::load(store, developer, claims.jti)? })
    }

    /// Why the token with these claims is not in force at `now`, or `None` if it is. Final reasons
    /// take precedence over a suspension, which may end.
    pub fn inactive_reason(&self, claims: &Claims, now: Timestamp) -> Option<InactiveReason> {
        let Some(grant) = &self.grant else { return Some(InactiveReason::NotFound) };
        if grant.revoked || self.token.is_some_and(|token| token.revoked) {
            return Some(InactiveReason::Revoked);
        }
        // The row of a token goes some time after its end.
        let claimed = Timestamp::from_millis(claims.exp.saturating_mul(1000));
        let token_ends = self.token.map_or(claimed, |token| token.expires_at);
        if grant.expires_at.min(token_ends) <= now {
            return Some(InactiveReason::Expired);
        }
        if self.token.is_none() {
            return Some(InactiveReason::NotFound);
        }
        (!self.suspended.is_empty()).then_some(InactiveReason::AgentSuspended)
    }
}

/// What [`revoke`] reads by key.
pub fn revoke_needs(id: TokenId) -> Needs {
    [Need::Token(id)].into()
}

/// Revokes one token. Its grant stays in force. Doing it twice is fine.
pub fn revoke(tx: &mut dyn Tx, caller: &Caller, id: TokenId) -> Result<()> {
    let token = tx.token(caller.developer_id, id)?.ok_or_else(|| Error::not_found("token"))?;
    if token.revoked_at.is_none() {
        let now = tx.now();
        tx.revoke_token(caller.developer_id, token.id, now)?;
    }
    Ok(())
}
