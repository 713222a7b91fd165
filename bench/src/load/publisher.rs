//! A publisher of real events: grants with budgets that are made beforehand, then one debit that
//! empties each.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{calls, now_ns};
use crate::server::Server;

/// Events of one debit that empties a budget: 50 %, 80 %, exhausted.
pub(crate) const EVENTS_OF_A_DEBIT: usize = 3;

/// Calls at once while the grants are made.
const AT_ONCE: usize = 32;

/// A grant with a budget, to be emptied.
struct Grant {
    key: String,
    id: String,
}

/// Grants with a budget each.
pub(crate) struct Grants {
    address: SocketAddr,
    grants: Vec<Grant>,
}

/// What publishing took.
pub(crate) struct Published {
    /// When each debit was sent, on the clock of [`now_ns`].
    pub(crate) begun: Vec<u64>,
    pub(crate) time: Duration,
}

impl Grants {
    /// Makes so many for the server's own developer, each with so large a budget.
    pub(crate) async fn make(server: &Server, count: usize, budget: u64) -> Self {
        Self::of_developers(server, std::slice::from_ref(&server.key), count, budget).await
    }

    /// Makes so many for each developer; in their order they take turns.
    pub(crate) async fn of_developers(
        server: &Server,
        keys: &[String],
        each: usize,
        budget: u64,
    ) -> Self {
        let address = server.address.parse().unwrap();
        let codes = Codes::make(server, keys, each).await;
        let mut grants: Vec<Option<Grant>> = codes.codes.iter().map(|_| None).collect();
        codes.exchange(AT_ONCE, |index, grant| {
            grants[index] = Some(Grant { key: codes.codes[index].key.clone(), id: grant });
        });
        let grants: Vec<Grant> = grants.into_iter().map(Option::unwrap).collect();
        let allocations = grants.iter().map(|grant| {
            let body = json!({"grantId": grant.id, "initialBudget": budget}).to_string();
            vec![calls::request(&grant.key, "POST /v1/budget/allocate", &body)]
        });
        tokio::task::block_in_place(|| calls::run(address, AT_ONCE, allocations, |_, _| {}));
        Self { address, grants }
    }

    /// Empties all budgets over so many connections at once, each as fast as it can. Where they are
    /// also revoked, a fourth event follows each three.
    pub(crate) fn empty_at_full_speed(&self, connections: usize, revoked: bool) -> Published {
        let start = Instant::now();
        let tasks = self.grants.iter().map(|grant| {
            let mut task = vec![grant.debit(1)];
            if revoked {
                task.push(calls::request(
                    &grant.key,
                    &format!("DELETE /v1/grants/{}", grant.id),
                    "",
                ));
            }
            task
        });
        calls::run(self.address, connections, tasks, |_, _| {});
        Published { begun: Vec::new(), time: start.elapsed() }
    }

    /// Empties each budget, one after the other over one connection, one each `pace`.
    pub(crate) fn empty_one_each(&self, pace: Duration) -> Published {
        let start = Instant::now();
        let mut begun = Vec::with_capacity(self.grants.len());
        let tasks = (0_u32..).zip(&self.grants).map(|(number, grant)| {
            std::thread::sleep((pace * number).saturating_sub(start.elapsed()));
            begun.push(now_ns());
            vec![grant.debit(1)]
        });
        calls::run(self.address, 1, tasks, |_, _| {});
        Published { begun, time: start.elapsed() }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.grants.len()
    }

    /// The id of one.
    pub(crate) fn id(&self, number: usize) -> &str {
        &self.grants[number].id
    }

    /// What all their budgets hold together.
    pub(crate) async fn left(&self, server: &Server) -> f64 {
        let mut left = 0.0;
        for grant in &self.grants {
            let budget = server.get(&grant.key, &format!("/v1/budget/balance/{}", grant.id)).await;
            left += budget["remainingBudget"].as_str().unwrap().parse::<f64>().unwrap();
        }
        left
    }

    /// Debits one of each budget in turn, so often in all, over so many connections at once.
    pub(crate) fn debit(&self, connections: usize, debits: usize) -> Duration {
        let start = Instant::now();
        let tasks = self.grants.iter().cycle().take(debits).map(|grant| vec![grant.debit(1)]);
        calls::run(self.address, connections, tasks, |_, _| {});
        start.elapsed()
    }

    /// The same for as long as is asked for.
    pub(crate) fn debit_while(&self, connections: usize, goes_on: impl Fn() -> bool) {
        let grants = self.grants.iter().cycle().take_while(|_| goes_on());
        calls::run(self.address, connections, grants.map(|grant| vec![grant.debit(1)]), |_, _| {});
    }
}

impl Grant {
    fn debit(&self, amount: u64) -> Vec<u8> {
        let body = format!(r#"{{"grantId":"{}","amount":{amount}}}"#, self.id);
        calls::request(&self.key, "POST /v1/budget/debit", &body)
    }
}

/// Consents that were given, each to be exchanged for a grant and its tokens.
pub(crate) struct Codes {
    address: SocketAddr,
    codes: Vec<Code>,
}

struct Code {
    key: String,
    agent: String,
    text: String,
}

impl Codes {
    /// Makes so many for each developer; in their order they take turns.
    pub(crate) async fn make(server: &Server, keys: &[String], each: usize) -> Self {
        let address = server.address.parse().unwrap();
        let mut agents = Vec::with_capacity(keys.len());
        for key in keys {
            agents.push(server.agent_of(key).await);
        }
        let mut codes = Vec::with_capacity(keys.len() * each);
        tokio::task::block_in_place(|| {
            let whose = || (0..each).flat_map(|_| keys.iter().zip(&agents));
            let asks = whose().map(|(key, agent)| {
                let ask =
                    json!({"agentId": agent, "principalId": "user", "scopes": ["calendar:read"]});
                vec![calls::request(key, "POST /v1/authorize", &ask.to_string())]
            });
            let mut given = vec![String::new(); keys.len() * each];
            calls::run(address, AT_ONCE, asks, |task, body| given[task] = text_of(body, "code"));
            for ((key, agent), code) in whose().zip(given) {
                codes.push(Code { key: key.clone(), agent: agent.clone(), text: code });
            }
        });
        Self { address, codes }
    }

    /// Exchanges all over so many connections at once; `granted` gets the number of the code and
    /// its grant.
    pub(crate) fn exchange(&self, connections: usize, mut granted: impl FnMut(usize, String)) {
        let tasks = self.codes.iter().map(|code| {
            let body = json!({"agentId": code.agent, "code": code.text}).to_string();
            vec![calls::request(&code.key, "POST /v1/token", &body)]
        });
        tokio::task::block_in_place(|| {
            calls::run(self.address, connections, tasks, |task, body| {
                granted(task, text_of(body, "grantId"));
            });
        });
    }
}

fn text_of(body: &[u8], field: &str) -> String {
    let body: Value = serde_json::from_slice(body).unwrap();
    body[field].as_str().unwrap().to_owned()
}
