use std::fmt::Display;

use grantex_types::api::authorization::{
    ApproveResponse, AuthorizeRequest, AuthorizeResponse, DenyResponse,
};

use super::resource;
use crate::Error;
use crate::transport::segment;

resource! { creating
    /// Authorization requests; from [`Client::authorizations`](crate::Client::authorizations).
    Authorizations
}

impl Authorizations<'_> {
    /// Asks a principal for consent; see [`Client::authorize`](crate::Client::authorize).
    pub async fn create(self, request: &AuthorizeRequest) -> Result<AuthorizeResponse, Error> {
        self.client
            .transport
            .post("/v1/authorize")
            .idempotent(self.idempotency_key)
            .body(request)?
            .json()
            .await
    }

    /// Approves a pending request in the principal's place; only in a sandbox.
    pub async fn approve(self, id: impl Display) -> Result<ApproveResponse, Error> {
        let path = format!("/v1/authorize/{}/approve", segment(id));
        self.client.transport.post(path).unsafe_to_repeat().json().await
    }

    /// Denies a pending request in the principal's place; only in a sandbox.
    pub async fn deny(self, id: impl Display) -> Result<DenyResponse, Error> {
        let path = format!("/v1/authorize/{}/deny", segment(id));
        self.client.transport.post(path).unsafe_to_repeat().json().await
    }
}
