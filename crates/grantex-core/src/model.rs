//! The rows that rules decide on. Where a row is exactly what the API shows, it is the API's type.

use grantex_types::api::authorization::ConsentStatus;
use grantex_types::api::developers::Mode;
use grantex_types::api::grants::{self as api, GrantStatus};
use grantex_types::event::IssueMethod;
use grantex_types::{
    AgentId, AuthRequestId, DeveloperId, GrantId, KeyId, Lifetime, RefreshId, Scopes, Timestamp,
    TokenId,
};

pub use grantex_types::api::agents::Agent;
pub use grantex_types::api::audit::{Actor, ActorKind, AuditEntry};
pub use grantex_types::api::authorization::AskedBudget;
pub use grantex_types::api::budgets::{Budget, Transaction};
pub use grantex_types::api::developers::Developer;
pub use grantex_types::api::grants::PrincipalSession;
pub use grantex_types::api::scopes::ScopeName;

use crate::log::Subject;

/// Who makes a call: an API key that works, and its developer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The tenant.
    pub developer_id: DeveloperId,
    /// The key.
    pub key_id: KeyId,
    /// The developer's mode.
    pub mode: Mode,
}

/// A developer, as the operator of the service sees it.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// The developer.
    pub developer: Developer,
    /// Since when the operator has suspended it.
    pub suspended_at: Option<Timestamp>,
}

/// What a developer has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Agents that were not deleted.
    pub agents: u64,
    /// Grants that were not revoked, and not put aside as expired: maintenance does that every
    /// minute.
    pub grants: u64,
    /// About how many bytes its rows take.
    pub bytes: u64,
}

/// SHA-256 of an API key's secret.
pub type KeyHash = [u8; 32];

/// An API key.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// Its public name.
    pub id: KeyId,
    /// The developer it belongs to.
    pub developer_id: DeveloperId,
    /// What it is for.
    pub name: String,
    /// The stored part of the secret.
    pub hash: KeyHash,
    /// The secret's first characters, to distinguish keys.
    pub prefix: String,
    /// The developer's mode.
    pub mode: Mode,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Whether its developer is suspended.
    pub is_suspended: bool,
}

/// What a principal is asked to consent to.
#[derive(Debug, Clone)]
pub struct AuthRequest {
    /// Its id: also the principal's credential, inside the consent link.
    pub id: AuthRequestId,
    /// The developer it belongs to.
    pub developer_id: DeveloperId,
    /// The agent that asks.
    pub agent_id: AgentId,
    /// Who is asked.
    pub principal_id: String,
    /// What is asked for.
    pub scopes: Scopes,
    /// How long the grant lasts from consent.
    pub lifetime: Lifetime,
    /// Where the browser goes afterwards.
    pub redirect_uri: Option<String>,
    /// Handed back with the redirect.
    pub state: Option<String>,
    /// The grant tokens' `aud`.
    pub audience: Option<String>,
    /// PKCE: what the verifier must hash to.
    pub code_challenge: Option<String>,
    /// Where it stands.
    pub status: ConsentStatus,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when the principal can decide.
    pub expires_at: Timestamp,
    /// When the principal decided.
    pub decided_at: Option<Timestamp>,
    /// The grant that the code became.
    pub grant_id: Option<GrantId>,
    /// What the grant is to be able to spend from the start.
    pub budget: Option<AskedBudget>,
}

/// How long an approved request's code can be exchanged: RFC 6749 §4.1.2 recommends ten minutes
/// at most.
pub const CODE_LIFETIME: Lifetime = Lifetime::from_seconds(600);

impl AuthRequest {
    /// When the grant of an approved request ends: counted from the consent, so that the
    /// principal gets exactly what they were shown.
    pub fn grant_expires_at(&self) -> Option<Timestamp> {
        self.decided_at.map(|at| at.plus(self.lifetime))
    }

    /// Until when the code of an approved request can be exchanged.
    pub fn code_expires_at(&self) -> Option<Timestamp> {
        self.decided_at.map(|at| at.plus(CODE_LIFETIME.min(self.lifetime)))
    }
}

