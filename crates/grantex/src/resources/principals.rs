use std::fmt::Display;

use futures_util::Stream;
use grantex_types::api::grants::{
    PrincipalSession, PrincipalSessionList, PrincipalSessionRequest, PrincipalSessionResponse,
};

use super::resource;
use crate::page::{Page, walk};
use crate::transport::segment;
use crate::{Client, Error};

resource! {
    /// Sessions in which principals see and revoke their own grants; from
    /// [`Client::principal_sessions`].
    ///
    /// ```no_run
    /// # async fn example(client: grantex::Client) -> Result<(), grantex::Error> {
    /// use grantex::api::grants::PrincipalSessionRequest;
    /// let request = PrincipalSessionRequest { principal_id: "user-123".into(), expires_in: Some("10m".into()) };
    /// let session = client.principal_sessions().create(&request).await?;
    /// println!("send the principal to {}", session.dashboard_url);
    /// client.principal_sessions().end_all("user-123").await?;
    /// # Ok(())
    /// # }
    /// ```
    PrincipalSessions
}

/// A selection of sessions, and a page of them.
#[derive(Debug, Clone, Default)]
pub struct PrincipalSessionListParams {
    /// Only this principal's.
    pub principal_id: Option<String>,
    /// The most items.
    pub limit: Option<u32>,
    /// Only sessions after this one.
    pub after: Option<String>,
}

impl PrincipalSessions<'_> {
    /// Opens a session in which a principal sees and revokes their own grants. Whoever has its
    /// token or its link has the session.
    pub async fn create(
        self,
        request: &PrincipalSessionRequest,
    ) -> Result<PrincipalSessionResponse, Error> {
        self.client.transport.post("/v1/principal-sessions").body(request)?.json().await
    }

    /// One page of the open sessions, without their tokens, newest first.
    pub async fn list(
        self,
        params: &PrincipalSessionListParams,
    ) -> Result<Page<PrincipalSession>, Error> {
        page(self.client, params).await
    }

    /// All open sessions, without their tokens, page by page as they are taken.
    pub fn all(
        self,
        params: PrincipalSessionListParams,
    ) -> impl Stream<Item = Result<PrincipalSession, Error>> + Send + use<> {
        let client = self.client.clone();
        walk(params.after.clone(), move |after| {
            let params = PrincipalSessionListParams { after, ..params.clone() };
            let client = client.clone();
            async move { page(&client, &params).await }
        })
    }

    /// Ends a session: its token and its page stop working at once.
    pub async fn end(self, id: impl Display) -> Result<(), Error> {
        let path = format!("/v1/principal-sessions/{}", segment(id));
        self.client.transport.delete(path).done().await
    }

    /// Ends all open sessions of a principal; having none is no error.
    pub async fn end_all(self, principal_id: impl Display) -> Result<(), Error> {
        let call = self.client.transport.delete("/v1/principal-sessions");
        call.query("principalId", Some(principal_id)).done().await
    }
}

async fn page(
    client: &Client,
    params: &PrincipalSessionListParams,
) -> Result<Page<PrincipalSession>, Error> {
    let call = client
        .transport
        .get("/v1/principal-sessions")
        .query("principalId", params.principal_id.as_ref())
        .query("limit", params.limit)
        .query("after", params.after.as_ref());
    let list: PrincipalSessionList = call.json().await?;
    Ok(Page::new(list.sessions, list.next_cursor))
}
