//! Grant tokens: exchange, refresh, verification, revocation.

use grantex_types::api::authorization::ConsentStatus;
use grantex_types::api::tokens::{Claims, InactiveReason};
use grantex_types::event::IssueMethod;
use grantex_types::{
    AuthRequestId, DeveloperId, EventData, GrantId, Lifetime, RefreshId, Timestamp, TokenId,
};
use serde::{Deserialize, Serialize};

use super::agents;
use crate::model::{Caller, Grant, RefreshToken, Token};
use crate::store::{Read, Tx};
use crate::{Error, Result};

/// How long after its use a refresh token may come again without harm: a client that retries at
/// once is not a thief. Later its reuse ends the family (RFC 9700 §4.14.2).
pub const REUSE_GRACE: Lifetime = Lifetime::from_seconds(30);

/// How a token is to be signed.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The service's public base URL: `iss`.
    pub issuer: String,
    /// The signing key.
    pub kid: String,
}

/// A token to be signed, and a refresh token to be derived: everything but the secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Issued {
    /// What the JWT says.
    pub claims: Claims,
    /// The key that signs it.
    pub kid: String,
    /// The refresh token's public name.
    pub refresh_id: RefreshId,
    /// When the token ends, to the millisecond.
    pub expires_at: Timestamp,
}

/// What an exchange shows.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The request whose code was shown; the code itself is checked before.
    pub auth_request_id: AuthRequestId,
    /// The agent that claims the grant.
    pub agent_id: String,
    /// What the shown verifier hashes to, if one was shown.
    pub challenge: Option<String>,
}

/// Turns an approved request into a grant with its first token. A failed try changes nothing.
pub fn exchange(tx: &mut dyn Tx, caller: &Caller, shown: &Exchange, signer: &Signer) -> Result<Issued> {
    // One answer for all that a guesser could learn from.
    let invalid = || Error::bad_request("the code is invalid, expired, used, or was made for another agent");
    let now = tx.now();
    let mut request = tx
        .auth_request(shown.auth_request_id)?
        .filter(|request| request.developer_id == caller.developer_id)
        .filter(|request| request.status == ConsentStatus::Approved)
        .filter(|request| request.code_expires_at().is_some_and(|end| end > now))
        .filter(|request| request.agent_id.to_string() == shown.agent_id)
        .ok_or_else(invalid)?;
    if request.code_challenge != shown.challenge {
        return Err(Error::bad_request("the codeVerifier does not match the codeChallenge of the request"));
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
        parent_id: None,
        depth: 0,
    };
    request.status = ConsentStatus::Exchanged;
    tx.update_auth_request(&request)?;
    create_grant(tx, &grant, None, signer)
}

/// Adds a grant with its first token: `grant.created`, then `token.issued`.
pub(super) fn create_grant(
    tx: &mut dyn Tx,
    grant: &Grant,
    parent: Option<&Grant>,
    signer: &Signer,
) -> Result<Issued> {
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

/// What came of a refresh. A refusal can have an effect that must be kept, so it is not an error.
#[derive(Debug, Clone)]
pub enum Refreshed {
    /// A new token.
    Issued(Box<Issued>),
    /// Nothing was issued.
    Refused,
}

/// Spends a refresh token for a new token of the same grant.
pub fn refresh(
    tx: &mut dyn Tx,
    caller: &Caller,
    id: RefreshId,
    agent_id: &str,
    signer: &Signer,
) -> Result<Refreshed> {
    let now = tx.now();
    let Some(token) = tx.refresh_token(caller.developer_id, id)? else { return Ok(Refreshed::Refused) };
    if let Some(spent_at) = token.spent_at {
        if spent_at.plus(REUSE_GRACE) <= now {
            tx.end_refresh_family(token.grant_id, now)?;
        }
        return Ok(Refreshed::Refused);
    }
    let grant = tx
        .grant(caller.developer_id, token.grant_id)?
        .filter(|grant| grant.is_active(now) && grant.agent_id.to_string() == agent_id);
    let Some(grant) = grant.filter(|_| token.ended_at.is_none()) else { return Ok(Refreshed::Refused) };
    match agents::active(tx, caller, agent_id) {
        Ok(_) => {}
        Err(Error::Refused { .. }) => return Ok(Refreshed::Refused),
        Err(error) => return Err(error),
    }
    let parent = match grant.parent_id {
        Some(id) => tx.grant(caller.developer_id, id)?,
        None => None,
    };
    tx.spend_refresh_token(&token, now)?;
    let issued = issue(tx, &grant, parent.as_ref(), IssueMethod::Refresh, signer)?;
    Ok(Refreshed::Issued(Box::new(issued)))
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
        expires_at: grant.expires_at,
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
    tx.insert_token(&token, &signer.kid)?;
    tx.insert_refresh_token(&refresh)?;
    let issued = EventData::TokenIssued { grant_id: grant.id, token_id: token.id, method };
    tx.append(grant.developer_id, &grant.subject(), issued)?;
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
        },
        kid: signer.kid.clone(),
        refresh_id: refresh.id,
        expires_at: token.expires_at,
    })
}

/// What decides whether a token whose signature is good is in force.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Whether its grant is revoked, and when the grant ends; `None` if there is no such grant.
    pub grant: Option<(bool, Timestamp)>,
    /// Whether it was revoked by itself; `None` if there is no such token.
    pub token_revoked: Option<bool>,
}

impl Standing {
    /// Looks it up.
    pub fn load(store: &dyn Read, developer: DeveloperId, claims: &Claims) -> Result<Self> {
        let grant = store.grant(developer, claims.grnt)?;
        let token = store.token(developer, claims.jti)?;
        Ok(Self {
            grant: grant.map(|grant| (grant.revoked_at.is_some(), grant.expires_at)),
            token_revoked: token.map(|token| token.revoked_at.is_some()),
        })
    }

    /// Why the token is not in force at `now`, or `None` if it is.
    pub fn inactive_reason(&self, now: Timestamp) -> Option<InactiveReason> {
        let Some((grant_revoked, expires_at)) = self.grant else { return Some(InactiveReason::NotFound) };
        if grant_revoked || self.token_revoked == Some(true) {
            return Some(InactiveReason::Revoked);
        }
        if expires_at <= now {
            return Some(InactiveReason::Expired);
        }
        self.token_revoked.is_none().then_some(InactiveReason::NotFound)
    }
}

/// Ends one token; its grant stays. Doing it twice is fine.
pub fn revoke(tx: &mut dyn Tx, caller: &Caller, id: TokenId) -> Result<()> {
    let token = tx.token(caller.developer_id, id)?.ok_or_else(|| Error::not_found("token"))?;
    if token.revoked_at.is_none() {
        let now = tx.now();
        tx.revoke_token(caller.developer_id, token.id, now)?;
    }
    Ok(())
}
