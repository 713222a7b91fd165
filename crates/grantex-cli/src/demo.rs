//! A made-up but real lifecycle, driven through the public HTTP API.

use std::time::Duration;

use grantex_types::api::agents::Agent;
use grantex_types::api::authorization::AuthorizeResponse;
use grantex_types::api::tokens::TokenResponse;
use serde_json::{Value, json};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::Failure;
use crate::api::Api;

const AGENTS: [(&str, &str, &[&str]); 3] = [
    ("Calendar assistant", "Finds times and books meetings", &["calendar:read", "calendar:write"]),
    ("Travel agent", "Books trains and hotels", &["travel:book", "payments:initiate"]),
    ("Research agent", "Reads and summarises documents", &["files:read", "email:read"]),
];
const PRINCIPALS: [&str; 4] = ["user-ada", "user-grace", "user-alan", "user-edsger"];
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Goes on until it is dropped; a failed round is told, and another one begun.
pub(crate) async fn drive(api: Api, rate: f64) {
    let mut steps = interval(Duration::from_secs_f64(1.0 / rate));
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let agents = loop {
        match agents(&api).await {
            Ok(agents) => break agents,
            Err(error) => {
                tracing::warn!(%error, "the demo could not register its agents");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    };
    for number in 0_usize.. {
        let round = Round { api: &api, agents: &agents, number };
        if let Err(error) = round.run(&mut steps).await {
            tracing::warn!(%error, "a round of the demo failed");
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
    }
}

async fn agents(api: &Api) -> Result<Vec<Agent>, Failure> {
    let mut agents = Vec::new();
    for (name, description, scopes) in AGENTS {
        let request = json!({ "name": name, "description": description, "scopes": scopes });
        agents.push(api.post("/v1/agents", &request).await?);
    }
    Ok(agents)
}

struct Round<'a> {
    api: &'a Api,
    agents: &'a [Agent],
    number: usize,
}

impl Round<'_> {
    /// One principal's grant from consent to revocation: every step makes at least one event, and
    /// together they make all five types.
    async fn run(&self, steps: &mut Interval) -> Result<(), Failure> {
        let count = self.agents.len().max(1);
        let pick = |offset: usize| self.agents.get(self.number.wrapping_add(offset).checked_rem(count)?);
        let (Some(agent), Some(helper)) = (pick(0), pick(1)) else { return Ok(()) };
        let principal = PRINCIPALS.iter().cycle().nth(self.number.checked_rem(PRINCIPALS.len()).unwrap_or(0));
        let scopes = agent.scopes.as_slice();

        steps.tick().await;
        let request = json!({ "agentId": agent.agent_id, "principalId": principal, "scopes": scopes });
        let asked: AuthorizeResponse = self.api.post("/v1/authorize", &request).await?;
        let exchange = json!({ "agentId": agent.agent_id, "code": asked.code });
        let token: TokenResponse = self.api.post("/v1/token", &exchange).await?;
        let grant = token.grant_id;
        let budget = json!({ "grantId": grant, "initialBudget": 100 });
        let _: Value = self.api.post("/v1/budget/allocate", &budget).await?;

        for (amount, what) in [("55.00", "a train"), ("29.50", "a hotel"), ("15.50", "a taxi")] {
            steps.tick().await;
            let debit = json!({ "grantId": grant, "amount": amount, "description": what });
            let _: Value = self.api.post("/v1/budget/debit", &debit).await?;
        }

        steps.tick().await;
        let refresh = json!({ "agentId": agent.agent_id, "refreshToken": token.refresh_token });
        let token: TokenResponse = self.api.post("/v1/token/refresh", &refresh).await?;

        steps.tick().await;
        let delegate = json!({
            "parentGrantToken": token.grant_token, "subAgentId": helper.agent_id, "scopes": scopes.get(..1),
        });
        let _: TokenResponse = self.api.post("/v1/grants/delegate", &delegate).await?;

        steps.tick().await;
        self.api.delete(&format!("/v1/grants/{grant}")).await
    }
}
