//! Grant tokens and refresh tokens.

use serde::{Deserialize, Serialize};

use super::bodies;
use crate::amount::AmountNumber;
use crate::{AgentId, DeveloperId, GrantId, Scopes, Timestamp, TokenId};

bodies! {
    /// `POST /v1/token`
    #[derive(Default)]
    pub struct ExchangeRequest {
        /// The code of an approved authorization request, which begins with `gxc_`.
        pub code: String,
        /// The agent that the request was made for.
        #[cfg_attr(feature = "openapi", schema(value_type = crate::AgentId))]
        pub agent_id: String,
        /// PKCE: the verifier of the request's challenge.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(min_length = 43, max_length = 128, pattern = r"^[A-Za-z0-9._~-]{43,128}$"))]
        pub code_verifier: Option<String>,
    }

    /// `POST /v1/token/refresh`
    #[derive(Default)]
    pub struct RefreshRequest {
        /// A refresh token that was not used before.
        pub refresh_token: String,
        /// The agent that the grant belongs to.
        #[cfg_attr(feature = "openapi", schema(value_type = crate::AgentId))]
        pub agent_id: String,
    }

    /// A grant token with what comes with it.
    pub struct TokenResponse {
        /// The signed JWT.
        pub grant_token: String,
        /// When the token ends.
        pub expires_at: Timestamp,
        /// What it allows.
        pub scopes: Scopes,
        /// The refresh token, valid for one refresh.
        pub refresh_token: String,
        /// The grant behind it.
        pub grant_id: GrantId,
    }

    /// `POST /v1/tokens/verify` and `POST /v1/grants/verify`
    #[derive(Default)]
    pub struct VerifyRequest {
        /// The JWT.
        pub token: String,
        /// The audience of the program that verifies: a token for another audience is not valid.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub audience: Option<String>,
    }

    /// The answer to `POST /v1/tokens/verify`; an invalid token has only `valid`.
    pub struct VerifyTokenResponse {
        /// Whether the signature, the lifetime, the token, the grant and the developer are valid.
        pub valid: bool,
        /// The grant behind the token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub grant_id: Option<GrantId>,
        /// What it allows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub scopes: Option<Scopes>,
        /// Who gave the grant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub principal: Option<String>,
        /// The agent's decentralised identifier.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub agent: Option<String>,
        /// When the token ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub expires_at: Option<Timestamp>,
        /// Who the token is for, if the request named an audience. Nobody else must accept it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub aud: Option<String>,
    }

    /// The answer to `POST /v1/grants/verify`.
    pub struct VerifyGrantResponse {
        /// Whether the token and its grant are in force.
        pub active: bool,
        /// When active: the token's claims.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub claims: Option<Claims>,
        /// When not active: the reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub reason: Option<InactiveReason>,
    }

    /// `POST /v1/tokens/revoke`
    #[derive(Default)]
    pub struct RevokeTokenRequest {
        /// The token's `jti`.
        #[cfg_attr(feature = "openapi", schema(value_type = TokenId))]
        pub jti: String,
    }

    /// The claims of a grant token: an access token of RFC 9068. `client_id`, `scope`,
    /// `urn:grantex:grant` and `act` have the standards' names for what `agt`, `dev`, `scp`, `grnt`
    /// and the `parent…` claims hold. Tokens of older grants whose scopes OAuth cannot represent do
    /// not have them.
    pub struct Claims {
        /// The issuer: the service's public base URL.
        pub iss: String,
        /// The principal.
        pub sub: String,
        /// The agent's decentralised identifier.
        pub agt: String,
        /// The developer.
        pub dev: DeveloperId,
        /// The scopes.
        pub scp: Scopes,
        /// The grant.
        pub grnt: GrantId,
        /// The token's id.
        pub jti: TokenId,
        /// Issued at, in seconds since 1970.
        #[cfg_attr(feature = "openapi", schema(minimum = 0))]
        pub iat: u64,
        /// Ends at, in seconds since 1970.
        #[cfg_attr(feature = "openapi", schema(minimum = 0))]
        pub exp: u64,
        /// Who the token is for, if the request named an audience.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub aud: Option<String>,
        /// Delegated grants: the agent that delegated.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub parent_agt: Option<String>,
        /// Delegated grants: the grant that was delegated.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub parent_grnt: Option<GrantId>,
        /// Delegated grants: how many hops lie between this grant and the principal's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub delegation_depth: Option<u8>,
        /// After a refresh of a grant with a budget: the remaining amount.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub bdg: Option<AmountNumber>,
        /// The agent's id.
        #[serde(rename = "client_id", default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub client_id: Option<AgentId>,
        /// The scopes, with spaces between.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub scope: Option<String>,
        /// The grant.
        #[serde(rename = "urn:grantex:grant", default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub grant: Option<GrantClaim>,
        /// Delegated grants: the agent that delegated, and those before it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub act: Option<ActingAgent>,
    }
}

