//! What handlers share: the store, the keys, and the memory that commits keep true.

use std::collections::HashSet;
use std::sync::Arc;

use grantex_core::env::Clock;
use grantex_core::log::{Position, StoredEvent};
use grantex_core::model::{Caller, KeyHash};
use grantex_core::store::{
    self, Batch, Change, Listener, Needs, QueryKind, Read, Scope, Store, Tx,
};
use grantex_core::usecase::operators;
use grantex_core::usecase::tokens::{GrantStanding, Issued, Signer, Standing, TokenStanding};
use grantex_types::api::tokens::{Claims, InactiveReason, TokenResponse};
use grantex_types::{AgentId, DeveloperId, GrantId, TokenId};
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::RwLock;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::cache::CommitCache;
use crate::crypto::{KeyFileError, Secrets, SigningKeys, sha256};
use crate::http::error::{ApiError, ApiResult};
use crate::http::rate::RateLimits;
use crate::http::shares::Shares;
use crate::settings::Settings;
use crate::stream::hub::Hub;

/// Rows that each cache holds at most: some tens of megabytes in all.
const CACHED_ROWS: usize = 100_000;
/// The longest text that can be an API key.
const API_KEY_CHARS: usize = 8 + 43;

/// What is kept in memory beside the store. It listens to commits, so it exists before the store.
pub struct Memory {
    /// In groups by the hash's first byte: whose a key is, is not known before it is found.
    keys: CommitCache<u8, KeyHash, Caller>,
    grants: CommitCache<DeveloperId, GrantId, GrantStanding>,
    tokens: CommitCache<DeveloperId, TokenId, TokenStanding>,
    /// Which agents are active.
    agents: CommitCache<DeveloperId, AgentId, bool>,
    pub(crate) streams: Arc<Hub>,
    pub(crate) cascade_started: Notify,
    /// Where whoever waits for a commit waits, if it was there before.
    runtime: Option<tokio::runtime::Handle>,
}

impl Memory {
    /// An empty memory with the bounds of these settings.
    pub fn new(settings: &Settings) -> Arc<Self> {
        Arc::new(Self {
            keys: CommitCache::new(CACHED_ROWS),
            grants: CommitCache::new(CACHED_ROWS),
            tokens: CommitCache::new(CACHED_ROWS),
            agents: CommitCache::new(CACHED_ROWS),
            streams: Arc::new(Hub::new(&settings.streams)),
            cascade_started: Notify::new(),
            runtime: tokio::runtime::Handle::try_current().ok(),
        })
    }
}

impl Memory {
    /// Begins a period of time: rows are kept for two.
    pub(crate) fn age(&self) {
        self.keys.age();
        self.grants.age();
        self.tokens.age();
        self.agents.age();
    }

    /// What decides whether a token is in force, if all of it is here.
    fn standing(&self, claims: &Claims) -> Option<Standing> {
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
            // One wake for all of them; there, they wake each other's tasks without the system's
            // help.
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

/// The service.
pub struct App {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) secrets: Secrets,
    pub(crate) signing: Arc<SigningKeys>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) rates: RateLimits,
    /// Developers whose rows take as much as they may, as maintenance saw it last.
    pub(crate) full: RwLock<HashSet<DeveloperId>>,
    pub(crate) shares: Arc<Shares>,
    pub(crate) jwks: RwLock<KeySet>,
    pub(crate) prometheus: Option<PrometheusHandle>,
    pub(crate) shutdown: CancellationToken,
}

/// The public keys that everybody can read.
pub(crate) struct KeySet {
    kids: Vec<String>,
    pub(crate) json: Arc<str>,
}

