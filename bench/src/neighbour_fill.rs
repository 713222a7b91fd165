//! What the two developers of `neighbour` have from before, written straight into the store.

use std::path::Path;
use std::sync::Arc;

use grantex_core::model::{ApiKey, Grant};
use grantex_core::store::{self, Store, Tx};
use grantex_types::api::agents::{Agent, AgentStatus};
use grantex_types::api::budgets::{Budget, Transaction};
use grantex_types::api::developers::Mode;
use grantex_types::{
    AgentId, Amount, BudgetId, DeveloperId, GrantId, KeyId, Scopes, TransactionId,
};

use crate::filled::{fill as fill_log, store as open};
use crate::revoke::{grant, tree};

const PER_COMMIT: usize = 5000;

/// How much there is of everything.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Calls of B of each kind.
    pub(crate) calls: u32,
    /// A's events, B's events.
    pub(crate) events: [u64; 2],
    pub(crate) revoked_keys: usize,
    /// Agents to delete, each with dead grants and with some in force.
    pub(crate) agents: usize,
    pub(crate) dead_grants: usize,
    pub(crate) live_grants: usize,
    pub(crate) debits: usize,
    pub(crate) roots: usize,
    pub(crate) below: u32,
    pub(crate) revocable: usize,
    pub(crate) replays: usize,
    pub(crate) pages: usize,
    pub(crate) writers: usize,
    pub(crate) stalled: usize,
}

impl Sizes {
    pub(crate) const FULL: Self = Self {
        calls: 400,
        events: [500_000, 20_000],
        revoked_keys: 30_000,
        agents: 3,
        dead_grants: 100_000,
        live_grants: 2000,
        debits: 300_000,
        roots: 3,
        below: 10_000,
        revocable: 2000,
        replays: 200,
        pages: 200,
        writers: 64,
        stalled: 1000,
    };
    pub(crate) const SMOKE: Self = Self {
        calls: 20,
        events: [2000, 1500],
        revoked_keys: 100,
        agents: 1,
        dead_grants: 200,
        live_grants: 20,
        debits: 500,
        roots: 1,
        below: 1100,
        revocable: 5,
        replays: 4,
        pages: 4,
        writers: 4,
        stalled: 10,
    };
}

/// A's things.
pub(crate) struct Filled {
    pub(crate) agents: Vec<AgentId>,
    pub(crate) roots: Vec<GrantId>,
    pub(crate) revocable: Vec<GrantId>,
    /// A grant with many debits, and one in their middle.
    pub(crate) deep: (GrantId, TransactionId),
}

pub(crate) async fn fill(folder: &Path, [a, b]: [DeveloperId; 2], sizes: Sizes) -> Filled {
    fill_log(folder, a, sizes.events[0]).await;
    fill_log(folder, b, sizes.events[1]).await;
    let store = Filler { store: open(folder), developer: a };
    store.each(sizes.revoked_keys, revoked_key).await;
    let mut agents = Vec::new();
    for _ in 0..sizes.agents {
        let id = store.each(1, agent).await[0];
        store.each(sizes.dead_grants, move |tx, of, number| dead(tx, of, id, number)).await;
        store.each(sizes.live_grants, move |tx, of, _| live(tx, of, id)).await;
        agents.push(id);
    }
    let below = sizes.below;
    let roots = store.each(sizes.roots, move |tx, of, _| tree(tx, of, below)).await;
    let other = store.each(1, agent).await[0];
    let revocable = store.each(sizes.revocable, move |tx, of, _| live(tx, of, other)).await;
    let deep = store.each(1, move |tx, of, _| budget(tx, of, other)).await.remove(0);
    let of_debits = deep.grant_id;
    let debits = store.each(sizes.debits, move |tx, of, number| debit(tx, of, &deep, number)).await;
    Filled { agents, roots, revocable, deep: (of_debits, debits[debits.len() / 2]) }
}

struct Filler {
    store: Arc<dyn Store>,
    developer: DeveloperId,
}

