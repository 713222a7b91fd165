use grantex_types::api::grants::{PrincipalSessionRequest, PrincipalSessionResponse};

use super::resource;
use crate::Error;

resource! {
    /// Sessions of principals; from
    /// [`Client::principal_sessions`](crate::Client::principal_sessions).
    PrincipalSessions
}

impl PrincipalSessions<'_> {
    /// Opens a session in which a principal sees and revokes their own grants.
    pub async fn create(
        self,
        request: &PrincipalSessionRequest,
    ) -> Result<PrincipalSessionResponse, Error> {
        self.client.transport.post("/v1/principal-sessions").body(request)?.json().await
    }
}
