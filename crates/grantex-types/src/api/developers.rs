//! Developers and their API keys.

use serde::{Deserialize, Serialize};

use super::bodies;
use crate::{DeveloperId, KeyId, Timestamp};

/// Whether the principal gives consent (`live`), or it is given automatically (`sandbox`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Mode {
    /// Principals decide; keys start with `gx_live_`.
    #[default]
    Live,
    /// Requests are approved at once; keys start with `gx_test_`.
    Sandbox,
}

impl Mode {
    /// What every API key of this mode starts with.
    pub const fn key_prefix(self) -> &'static str {
        match self {
            Self::Live => "gx_live_",
            Self::Sandbox => "gx_test_",
        }
    }
}

bodies! {
    /// `POST /v1/signup`
    #[derive(Default)]
    pub struct SignupRequest {
        /// The developer's name.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$", example = "Acme"))]
        pub name: String,
        /// The developer's email address; each can be used by one developer only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(min_length = 3, max_length = 320, pattern = r"^[^@\s\u0000-\u001f\u007f-\u009f]+@[^@\s\u0000-\u001f\u007f-\u009f]+$", example = "dev@acme.example"))]
        pub email: Option<String>,
        /// `live` unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub mode: Option<Mode>,
    }

    /// The answer to a signup: the only time the key is shown.
    pub struct SignupResponse {
        /// The new developer.
        pub developer_id: DeveloperId,
        /// The API key. Store it now; the service keeps only its hash.
        pub api_key: String,
        /// The developer's name.
        pub name: String,
        /// The address, if one was given.
        pub email: Option<String>,
        /// The developer's mode.
        pub mode: Mode,
        /// When the developer signed up.
        pub created_at: Timestamp,
    }

    /// `GET /v1/me`
    pub struct Developer {
        /// The developer that the API key belongs to.
        pub developer_id: DeveloperId,
        /// The developer's name.
        pub name: String,
        /// The address, if one was given.
        pub email: Option<String>,
        /// The developer's mode.
        pub mode: Mode,
        /// When the developer signed up.
        pub created_at: Timestamp,
    }

    /// The answer to `POST /v1/keys/rotate`: the only time the new key is shown.
    pub struct RotateKeyResponse {
        /// The new API key. The one that made the call no longer works.
        pub api_key: String,
        /// When the key was replaced.
        pub rotated_at: Timestamp,
    }

    /// `POST /v1/keys`
    #[derive(Default)]
    pub struct CreateKeyRequest {
        /// What the key is for.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$", example = "ci"))]
        pub name: String,
    }

    /// An API key without its secret.
    pub struct ApiKey {
        /// The key's id.
        pub key_id: KeyId,
        /// What the key is for.
        pub name: String,
        /// The first characters of the secret, to distinguish keys.
        pub prefix: String,
        /// The mode of its developer.
        pub mode: Mode,
        /// When it was made.
        pub created_at: Timestamp,
        /// When it was revoked; `null` while it works.
        pub revoked_at: Option<Timestamp>,
    }

    /// The answer to `POST /v1/keys`: the only time the secret is shown.
    pub struct CreateKeyResponse {
        /// The key's id.
        pub key_id: KeyId,
        /// What the key is for.
        pub name: String,
        /// The secret. Store it now; the service keeps only its hash.
        pub api_key: String,
        /// The mode of its developer.
        pub mode: Mode,
        /// When it was made.
        pub created_at: Timestamp,
    }

    /// `GET /v1/keys`
    pub struct KeyList {
        /// Newest first.
        pub keys: Vec<ApiKey>,
        /// Where the next page starts (`after`); `null` on the last page.
        pub next_cursor: Option<KeyId>,
    }
}
