//! The audit trail: who changed what outside the event log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bodies;
use crate::{AuditId, KeyId, Timestamp};

/// What kind of party did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ActorKind {
    /// One of the developer's API keys.
    ApiKey,
    /// A principal, on their own page or with a session token.
    Principal,
    /// The operator of the service.
    Operator,
    /// The service itself, or a signup, which has no credential yet.
    System,
}

bodies! {
    /// Who did something.
    #[derive(PartialEq, Eq)]
    pub struct Actor {
        /// What kind of party.
        pub kind: ActorKind,
        /// Identifies the party: the API key's id, the principal's id, the operator's user; `null`
        /// for the service itself.
        pub id: Option<String>,
    }

    /// One change, with who made it and when.
    #[derive(PartialEq, Eq)]
    pub struct AuditEntry {
        /// The entry's id.
        pub id: AuditId,
        /// When it happened.
        pub created_at: Timestamp,
        /// Who did it.
        pub actor: Actor,
        /// What was done: `key.created`, `key.rotated`, `key.revoked`, `session.created`,
        /// `session.ended`, `scope.named`, `scope.name_removed`, `developer.suspended`,
        /// `developer.resumed`. More may come.
        #[cfg_attr(feature = "openapi", schema(example = "key.created"))]
        pub action: String,
        /// The id of what it was done to, or the scope.
        #[cfg_attr(feature = "openapi", schema(example = "key_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA"))]
        pub target: String,
        /// What else is known, by name.
        pub details: BTreeMap<String, String>,
    }

    /// `GET /v1/audit/entries`
    pub struct AuditEntryList {
        /// Newest first.
        pub entries: Vec<AuditEntry>,
        /// Where the next page starts (`after`); `null` on the last page.
        pub next_cursor: Option<AuditId>,
    }
}

impl Actor {
    /// The service itself.
    pub const SYSTEM: Self = Self { kind: ActorKind::System, id: None };

    /// An API key.
    pub fn api_key(id: KeyId) -> Self {
        Self { kind: ActorKind::ApiKey, id: Some(id.to_string()) }
    }

    /// A principal.
    pub fn principal(id: &str) -> Self {
        Self { kind: ActorKind::Principal, id: Some(id.to_owned()) }
    }

    /// The operator, by the user of the machine.
    pub fn operator(user: &str) -> Self {
        Self { kind: ActorKind::Operator, id: Some(user.to_owned()) }
    }
}