impl Filler {
    /// Writes so many of something, numbered from 0.
    async fn each<T: Send + 'static>(
        &self,
        count: usize,
        one: impl Fn(&mut dyn Tx, DeveloperId, u64) -> grantex_core::Result<T>
        + Send
        + Sync
        + Clone
        + 'static,
    ) -> Vec<T> {
        let mut all = Vec::with_capacity(count);
        for first in (0..count).step_by(PER_COMMIT) {
            let (one, developer) = (one.clone(), self.developer);
            let numbers = first as u64..count.min(first + PER_COMMIT) as u64;
            let work = move |tx: &mut dyn Tx| {
                numbers.clone().map(|number| one(tx, developer, number)).collect()
            };
            let made: Vec<T> =
                store::write(self.store.as_ref(), developer, store::Needs::NONE, "bench", work)
                    .await
                    .unwrap();
            all.extend(made);
        }
        all
    }
}

fn revoked_key(tx: &mut dyn Tx, developer_id: DeveloperId, _: u64) -> grantex_core::Result<()> {
    let (now, random) = (tx.now(), tx.random());
    let mut hash = [0; 32];
    hash[..16].copy_from_slice(&random.to_le_bytes());
    let key = ApiKey {
        id: KeyId::from_parts(now.millis(), random),
        developer_id,
        name: "Key".into(),
        hash,
        prefix: "gx_test_".into(),
        mode: Mode::Sandbox,
        created_at: now,
        revoked_at: None,
        is_suspended: false,
    };
    tx.insert_key(&key)?;
    Ok(tx.revoke_key(&key, now)?)
}

fn agent(tx: &mut dyn Tx, developer_id: DeveloperId, _: u64) -> grantex_core::Result<AgentId> {
    let now = tx.now();
    let agent_id = AgentId::from_parts(now.millis(), tx.random());
    tx.insert_agent(&Agent {
        agent_id,
        did: agent_id.did(),
        developer_id,
        name: "Agent".into(),
        description: String::new(),
        scopes: Scopes::new(Vec::new()).unwrap(),
        status: AgentStatus::Active,
        created_at: now,
        updated_at: now,
    })?;
    Ok(agent_id)
}

fn live(tx: &mut dyn Tx, developer: DeveloperId, agent: AgentId) -> grantex_core::Result<GrantId> {
    let grant = Grant { agent_id: agent, ..grant(tx, developer) };
    tx.insert_grant(&grant)?;
    Ok(grant.id)
}

/// One that has expired, or was revoked.
fn dead(
    tx: &mut dyn Tx,
    developer: DeveloperId,
    agent: AgentId,
    number: u64,
) -> grantex_core::Result<()> {
    let now = tx.now();
    let mut grant = Grant { agent_id: agent, ..grant(tx, developer) };
    if number.is_multiple_of(2) {
        grant.expires_at = now;
        return Ok(tx.insert_grant(&grant)?);
    }
    tx.insert_grant(&grant)?;
    Ok(tx.revoke_grant(developer, grant.id, now)?)
}

fn budget(tx: &mut dyn Tx, developer: DeveloperId, agent: AgentId) -> grantex_core::Result<Budget> {
    let now = tx.now();
    let amount = Amount::from_units(1_000_000_000_000).unwrap();
    let budget = Budget {
        id: BudgetId::from_parts(now.millis(), tx.random()),
        grant_id: live(tx, developer, agent)?,
        developer_id: developer,
        initial_budget: amount,
        remaining_budget: amount,
        currency: "USD".into(),
        created_at: now,
        updated_at: now,
    };
    tx.insert_budget(&budget)?;
    Ok(budget)
}

fn debit(
    tx: &mut dyn Tx,
    developer: DeveloperId,
    budget: &Budget,
    number: u64,
) -> grantex_core::Result<TransactionId> {
    let now = tx.now();
    let transaction = Transaction {
        // Newer ones have higher ids.
        id: TransactionId::from_parts(now.millis() - 1_000_000 + number, tx.random()),
        grant_id: budget.grant_id,
        allocation_id: budget.id,
        amount: Amount::from_units(10_000).unwrap(),
        description: None,
        metadata: None,
        created_at: now,
    };
    let left =
        |debits: u64| Amount::from_units(budget.initial_budget.units() - debits * 10_000).unwrap();
    let before = Budget { remaining_budget: left(number), ..budget.clone() };
    tx.set_remaining(&before, left(number + 1), now)?;
    tx.insert_transaction(developer, &transaction)?;
    Ok(transaction.id)
}
