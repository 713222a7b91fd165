//! What handlers share. The service makes nothing of it itself: the wiring gives it the store, the
//! clock, the keys and the memory.

use std::sync::Arc;

use grantex_core::env::Clock;
use grantex_core::lease::Leases;
use grantex_core::model::Caller;
use grantex_core::store::{self, Needs, QueryKind, Read, Scope, Store, Tx};
use grantex_core::usecase::operators;
use grantex_core::usecase::tokens::{self, Issued, Signer, Standing};
use grantex_types::DeveloperId;
use grantex_types::api::tokens::{Claims, InactiveReason, TokenResponse};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

use crate::crypto::{KeyFileError, Secrets, SigningKeys, sha256};
use crate::http::error::{ApiError, ApiResult};
use crate::memory::Memory;
use crate::settings::Settings;

/// The longest text that can be an API key.
const API_KEY_CHARS: usize = 8 + 43;

/// The service.
pub struct App {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) secrets: Secrets,
    pub(crate) signing: Arc<SigningKeys>,
    pub(crate) leases: Arc<dyn Leases>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) prometheus: Option<PrometheusHandle>,
    pub(crate) shutdown: CancellationToken,
}

/// What a service is made of.
pub struct Parts {
    /// The operator's settings.
    pub settings: Settings,
    /// The store, opened with `memory` as its listener.
    pub store: Arc<dyn Store>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The master key.
    pub secrets: Secrets,
    /// The keys that sign tokens.
    pub signing: SigningKeys,
    /// Who does the service's own work.
    pub leases: Arc<dyn Leases>,
    /// What is kept in memory.
    pub memory: Arc<Memory>,
    /// What `/metrics` shows.
    pub prometheus: Option<PrometheusHandle>,
    /// Cancelled when the service has to shut down.
    pub shutdown: CancellationToken,
}

impl App {
    /// Puts the service together.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts {
            settings,
            store,
            clock,
            secrets,
            signing,
            leases,
            memory,
            prometheus,
            shutdown,
        } = parts;
        Arc::new(Self {
            settings,
            store,
            clock,
            secrets,
            signing: Arc::new(signing),
            leases,
            memory,
            prometheus,
            shutdown,
        })
    }

    /// Reads the signing keys again, after a rotation. Returns the key that signs now.
    pub fn reload_signing_keys(&self) -> Result<String, KeyFileError> {
        self.signing.reload()
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

    /// The caller with this API key, if it is in memory.
    pub(crate) fn known_caller(&self, secret: &str) -> Option<Caller> {
        self.memory.caller(&sha256(secret.as_bytes()))
    }

    /// The caller with this API key, from the store, if the key works.
    pub(crate) async fn load_caller(&self, secret: &str) -> ApiResult<Option<Caller>> {
        if secret.len() != API_KEY_CHARS || !secret.starts_with("gx_") {
            return Ok(None);
        }
        let hash = sha256(secret.as_bytes());
        let generation = self.memory.caller_generation(&hash);
        let key = self.read(Scope::Global, move |store| Ok(store.key_by_hash(&hash)?)).await?;
        let Some(key) = key.filter(|key| key.revoked_at.is_none()) else { return Ok(None) };
        if key.is_suspended {
            return Err(operators::suspended().into());
        }
        let caller = Caller { developer_id: key.developer_id, key_id: key.id, mode: key.mode };
        self.memory.keep_caller(generation, hash, caller);
        Ok(Some(caller))
    }

    /// Why a token whose signature is valid is not in force – for this audience, if there is one –
    /// or `None` if it is. Reads the store only where memory lacks a row.
    pub(crate) async fn inactive_reason(
        &self,
        developer: DeveloperId,
        claims: &Claims,
        audience: Option<&str>,
    ) -> ApiResult<Option<InactiveReason>> {
        if let Some(reason) = tokens::not_for(claims, developer, audience) {
            return Ok(Some(reason));
        }
        let standing = match self.memory.standing(claims) {
            Some(known) => known,
            None => self.load_standing(developer, claims).await?,
        };
        Ok(standing.inactive_reason(claims, self.clock.now()))
    }

    async fn load_standing(&self, developer: DeveloperId, claims: &Claims) -> ApiResult<Standing> {
        let generations = self.memory.standing_generations(developer);
        let wanted = claims.clone();
        let standing =
            self.read(developer, move |store| Standing::load(store, developer, &wanted)).await?;
        self.memory.keep_standing(&generations, claims, &standing);
        Ok(standing)
    }

    /// How tokens are signed now.
    pub(crate) fn signer(&self) -> Signer {
        Signer {
            issuer: self.settings.public_base.clone(),
            kid: self.signing.current_kid(),
            lifetime: self.settings.token_lifetime,
        }
    }

    /// The token with its secrets. They are signed and derived after the commit, so that the writer
    /// does not wait for them and the database does not hold them.
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

    /// Publishes the keys that verify tokens still in force. A key leaves the key set when all
    /// tokens that it signed have expired.
    pub(crate) async fn refresh_jwks(&self) -> ApiResult<()> {
        let current = self.signing.current_kid();
        let kids = self.signing.kids();
        let needed = self
            .read(Scope::Global, move |store| {
                let (now, mut needed) = (store.now(), Vec::new());
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
        self.signing.publish(needed);
        Ok(())
    }
}
