//! Authorization requests and consent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bodies;
use crate::{Amount, AuthRequestId, Scopes, Timestamp};

/// What every authorization code begins with, so that a client recognises what is none before it
/// sends it.
pub const CODE_PREFIX: &str = "gxc_";

/// Where an authorization request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ConsentStatus {
    /// The principal has not decided.
    Pending,
    /// The principal agreed; the code waits to be exchanged.
    Approved,
    /// The principal refused.
    Denied,
    /// The code became a grant.
    Exchanged,
}

bodies! {
    /// `POST /v1/authorize`
    #[derive(Default)]
    #[serde(deny_unknown_fields)]
    pub struct AuthorizeRequest {
        /// The agent that asks.
        #[cfg_attr(feature = "openapi", schema(value_type = crate::AgentId))]
        pub agent_id: String,
        /// The person who is asked, as the developer identifies them. It is shown to them and must
        /// not have invisible or direction-changing characters.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 256, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$", example = "user-123"))]
        pub principal_id: String,
        /// What is asked for.
        #[cfg_attr(feature = "openapi", schema(value_type = super::agents::RequestedScopes))]
        pub scopes: Vec<String>,
        /// How long the grant lasts from the moment of consent; `24h` unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::Lifetime>))]
        pub expires_in: Option<String>,
        /// Where the principal's browser goes after the decision (http or https), with `code` or
        /// `error`, `state` and `iss`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(max_length = 2048, pattern = r"^https?://[!$%&()*+\-.0-9:=A-Z\[\]_a-z~]+([/?][!$%&()*+,\-./0-9:=?@A-Z\[\]_a-z~]*)?$", example = "https://app.example/callback"))]
        pub redirect_uri: Option<String>,
        /// Returned unchanged with the redirect.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(max_length = 1024, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$"))]
        pub state: Option<String>,
        /// Who the grant token is for (its `aud`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 1024, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"))]
        pub audience: Option<String>,
        /// PKCE: the base64url SHA-256 of the verifier that the exchange must send.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(min_length = 43, max_length = 43, pattern = r"^[A-Za-z0-9_-]{43}$"))]
        pub code_challenge: Option<String>,
        /// PKCE: `S256`; given together with the challenge.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(pattern = "^S256$"))]
        pub code_challenge_method: Option<String>,
        /// The budget that the grant has from the exchange on. The principal reads it on the
        /// consent page. Without it, `POST /v1/budget/allocate` gives the grant one later, and the
        /// principal is not asked about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub budget: Option<RequestedBudget>,
    }

    /// A budget that is asked for together with the access.
    #[derive(Default)]
    #[serde(deny_unknown_fields)]
    pub struct RequestedBudget {
        /// The amount, above zero, with at most four decimals.
        #[cfg_attr(feature = "openapi", schema(value_type = super::budgets::AmountInput))]
        pub initial_budget: Amount,
        /// Three upper-case letters; default `USD`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Z]{3}$", example = "USD"))]
        pub currency: Option<String>,
    }

    /// The answer to `POST /v1/authorize`.
    pub struct AuthorizeResponse {
        /// The request's id.
        pub auth_request_id: AuthRequestId,
        /// The page where the principal decides. Anyone who has this link can decide: send it to
        /// the principal only.
        pub consent_url: String,
        /// Until when the principal can decide.
        pub expires_at: Timestamp,
        /// Present and true when a sandbox key approved the request at once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub sandbox: Option<bool>,
        /// With `sandbox`: the code, ready to be exchanged. It begins with `gxc_`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub code: Option<String>,
    }

    /// A budget that the principal is asked for.
    #[derive(PartialEq, Eq)]
    pub struct AskedBudget {
        /// How much.
        #[cfg_attr(feature = "openapi", schema(value_type = String, example = "12.5000"))]
        pub initial_budget: Amount,
        /// Three upper-case letters.
        #[cfg_attr(feature = "openapi", schema(example = "USD"))]
        pub currency: String,
    }

    /// `GET /v1/consent/{id}`: what the principal is asked.
    pub struct ConsentRequest {
        /// The request's id.
        pub id: AuthRequestId,
        /// The agent's name.
        pub agent_name: String,
        /// The agent's decentralised identifier.
        pub agent_did: String,
        /// What the agent does.
        pub agent_description: String,
        /// What is asked for.
        pub scopes: Scopes,
        /// Each scope in words: the name that the developer gave it, or words made of the scope
        /// itself.
        pub scope_descriptions: BTreeMap<String, String>,
        /// What the grant could spend from the exchange on, if the request asks for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub budget: Option<AskedBudget>,
        /// Until when the principal can decide.
        pub expires_at: Timestamp,
        /// Always `pending`: a decided request is a 410.
        pub status: ConsentStatus,
    }

    /// The answer to an approval.
    pub struct ApproveResponse {
        /// The code to exchange for a grant. It begins with `gxc_`.
        pub code: String,
        /// The request's redirect URI, if it had one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub redirect_uri: Option<String>,
        /// The request's state, if it had one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub state: Option<String>,
    }

    /// The answer to a denial.
    pub struct DenyResponse {
        /// The request's redirect URI, if it had one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub redirect_uri: Option<String>,
        /// The request's state, if it had one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub state: Option<String>,
    }
}
