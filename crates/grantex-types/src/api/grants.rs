//! Grants, delegation and the principal's own view.

use serde::{Deserialize, Serialize};

use super::bodies;
use crate::{AgentId, DeveloperId, GrantId, KeyId, Scopes, SessionId, Timestamp};

/// Whether a grant is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum GrantStatus {
    /// It is.
    Active,
    /// It was revoked.
    Revoked,
    /// Its time is over.
    Expired,
}

bodies! {
    /// A grant.
    pub struct Grant {
        /// The grant's id.
        pub grant_id: GrantId,
        /// The agent that holds it.
        pub agent_id: AgentId,
        /// Who gave it.
        pub principal_id: String,
        /// The developer it belongs to.
        pub developer_id: DeveloperId,
        /// What it allows.
        pub scopes: Scopes,
        /// Whether it is in force.
        pub status: GrantStatus,
        /// When it was issued.
        pub issued_at: Timestamp,
        /// When it ends.
        pub expires_at: Timestamp,
        /// When it was revoked, if so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub revoked_at: Option<Timestamp>,
        /// The grant it was delegated from, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub parent_grant_id: Option<GrantId>,
        /// How many delegations lie between it and the principal's consent.
        pub delegation_depth: u8,
    }

    /// `GET /v1/grants`
    pub struct GrantList {
        /// Newest first.
        pub grants: Vec<Grant>,
        /// Where the next page starts (`after`); `null` on the last page.
        pub next_cursor: Option<GrantId>,
    }

    /// `POST /v1/grants/delegate`
    #[derive(Default)]
    pub struct DelegateRequest {
        /// A grant token of the parent grant.
        pub parent_grant_token: String,
        /// The agent that receives the new grant.
        #[cfg_attr(feature = "openapi", schema(value_type = AgentId))]
        pub sub_agent_id: String,
        /// Some or all of the parent's scopes.
        #[cfg_attr(feature = "openapi", schema(value_type = super::agents::RequestedScopes))]
        pub scopes: Vec<String>,
        /// How long it lasts, never longer than the parent; `1h` unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::Lifetime>))]
        pub expires_in: Option<String>,
    }

    /// `POST /v1/principal-sessions`
    #[derive(Default)]
    pub struct PrincipalSessionRequest {
        /// The principal who will see and revoke their own grants.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 256, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$", example = "user-123"))]
        pub principal_id: String,
        /// How long the session lasts; default `1h`, at most `24h`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, pattern = "^(([1-9][0-9]{0,3}|[1-7][0-9]{4}|8[0-5][0-9]{3}|86[0-3][0-9]{2}|86400)s|([1-9][0-9]{0,2}|1[0-3][0-9]{2}|14[0-3][0-9]|1440)m|([1-9]|1[0-9]|2[0-4])h|1d)$", example = "1h"))]
        pub expires_in: Option<String>,
    }

    /// The answer to `POST /v1/principal-sessions`.
    pub struct PrincipalSessionResponse {
        /// The session's id, with which it can be ended.
        pub session_id: SessionId,
        /// The bearer token for the principal's own calls.
        pub session_token: String,
        /// The page on which the principal sees and revokes their grants. Anyone who has this link
        /// has the session. The page moves the token into a cookie, so that it does not stay in the
        /// browser's address.
        pub dashboard_url: String,
        /// When the session ends.
        pub expires_at: Timestamp,
    }

    /// A principal's session, without its token.
    pub struct PrincipalSession {
        /// Its id.
        pub session_id: SessionId,
        /// The principal.
        pub principal_id: String,
        /// The API key that opened it. The session ends when the key is revoked.
        pub key_id: KeyId,
        /// When it was opened.
        pub created_at: Timestamp,
        /// When it expires.
        pub expires_at: Timestamp,
    }

    /// `GET /v1/principal-sessions`
    pub struct PrincipalSessionList {
        /// Newest first.
        pub sessions: Vec<PrincipalSession>,
        /// Where the next page starts (`after`); `null` on the last page.
        pub next_cursor: Option<SessionId>,
    }

    /// `GET /v1/principal/grants`
    pub struct PrincipalGrants {
        /// Newest first.
        pub grants: Vec<Grant>,
        /// The principal of the session.
        pub principal_id: String,
        /// Where the next page starts (`after`); `null` on the last page.
        pub next_cursor: Option<GrantId>,
    }
}
