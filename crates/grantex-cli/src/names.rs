//! What events name by id only: agents and grants, looked up as they come.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use grantex::{Client, Error, ErrorKind};
use grantex_types::api::grants::Grant;
use grantex_types::{AgentId, GrantId};

/// Agents, and as many grants, that are remembered: some megabytes. Beyond it all are looked up anew.
const MOST: usize = 4096;
/// How long looking up may take of each second, so that events that come fast are not held up by it: beyond it
/// they are shown with ids.
const TIME_A_SECOND: Duration = Duration::from_millis(250);

/// Names and grants of one developer.
pub(crate) struct Names {
    client: Client,
    agents: HashMap<AgentId, Option<String>>,
    grants: HashMap<GrantId, Option<Grant>>,
    second: Instant,
    spent: Duration,
}

impl Names {
    pub(crate) fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            agents: HashMap::new(),
            grants: HashMap::new(),
            second: Instant::now(),
            spent: Duration::ZERO,
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

    /// What the service answers, `Some(None)` if there is no such thing; `None` if there was no time for an answer.
    async fn look_up<T>(&mut self, call: impl Future<Output = Result<T, Error>>) -> Option<Option<T>> {
        let begin = Instant::now();
        if begin.duration_since(self.second) >= Duration::from_secs(1) {
            (self.second, self.spent) = (begin, Duration::ZERO);
        }
        let left = TIME_A_SECOND.saturating_sub(self.spent);
        if left.is_zero() {
            return None;
        }
        let answer = tokio::time::timeout(left, call).await;
        self.spent = self.spent.saturating_add(begin.elapsed());
        match answer {
            Ok(Ok(found)) => Some(Some(found)),
            Ok(Err(error)) if error.kind() == ErrorKind::NotFound => Some(None),
            _ => None,
        }
    }
}
