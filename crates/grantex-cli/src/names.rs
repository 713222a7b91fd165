//! Names of the agents and grants that events have by id, looked up on demand.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use grantex::{Client, Error, ErrorKind};
use grantex_types::api::grants::Grant;
use grantex_types::{AgentId, GrantId};

/// Agents, and as many grants, that are cached: some megabytes. When the cache is full it is
/// emptied.
const MOST: usize = 4096;
/// Time limit of one look-up: a new connection to a distant service takes half a second.
const PATIENCE: Duration = Duration::from_secs(2);
/// Look-ups take at most a quarter of the time, so that they do not delay frequent events. Beyond
/// that, events are shown with ids.
const SHARE: u32 = 4;
/// How far ahead of its share it may be.
const BURST: Duration = Duration::from_secs(1);

/// Names and grants of one developer.
pub(crate) struct Names {
    client: Client,
    agents: HashMap<AgentId, Option<String>>,
    grants: HashMap<GrantId, Option<Grant>>,
    /// When the time spent so far is within its share again.
    paid_until: Instant,
}

impl Names {
    pub(crate) fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            agents: HashMap::new(),
            grants: HashMap::new(),
            paid_until: Instant::now(),
        }
    }

    /// An agent's name, if it is known.
    pub(crate) async fn agent(&mut self, id: AgentId) -> Option<String> {
        if !self.agents.contains_key(&id) {
            let client = self.client.clone();
            let found = self.look_up(async { client.agents().get(id).await }).await?;
            if self.agents.len() >= MOST {
                self.agents.clear();
            }
            self.agents.insert(id, found.map(|agent| agent.name));
        }
        self.agents.get(&id)?.clone()
    }

    /// A grant, if it is known. Its status may have changed.
    pub(crate) async fn grant(&mut self, id: GrantId) -> Option<Grant> {
        if !self.grants.contains_key(&id) {
            let client = self.client.clone();
            let found = self.look_up(async { client.grants().get(id).await }).await?;
            if self.grants.len() >= MOST {
                self.grants.clear();
            }
            self.grants.insert(id, found);
        }
        self.grants.get(&id)?.clone()
    }

    /// What the service answers, `Some(None)` if there is no such thing; `None` if there was no
    /// time for an answer.
    async fn look_up<T>(
        &mut self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Option<Option<T>> {
        let begin = Instant::now();
        if self.paid_until.saturating_duration_since(begin) > BURST {
            return None;
        }
        let answer = tokio::time::timeout(PATIENCE, call).await;
        let cost = begin.elapsed().saturating_mul(SHARE);
        self.paid_until = self.paid_until.max(begin).checked_add(cost).unwrap_or(begin);
        match answer {
            Ok(Ok(found)) => Some(Some(found)),
            Ok(Err(error)) if error.kind() == ErrorKind::NotFound => Some(None),
            _ => None,
        }
    }
}
