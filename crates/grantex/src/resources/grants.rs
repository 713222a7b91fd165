use std::fmt::Display;

use futures_util::Stream;
use grantex_types::api::grants::{DelegateRequest, Grant, GrantList, GrantStatus};
use grantex_types::api::tokens::{TokenResponse, VerifyGrantResponse, VerifyRequest};

use super::resource;
use crate::page::{Page, walk};
use crate::transport::segment;
use crate::{Client, Error};

resource! { creating
    /// Grants; from [`Client::grants`].
    ///
    /// ```no_run
    /// # async fn example(client: grantex::Client) -> Result<(), grantex::Error> {
    /// use futures_util::TryStreamExt as _;
    /// use grantex::resources::GrantListParams;
    /// let params = GrantListParams { principal_id: Some("user-123".into()), ..GrantListParams::default() };
    /// let mut grants = std::pin::pin!(client.grants().all(params));
    /// while let Some(grant) = grants.try_next().await? {
    ///     println!("{} {:?}", grant.grant_id, grant.status);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    Grants
}

/// A selection of grants, and a page of them.
#[derive(Debug, Clone, Default)]
pub struct GrantListParams {
    /// Only this agent's.
    pub agent_id: Option<String>,
    /// Only this principal's.
    pub principal_id: Option<String>,
    /// Only those with this status.
    pub status: Option<GrantStatus>,
    /// The most items.
    pub limit: Option<u32>,
    /// Only grants after this one.
    pub after: Option<String>,
}

impl Grants<'_> {
    /// One page of the grants.
    pub async fn list(self, params: &GrantListParams) -> Result<Page<Grant>, Error> {
        page(self.client, params).await
    }

    /// All grants, page by page as they are taken.
    pub fn all(
        self,
        params: GrantListParams,
    ) -> impl Stream<Item = Result<Grant, Error>> + Send + use<> {
        let client = self.client.clone();
        walk(params.after.clone(), move |after| {
            let (client, params) = (client.clone(), GrantListParams { after, ..params.clone() });
            async move { page(&client, &params).await }
        })
    }

    /// One grant.
    pub async fn get(self, id: impl Display) -> Result<Grant, Error> {
        self.client.transport.get(format!("/v1/grants/{}", segment(id))).json().await
    }

    /// Revokes a grant and every grant below it.
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if it does not exist or is revoked
    /// already.
    pub async fn revoke(self, id: impl Display) -> Result<(), Error> {
        self.client.transport.delete(format!("/v1/grants/{}", segment(id))).done().await
    }

    /// Delegates scopes of a grant to another agent.
    pub async fn delegate(self, request: &DelegateRequest) -> Result<TokenResponse, Error> {
        let call =
            self.client.transport.post("/v1/grants/delegate").idempotent(self.idempotency_key);
        call.body(request)?.json().await
    }

    /// Asks the service whether a token's grant is in force, and if not, why. Give the token, or a
    /// [`VerifyRequest`] with the audience that you are.
    pub async fn verify(
        self,
        request: impl Into<VerifyRequest>,
    ) -> Result<VerifyGrantResponse, Error> {
        self.client.transport.post("/v1/grants/verify").body(&request.into())?.json().await
    }
}

async fn page(client: &Client, params: &GrantListParams) -> Result<Page<Grant>, Error> {
    let status = params.status.map(|status| match status {
        GrantStatus::Active => "active",
        GrantStatus::Revoked => "revoked",
        GrantStatus::Expired => "expired",
    });
    let call = client.transport.get("/v1/grants");
    let call = call
        .query("agentId", params.agent_id.as_ref())
        .query("principalId", params.principal_id.as_ref());
    let call = call
        .query("status", status)
        .query("limit", params.limit)
        .query("after", params.after.as_ref());
    let list: GrantList = call.json().await?;
    Ok(Page::new(list.grants, list.next_cursor))
}