/// A grant. A grant that a running cascade covers is revoked, whether or not its own row is updated
/// yet.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// The developer it belongs to.
    pub developer_id: DeveloperId,
    /// The agent that holds it.
    pub agent_id: AgentId,
    /// Who gave it.
    pub principal_id: String,
    /// What it allows.
    pub scopes: Scopes,
    /// Its tokens' `aud`.
    pub audience: Option<String>,
    /// When it came to be.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Since when it is revoked.
    pub revoked_at: Option<Timestamp>,
    /// Whether the service has put it aside as expired: for good, whatever the clock reads later.
    pub lapsed: bool,
    /// The grant it was delegated from.
    pub parent_id: Option<GrantId>,
    /// How many delegations lie between it and the consent.
    pub depth: u8,
}

impl Grant {
    /// Whether it is in force at `now`. Revocation outweighs expiry.
    pub fn status(&self, now: Timestamp) -> GrantStatus {
        if self.revoked_at.is_some() {
            GrantStatus::Revoked
        } else if self.in_force_until() <= now {
            GrantStatus::Expired
        } else {
            GrantStatus::Active
        }
    }

    /// When it ends, or ended, by itself.
    pub fn in_force_until(&self) -> Timestamp {
        if self.lapsed { Timestamp::EPOCH } else { self.expires_at }
    }

    /// Whether it is in force at `now`.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.status(now) == GrantStatus::Active
    }

    /// What its events are about.
    pub fn subject(&self) -> Subject {
        Subject {
            grant_id: self.id,
            agent_id: self.agent_id,
            principal_id: self.principal_id.clone(),
        }
    }

    /// The grant as the API shows it at `now`.
    pub fn into_api(self, now: Timestamp) -> api::Grant {
        api::Grant {
            status: self.status(now),
            grant_id: self.id,
            agent_id: self.agent_id,
            principal_id: self.principal_id,
            developer_id: self.developer_id,
            scopes: self.scopes,
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            parent_grant_id: self.parent_id,
            delegation_depth: self.depth,
        }
    }
}

/// An issued grant token. The JWT itself is not kept.
#[derive(Debug, Clone)]
pub struct Token {
    /// The JWT's `jti`.
    pub id: TokenId,
    /// The developer it belongs to.
    pub developer_id: DeveloperId,
    /// The grant behind it.
    pub grant_id: GrantId,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// How it was issued; `None` for one that an earlier version issued.
    pub method: Option<IssueMethod>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was revoked by itself.
    pub revoked_at: Option<Timestamp>,
}

/// A refresh token. All those of one grant are one family, of which at most one is current.
#[derive(Debug, Clone)]
pub struct RefreshToken {
    /// Its public name; the secret is derived from it and kept nowhere.
    pub id: RefreshId,
    /// The developer it belongs to.
    pub developer_id: DeveloperId,
    /// The grant that it renews.
    pub grant_id: GrantId,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was used.
    pub spent_at: Option<Timestamp>,
    /// When a reuse in its family ended it. Since then a reuse ends the grant itself.
    pub ended_at: Option<Timestamp>,
}

/// A revocation too large for one transaction: what it covers is inactive since the job exists;
/// the rows and their events follow in slices.
#[derive(Debug, Clone)]
pub struct CascadeJob {
    /// Jobs of one developer run in this order.
    pub seq: u64,
    /// The developer it belongs to.
    pub developer_id: DeveloperId,
    /// Since when everything below is inactive.
    pub created_at: Timestamp,
    /// Set when the job covers all grants of an agent, and everything below them.
    pub agent_id: Option<AgentId>,
    /// The grant whose descendants are being revoked; with an agent, `None` between two of its
    /// grants.
    pub root: Option<GrantId>,
}

/// A grant that a cascade comes to.
#[derive(Debug, Clone)]
pub struct Reached {
    /// The grant, as its events name it.
    pub subject: Subject,
    /// Whether it was revoked or had expired already. Only rows of an earlier version can be so.
    pub is_over: bool,
    /// Whether an unfinished [`CascadeJob`] covers it, and will revoke it.
    pub is_covered: bool,
}

/// A change of an agent other than of its texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentChangeKind {
    /// It was suspended.
    Suspended,
    /// It was made active again.
    Resumed,
    /// It was deleted.
    Deleted,
}

/// One change of an agent. Kept as long as the agent's row, which is never deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentChange {
    /// 1, 2, 3, … for each agent.
    pub number: u64,
    /// What happened.
    pub kind: AgentChangeKind,
    /// When.
    pub at: Timestamp,
}
