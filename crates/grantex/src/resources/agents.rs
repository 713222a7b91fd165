use std::fmt::Display;

use futures_util::Stream;
use grantex_types::api::agents::{Agent, AgentList, CreateAgentRequest, UpdateAgentRequest};
use reqwest::Method;

use super::resource;
use crate::page::{ListParams, Page, walk};
use crate::transport::segment;
use crate::{Client, Error};

resource! { creating
    /// Agents; from [`Client::agents`].
    ///
    /// ```no_run
    /// # async fn example(client: grantex::Client) -> Result<(), grantex::Error> {
    /// use grantex::api::agents::CreateAgentRequest;
    /// let request = CreateAgentRequest { name: "Calendar assistant".into(), ..CreateAgentRequest::default() };
    /// println!("{}", client.agents().create(&request).await?.agent_id);
    /// # Ok(())
    /// # }
    /// ```
    Agents
}

impl Agents<'_> {
    /// Registers an agent.
    pub async fn create(self, request: &CreateAgentRequest) -> Result<Agent, Error> {
        self.client
            .transport
            .post("/v1/agents")
            .idempotent(self.idempotency_key)
            .body(request)?
            .json()
            .await
    }

    /// One page of the agents.
    pub async fn list(self, params: &ListParams) -> Result<Page<Agent>, Error> {
        page(self.client, params).await
    }

    /// All agents, page by page as they are taken.
    pub fn all(
        self,
        params: ListParams,
    ) -> impl Stream<Item = Result<Agent, Error>> + Send + use<> {
        let client = self.client.clone();
        walk(params.after.clone(), move |after| {
            let (client, params) = (client.clone(), ListParams { after, ..params.clone() });
            async move { page(&client, &params).await }
        })
    }

    /// One agent.
    pub async fn get(self, id: impl Display) -> Result<Agent, Error> {
        self.client.transport.get(format!("/v1/agents/{}", segment(id))).json().await
    }

    /// Changes the fields that are given.
    pub async fn update(
        self,
        id: impl Display,
        request: &UpdateAgentRequest,
    ) -> Result<Agent, Error> {
        let path = format!("/v1/agents/{}", segment(id));
        self.client.transport.call(Method::PATCH, path).body(request)?.json().await
    }

    /// Deletes an agent; its grants and all below them are revoked.
    pub async fn delete(self, id: impl Display) -> Result<(), Error> {
        self.client.transport.delete(format!("/v1/agents/{}", segment(id))).done().await
    }
}

async fn page(client: &Client, params: &ListParams) -> Result<Page<Agent>, Error> {
    let call = client
        .transport
        .get("/v1/agents")
        .query("limit", params.limit)
        .query("after", params.after.as_ref());
    let list: AgentList = call.json().await?;
    Ok(Page::new(list.agents, list.next_cursor))
}
