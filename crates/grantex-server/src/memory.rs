//! What the service keeps in memory beside the store. The wiring makes it and gives it to the
//! store, as the listener of its commits, and to the service.

use std::collections::HashSet;
use std::sync::Arc;

use grantex_core::log::{Position, StoredEvent};
use grantex_core::model::{Caller, KeyHash};
use grantex_core::store::{Batch, Change, Listener};
use grantex_core::usecase::tokens::{GrantStanding, Standing, TokenStanding};
use grantex_types::api::tokens::Claims;
use grantex_types::{AgentId, DeveloperId, GrantId, TokenId};
use parking_lot::RwLock;
use tokio::sync::Notify;

use crate::cache::{CommitCache, Generation};
use crate::http::rate::RateLimits;
use crate::http::shares::Shares;
use crate::settings::Settings;
use crate::stream::hub::Hub;

/// Rows that each cache holds at most: some tens of megabytes in all.
const CACHED_ROWS: usize = 100_000;

/// What the service keeps in memory beside the store: copies of rows, open streams, and what limits
/// count. Commit notices keep the rows up to date.
pub struct Memory {
    /// In groups by the hash's first byte: the developer of a key is not known before the key is
    /// found.
    keys: CommitCache<u8, KeyHash, Caller>,
    grants: CommitCache<DeveloperId, GrantId, GrantStanding>,
    tokens: CommitCache<DeveloperId, TokenId, TokenStanding>,
    /// Which agents are active.
    agents: CommitCache<DeveloperId, AgentId, bool>,
    pub(crate) streams: Arc<Hub>,
    pub(crate) rates: RateLimits,
    pub(crate) shares: Arc<Shares>,
    /// Developers that had reached their quota of bytes when it was last compared with the store.
    pub(crate) full: RwLock<HashSet<DeveloperId>>,
    pub(crate) cascade_started: Notify,
    /// Where the callers of commands wait, if it existed when this was made.
    runtime: Option<tokio::runtime::Handle>,
}

/// The generations in which the rows of a token's standing are loaded.
pub(crate) struct StandingGenerations {
    grants: Generation,
    tokens: Generation,
    agents: Generation,
}

impl Memory {
    /// An empty memory with the limits of these settings.
    pub fn new(settings: &Settings) -> Arc<Self> {
        Arc::new(Self {
            keys: CommitCache::new(CACHED_ROWS),
            grants: CommitCache::new(CACHED_ROWS),
            tokens: CommitCache::new(CACHED_ROWS),
            agents: CommitCache::new(CACHED_ROWS),
            streams: Arc::new(Hub::new(&settings.streams)),
            rates: RateLimits::new(&settings.rates),
            shares: Shares::new(&settings.requests),
            full: RwLock::default(),
            cascade_started: Notify::new(),
            runtime: tokio::runtime::Handle::try_current().ok(),
        })
    }

    /// Begins a period: rows are kept for two.
    pub(crate) fn age(&self) {
        self.keys.age();
        self.grants.age();
        self.tokens.age();
        self.agents.age();
    }

    /// The caller with this API key.
    pub(crate) fn caller(&self, hash: &KeyHash) -> Option<Caller> {
        self.keys.get(&key_group(hash), hash)
    }

    /// What [`keep_caller`](Self::keep_caller) needs from before the key is loaded.
    pub(crate) fn caller_generation(&self, hash: &KeyHash) -> Generation {
        self.keys.generation(&key_group(hash))
    }

    /// Keeps a caller whose key was loaded from the store.
    pub(crate) fn keep_caller(&self, generation: Generation, hash: KeyHash, caller: Caller) {
        self.keys.insert(generation, &key_group(&hash), hash, caller);
    }

    /// What decides whether a token is in force, if all of it is here.
    pub(crate) fn standing(&self, claims: &Claims) -> Option<Standing> {
        let grant = self.grants.get(&claims.dev, &claims.grnt)?;
        let token = self.tokens.get(&claims.dev, &claims.jti)?;
        let mut suspended = Vec::new();
        for agent in grant.chain.iter() {
            if !self.agents.get(&claims.dev, agent)? {
                suspended.push(*agent);
            }
        }
        Some(Standing { grant: Some(grant), token: Some(token), suspended })
    }

    /// What [`keep_standing`](Self::keep_standing) needs from before the rows are loaded.
    pub(crate) fn standing_generations(&self, developer: DeveloperId) -> StandingGenerations {
        StandingGenerations {
            grants: self.grants.generation(&developer),
            tokens: self.tokens.generation(&developer),
            agents: self.agents.generation(&developer),
        }
    }

    /// Keeps the standing of the token with these claims, which was loaded from the store.
    pub(crate) fn keep_standing(
        &self,
        generations: &StandingGenerations,
        claims: &Claims,
        standing: &Standing,
    ) {
        let developer = &claims.dev;
        if let Some(grant) = &standing.grant {
            for agent in grant.chain.iter() {
                let is_active = !standing.suspended.contains(agent);
                self.agents.insert(generations.agents, developer, *agent, is_active);
            }
            self.grants.insert(generations.grants, developer, claims.grnt, grant.clone());
        }
        if let Some(token) = standing.token {
            self.tokens.insert(generations.tokens, developer, claims.jti, token);
        }
    }
}

impl Listener for Memory {
    fn changed(&self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::KeyRevoked { developer_id, key_id, hash } => {
                    self.keys.invalidate(key_group(hash), hash);
                    self.streams.revoke_key(*developer_id, *key_id);
                }
                Change::DeveloperSuspended(id) => {
                    self.keys.invalidate_all(|caller| caller.developer_id == *id);
                    self.streams.suspend(*id);
                }
                Change::GrantEnded { developer_id, grant_id } => {
                    self.grants.invalidate(*developer_id, grant_id);
                }
                Change::CascadeStarted { developer_id } => {
                    self.grants.clear(*developer_id);
                    self.cascade_started.notify_one();
                }
                Change::TokenRevoked { developer_id, token_id } => {
                    self.tokens.invalidate(*developer_id, token_id);
                }
                Change::AgentChanged { developer_id, agent_id } => {
                    self.agents.invalidate(*developer_id, agent_id);
                }
            }
        }
    }

    fn answer(&self, commands: Batch) {
        match &self.runtime {
            // One wake-up of the runtime for all of them: from its own threads they wake tasks
            // without a system call.
            Some(runtime) if commands.len() > 1 => {
                drop(runtime.spawn(async move { drop(commands) }));
            }
            _ => drop(commands),
        }
    }

    fn appended(&self, heads: &[(DeveloperId, Position)], events: &[(DeveloperId, StoredEvent)]) {
        self.streams.publish(heads, events);
    }
}

fn key_group(hash: &KeyHash) -> u8 {
    let [first, ..] = hash;
    *first
}