/// What a service is put together from.
pub struct Parts {
    /// What the operator set.
    pub settings: Settings,
    /// The store, opened with `memory` as its listener.
    pub store: Arc<dyn Store>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The master key.
    pub secrets: Secrets,
    /// The keys that sign tokens.
    pub signing: SigningKeys,
    /// What is kept in memory.
    pub memory: Arc<Memory>,
    /// What `/metrics` shows.
    pub prometheus: Option<PrometheusHandle>,
    /// Cancelled when the service is to end.
    pub shutdown: CancellationToken,
}

impl App {
    /// Puts the service together.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { settings, store, clock, secrets, signing, memory, prometheus, shutdown } =
            parts;
        // All of them until the first look into the store, which follows at once.
        let kids = signing.kids();
        let jwks = KeySet { json: signing.jwks(&kids).to_string().into(), kids };
        Arc::new(Self {
            rates: RateLimits::new(&settings.rates),
            full: RwLock::default(),
            shares: Shares::new(&settings.requests),
            settings,
            store,
            clock,
            secrets,
            signing: Arc::new(signing),
            memory,
            jwks: RwLock::new(jwks),
            prometheus,
            shutdown,
        })
    }

    /// Reads the signing keys again, after a rotation. Returns the key that signs now.
    pub fn reload_signing_keys(&self) -> Result<String, KeyFileError> {
        self.signing.reload()?;
        // The new key is published before anything else learns of it, and none that has left comes
        // back.
        let published = self.jwks.read().kids.clone();
        self.publish(published);
        Ok(self.signing.current_kid())
    }

    /// Shows these keys and the one that signs to everybody.
    fn publish(&self, mut kids: Vec<String>) {
        let mut jwks = self.jwks.write();
        let current = self.signing.current_kid();
        if !kids.contains(&current) {
            kids.push(current);
        }
        let json = self.signing.jwks(&kids).to_string().into();
        *jwks = KeySet { kids, json };
    }

    /// Runs `work` as one command, in its developer's turn, and waits for its commit. `use_case` is
    /// its name in logs and metrics.
    pub(crate) async fn write<T, F>(
        &self,
        scope: impl Into<Scope>,
        needs: impl Into<Needs>,
        use_case: &'static str,
        work: F,
    ) -> ApiResult<T>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> grantex_core::Result<T> + Send + 'static,
    {
        Ok(store::write(self.store.as_ref(), scope, needs, use_case, work).await?)
    }

    /// Runs `work`, a few look-ups, on a snapshot, in its developer's turn.
    pub(crate) async fn read<T, F>(&self, scope: impl Into<Scope>, work: F) -> ApiResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Read) -> grantex_core::Result<T> + Send + 'static,
    {
        Ok(store::read(self.store.as_ref(), scope, QueryKind::Point, work).await?)
    }

    /// Like [`read`](Self::read), for work that looks at many rows: lists and history.
    pub(crate) async fn read_long<T, F>(&self, scope: impl Into<Scope>, work: F) -> ApiResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Read) -> grantex_core::Result<T> + Send + 'static,
    {
        Ok(store::read(self.store.as_ref(), scope, QueryKind::Long, work).await?)
    }

    /// Whose API key this is, if it is in memory.
    pub(crate) fn known_caller(&self, secret: &str) -> Option<Caller> {
        let hash = sha256(secret.as_bytes());
        self.memory.keys.get(&key_group(&hash), &hash)
    }

    /// Whose API key this is, if it works.
    pub(crate) async fn load_caller(&self, secret: &str) -> ApiResult<Option<Caller>> {
        if secret.len() != API_KEY_CHARS || !secret.starts_with("gx_") {
            return Ok(None);
        }
        let hash = sha256(secret.as_bytes());
        let group = key_group(&hash);
        let generation = self.memory.keys.generation(&group);
        let key = self.read(Scope::Global, move |store| Ok(store.key_by_hash(&hash)?)).await?;
        let Some(key) = key.filter(|key| key.revoked_at.is_none()) else { return Ok(None) };
        if key.is_suspended {
            return Err(operators::suspended().into());
        }
        let caller = Caller { developer_id: key.developer_id, key_id: key.id, mode: key.mode };
        self.memory.keys.insert(generation, &group, hash, caller);
        Ok(Some(caller))
    }

    /// Why a token whose signature is good is not in force – for this audience, if one asks – or
    /// `None` if it is. From memory where it can.
    pub(crate) async fn inactive_reason(
        &self,
        developer: DeveloperId,
        claims: &Claims,
        audience: Option<&str>,
    ) -> ApiResult<Option<InactiveReason>> {
        if claims.dev != developer {
            return Ok(Some(InactiveReason::WrongDeveloper));
        }
        if audience.is_some() && claims.aud.as_deref() != audience {
            return Ok(Some(InactiveReason::WrongAudience));
        }
        let memory = &self.memory;
        let standing = if let Some(known) = memory.standing(claims) {
            known
        } else {
            let (grants, tokens) =
                (memory.grants.generation(&developer), memory.tokens.generation(&developer));
            let agents = memory.agents.generation(&developer);
            let wanted = claims.clone();
            let loaded = self
                .read(developer, move |store| Standing::load(store, developer, &wanted))
                .await?;
            if let Some(grant) = &loaded.grant {
                for agent in grant.chain.iter() {
                    let is_active = !loaded.suspended.contains(agent);
                    memory.agents.insert(agents, &developer, *agent, is_active);
                }
                memory.grants.insert(grants, &developer, claims.grnt, grant.clone());
            }
            if let Some(token) = loaded.token {
                memory.tokens.insert(tokens, &developer, claims.jti, token);
            }
            loaded
        };
        Ok(standing.inactive_reason(claims, self.clock.now()))
    }

    /// How tokens are signed now.
    pub(crate) fn signer(&self) -> Signer {
        Signer {
            issuer: self.settings.public_base.clone(),
            kid: self.signing.current_kid(),
            lifetime: self.settings.token_lifetime,
        }
    }

    /// The token with its secrets: signed and derived after the commit, so that neither waits in
    /// the writer nor lies in the database.
    pub(crate) async fn token_response(&self, issued: Issued) -> ApiResult<TokenResponse> {
        let signing = Arc::clone(&self.signing);
        let refresh_token = self.secrets.refresh_token(issued.refresh_id);
        let (scopes, grant_id, expires_at) =
            (issued.claims.scp.clone(), issued.claims.grnt, issued.expires_at);
        let signed =
            tokio::task::spawn_blocking(move || signing.sign(&issued.claims, &issued.kid)).await;
        let grant_token = match signed {
            Ok(Ok(token)) => token,
            Ok(Err(error)) => return Err(ApiError::internal(&error)),
            Err(error) => return Err(ApiError::internal(&error)),
        };
        Ok(TokenResponse { grant_token, expires_at, scopes, refresh_token, grant_id })
    }

    /// The claims of a token that this service signed, whether or not it is still in force.
    pub(crate) async fn read_token(&self, token: String) -> ApiResult<Option<Claims>> {
        let (signing, issuer) = (Arc::clone(&self.signing), self.settings.public_base.clone());
        let read = tokio::task::spawn_blocking(move || signing.read(&token, &issuer)).await;
        read.map_err(|error| ApiError::internal(&error))
    }

    /// Shows the keys that verify tokens still in force: one that no such token can have been
    /// signed by leaves the key set.
    pub(crate) async fn refresh_jwks(&self) -> ApiResult<()> {
        let current = self.signing.current_kid();
        let now = self.clock.now();
        let kids = self.signing.kids();
        let needed = self
            .read(Scope::Global, move |store| {
                let mut needed = Vec::new();
                for kid in kids {
                    if kid == current
                        || store.signatures_expire_at(&kid)?.is_some_and(|end| end > now)
                    {
                        needed.push(kid);
                    }
                }
                Ok(needed)
            })
            .await?;
        self.publish(needed);
        Ok(())
    }
}
