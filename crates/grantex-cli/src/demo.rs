//! A made-up but real lifecycle, driven through the public HTTP API.

use std::collections::VecDeque;
use std::time::Duration;

use grantex::Client;
use grantex::api::agents::{Agent, CreateAgentRequest};
use grantex::api::authorization::AuthorizeRequest;
use grantex::api::budgets::{AllocateRequest, DebitRequest};
use grantex::api::grants::DelegateRequest;
use grantex::api::tokens::{ExchangeRequest, RefreshRequest};
use grantex_types::GrantId;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::CommandError;

const AGENTS: [(&str, &str, &[&str]); 3] = [
    ("Calendar assistant", "Finds times and books meetings", &["calendar:read", "calendar:write"]),
    ("Travel agent", "Books trains and hotels", &["travel:book", "payments:initiate"]),
    ("Research agent", "Reads and summarises documents", &["files:read", "email:read"]),
];
const PRINCIPALS: [&str; 4] = ["user-ada", "user-grace", "user-alan", "user-edsger"];
/// Grants of earlier rounds that stay in force, so that they can be looked at: an hour's at the
/// usual rate.
const LASTING_GRANTS: usize = 2_000;
/// Longer than they stay in force at the usual rate; what is in force when the demo ends, ends
/// then.
const LIFETIME: &str = "2h";
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Runs until it is dropped. A failed round is logged, and the next one begins.
pub(crate) async fn drive(client: Client, rate: f64) {
    let mut steps = interval(Duration::from_secs_f64(1.0 / rate));
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let agents = loop {
        match agents(&client).await {
            Ok(agents) => break agents,
            Err(error) => {
                tracing::warn!(%error, "the demo could not register its agents");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    };
    let mut lasting = VecDeque::new();
    for number in 0_usize.. {
        let round = Round { client: &client, agents: &agents, number };
        if let Err(error) = round.run(&mut steps, &mut lasting).await {
            tracing::warn!(%error, "a round of the demo failed; the next one begins");
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
    }
}

async fn agents(client: &Client) -> Result<Vec<Agent>, CommandError> {
    let mut agents = Vec::new();
    for (name, description, scopes) in AGENTS {
        let request = CreateAgentRequest {
            name: name.into(),
            description: Some(description.into()),
            scopes: Some(scopes.iter().map(ToString::to_string).collect()),
        };
        agents.push(client.agents().create(&request).await?);
    }
    Ok(agents)
}

struct Round<'a> {
    client: &'a Client,
    agents: &'a [Agent],
    number: usize,
}

impl Round<'_> {
    /// One principal's grant from consent to a spent budget. A part of it is delegated to another
    /// agent and, every other time, revoked. Then the oldest of the lasting grants is revoked, if
    /// there are enough. Every step writes at least one event, and two rounds write all five types.
    async fn run(
        &self,
        steps: &mut Interval,
        lasting: &mut VecDeque<GrantId>,
    ) -> Result<(), CommandError> {
        let count = self.agents.len().max(1);
        let pick =
            |offset: usize| self.agents.get(self.number.wrapping_add(offset).checked_rem(count)?);
        let (Some(agent), Some(helper)) = (pick(0), pick(1)) else { return Ok(()) };
        let principal =
            PRINCIPALS.iter().cycle().nth(self.number.checked_rem(PRINCIPALS.len()).unwrap_or(0));
        let scopes = agent.scopes.as_slice();
        let (client, agent_id) = (self.client, agent.agent_id.to_string());

        steps.tick().await;
        let asked = client
            .authorize(&AuthorizeRequest {
                agent_id: agent_id.clone(),
                principal_id: principal.copied().unwrap_or_default().into(),
                scopes: scopes.to_vec(),
                expires_in: Some(LIFETIME.into()),
                ..AuthorizeRequest::default()
            })
            .await?;
        let code = asked.code.ok_or("the key is not a sandbox key")?;
        let exchange = ExchangeRequest { code, agent_id: agent_id.clone(), code_verifier: None };
        let token = client.tokens().exchange(&exchange).await?;
        let grant_id = token.grant_id.to_string();
        let initial_budget = "100".parse()?;
        let budget = AllocateRequest { grant_id: grant_id.clone(), initial_budget, currency: None };
        client.budgets().allocate(&budget).await?;

        for (amount, what) in [("55.00", "a train"), ("29.50", "a hotel"), ("15.50", "a taxi")] {
            steps.tick().await;
            let debit = DebitRequest {
                grant_id: grant_id.clone(),
                amount: amount.parse()?,
                description: Some(what.into()),
                metadata: None,
            };
            client.budgets().debit(&debit).await?;
        }

        steps.tick().await;
        let token = client
            .tokens()
            .refresh(&RefreshRequest { refresh_token: token.refresh_token, agent_id })
            .await?;

        steps.tick().await;
        let delegate = DelegateRequest {
            parent_grant_token: token.grant_token,
            sub_agent_id: helper.agent_id.to_string(),
            scopes: scopes.iter().take(1).cloned().collect(),
            expires_in: Some(LIFETIME.into()),
        };
        let delegated = client.grants().delegate(&delegate).await?;

        if self.number.is_multiple_of(2) {
            steps.tick().await;
            client.grants().revoke(delegated.grant_id).await?;
        }
        lasting.push_back(token.grant_id);
        if lasting.len() > LASTING_GRANTS
            && let Some(oldest) = lasting.pop_front()
        {
            steps.tick().await;
            client.grants().revoke(oldest).await?;
        }
        Ok(())
    }
}