/// The grant behind a token, as its claim `urn:grantex:grant` has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GrantClaim {
    /// The grant's id.
    pub grant_id: GrantId,
    /// The agent's decentralised identifier.
    pub agent_did: String,
    /// The developer.
    pub developer_id: DeveloperId,
    /// Delegated grants: the grant that was delegated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub parent_grant_id: Option<GrantId>,
    /// Delegated grants: how many hops lie between this grant and the principal's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub delegation_depth: Option<u8>,
}

/// Who acted, as in RFC 8693 §4.1: the most recent actor is outermost.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActingAgent {
    /// The agent's decentralised identifier.
    pub sub: String,
    /// The previous actor, in the same form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false, no_recursion))]
    pub act: Option<Box<Self>>,
}

impl ActingAgent {
    /// The actors with these identifiers, the last one first; `None` for none.
    pub fn chain(last_first: impl DoubleEndedIterator<Item = String>) -> Option<Self> {
        last_first.rev().fold(None, |before, sub| Some(Self { sub, act: before.map(Box::new) }))
    }
}

impl From<String> for VerifyRequest {
    fn from(token: String) -> Self {
        Self { token, audience: None }
    }
}

impl From<&str> for VerifyRequest {
    fn from(token: &str) -> Self {
        token.to_owned().into()
    }
}

impl From<&String> for VerifyRequest {
    fn from(token: &String) -> Self {
        token.clone().into()
    }
}

/// Why a token or its grant is not in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum InactiveReason {
    /// The token, its grant or a grant above it was revoked.
    Revoked,
    /// Its time is over.
    Expired,
    /// It is not a token of this service.
    NotFound,
    /// It belongs to another developer.
    WrongDeveloper,
    /// It is not for the audience that asks.
    WrongAudience,
    /// The grant's agent, or that of a grant above it, is suspended. It may be resumed.
    AgentSuspended,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_of_before_are_written_as_before() {
        // An answer that is kept for its idempotency key is signed again, and must give the same
        // token.
        let older = r#"{"iss":"https://auth.example","sub":"u","agt":"did:grantex:ag_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA","dev":"dev_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA","scp":["a"],"grnt":"grnt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA","jti":"tok_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA","iat":1,"exp":2,"parentAgt":"did:grantex:ag_01JNXJ5QH2M8Z4T6V7W9X0Y1ZB","parentGrnt":"grnt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZB","delegationDepth":1,"bdg":12.5}"#;
        let claims: Claims = serde_json::from_str(older).unwrap();
        assert_eq!(serde_json::to_string(&claims).unwrap(), older);
    }

    #[test]
    fn the_last_actor_is_outermost() {
        let chain = ActingAgent::chain(["parent", "root"].map(String::from).into_iter()).unwrap();
        assert_eq!(
            serde_json::to_string(&chain).unwrap(),
            r#"{"sub":"parent","act":{"sub":"root"}}"#
        );
        assert!(ActingAgent::chain(std::iter::empty()).is_none());
    }
}
