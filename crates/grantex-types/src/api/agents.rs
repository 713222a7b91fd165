//! Agents.

use serde::{Deserialize, Serialize};

use super::bodies;
use crate::{AgentId, DeveloperId, Scopes, Timestamp};

/// Whether an agent may be given grants and tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum AgentStatus {
    /// It may.
    Active,
    /// It may not, until it is active again.
    Suspended,
}

bodies! {
    /// `POST /v1/agents`
    #[derive(Default)]
    pub struct CreateAgentRequest {
        /// The agent's name, shown to principals: with at least one visible character, and without
        /// invisible or direction-changing characters.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$", example = "Calendar assistant"))]
        pub name: String,
        /// What it does, shown to principals; without invisible or direction-changing characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(max_length = 2000, pattern = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$"))]
        pub description: Option<String>,
        /// The scopes it usually asks for. They describe; they do not limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<DeclaredScopes>))]
        pub scopes: Option<Vec<String>>,
    }

    /// `PATCH /v1/agents/{id}`: any of the fields, at least one.
    #[cfg_attr(feature = "openapi", schema(min_properties = 1))]
    #[derive(Default)]
    pub struct UpdateAgentRequest {
        /// A new name.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false, min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"))]
        pub name: Option<String>,
        /// A new description.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false, max_length = 2000, pattern = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$"))]
        pub description: Option<String>,
        /// New declared scopes.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false, value_type = DeclaredScopes))]
        pub scopes: Option<Vec<String>>,
        /// A new status.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(nullable = false))]
        pub status: Option<AgentStatus>,
    }

    /// An agent.
    pub struct Agent {
        /// The agent's id.
        pub agent_id: AgentId,
        /// The agent's decentralised identifier, `did:grantex:<agentId>`.
        pub did: String,
        /// The developer it belongs to.
        pub developer_id: DeveloperId,
        /// Its name.
        pub name: String,
        /// What it does.
        pub description: String,
        /// The scopes it usually asks for.
        pub scopes: Scopes,
        /// Whether it may be given grants and tokens.
        pub status: AgentStatus,
        /// When it was registered.
        pub created_at: Timestamp,
        /// When it was last changed.
        pub updated_at: Timestamp,
    }

    /// `GET /v1/agents`
    pub struct AgentList {
        /// Newest first.
        pub agents: Vec<Agent>,
        /// Where the next page starts (`after`); `null` on the last page.
        pub next_cursor: Option<AgentId>,
    }
}

/// A field that may be left out, but is not `null`.
fn present<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A list of scopes in a request, possibly empty.
#[cfg(feature = "openapi")]
pub struct DeclaredScopes;

/// A list of scopes in a request, at least one.
#[cfg(feature = "openapi")]
pub struct RequestedScopes;

#[cfg(feature = "openapi")]
mod openapi {
    use utoipa::openapi::RefOr;
    use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};

    use crate::scope::{LONGEST_SCOPE, MOST_SCOPES};

    fn list(least: Option<usize>) -> RefOr<Schema> {
        let item = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(LONGEST_SCOPE))
            .pattern(Some(r"^[!#-\[\]-~]+$"))
            .examples(["calendar:read"]);
        ArrayBuilder::new().items(item).min_items(least).max_items(Some(MOST_SCOPES)).into()
    }

    impl utoipa::PartialSchema for super::DeclaredScopes {
        fn schema() -> RefOr<Schema> {
            list(None)
        }
    }
    impl utoipa::ToSchema for super::DeclaredScopes {}

    impl utoipa::PartialSchema for super::RequestedScopes {
        fn schema() -> RefOr<Schema> {
            list(Some(1))
        }
    }
    impl utoipa::ToSchema for super::RequestedScopes {}
}
