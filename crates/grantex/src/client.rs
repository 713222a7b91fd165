//! The client and its settings.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use grantex_types::api::developers::{Developer, SignupRequest, SignupResponse};

use crate::Error;
use crate::events::Events;
use crate::key::KeySource;
use crate::resources::{
    Agents, Audit, Authorizations, Budgets, Grants, Keys, PrincipalSessions, ScopeNames, Tokens,
};
use crate::text::redacted_url;
use crate::transport::Transport;
use crate::trust;
use crate::verify::Verifier;

/// The public service's base URL; [`Builder::base_url`] or `GRANTEX_BASE_URL` set another one.
pub const DEFAULT_BASE_URL: &str = "https://api.grantex.dev";

/// A client of one Grantex service. Cheap to clone; clones share connections and keys.
///
/// ```no_run
/// # async fn example() -> Result<(), grantex::Error> {
/// let client = grantex::Client::builder().base_url("http://127.0.0.1:8080").api_key("gx_test_…").build()?;
/// println!("{}", client.me().await?.name);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) transport: Arc<Transport>,
    pub(crate) verifier: Verifier,
}

impl Client {
    /// A client with this API key; the base URL is `GRANTEX_BASE_URL` or the public service.
    pub fn new(api_key: impl AsRef<str>) -> Result<Self, Error> {
        Self::builder().api_key(api_key).build()
    }

    /// A client with the key in `GRANTEX_API_KEY`.
    pub fn from_env() -> Result<Self, Error> {
        match std::env::var("GRANTEX_API_KEY") {
            Ok(key) => Self::new(key),
            Err(_) => Err(Error::Configuration("no API key: set GRANTEX_API_KEY".into())),
        }
    }

    /// A client with other settings.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The developer that the API key belongs to.
    pub async fn me(&self) -> Result<Developer, Error> {
        self.transport.get("/v1/me").json().await
    }

    /// Creates a developer with a first API key, which is shown only once. Needs no API key.
    pub async fn signup(&self, request: &SignupRequest) -> Result<SignupResponse, Error> {
        self.transport.post("/v1/signup").public().unsafe_to_repeat().body(request)?.json().await
    }

    /// Asks a principal for consent; with a sandbox key the request is approved at once.
    ///
    /// ```no_run
    /// # async fn example(client: grantex::Client) -> Result<(), grantex::Error> {
    /// use grantex::api::authorization::AuthorizeRequest;
    /// let asked = client
    ///     .authorize(&AuthorizeRequest {
    ///         agent_id: "ag_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA".into(),
    ///         principal_id: "user-123".into(),
    ///         scopes: vec!["calendar:read".into()],
    ///         ..AuthorizeRequest::default()
    ///     })
    ///     .await?;
    /// println!("send the principal to {}", asked.consent_url);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn authorize(
        &self,
        request: &grantex_types::api::authorization::AuthorizeRequest,
    ) -> Result<grantex_types::api::authorization::AuthorizeResponse, Error> {
        self.authorizations().create(request).await
    }

    /// Agents.
    pub fn agents(&self) -> Agents<'_> {
        Agents::of(self)
    }

    /// The audit trail.
    pub fn audit(&self) -> Audit<'_> {
        Audit::of(self)
    }

    /// Authorization requests.
    pub fn authorizations(&self) -> Authorizations<'_> {
        Authorizations::of(self)
    }

    /// Budgets and debits.
    pub fn budgets(&self) -> Budgets<'_> {
        Budgets::of(self)
    }

    /// The event log.
    pub fn events(&self) -> Events<'_> {
        Events::of(self)
    }

    /// Grants.
    pub fn grants(&self) -> Grants<'_> {
        Grants::of(self)
    }

    /// API keys.
    pub fn keys(&self) -> Keys<'_> {
        Keys::of(self)
    }

    /// Sessions in which principals see and revoke their own grants.
    pub fn principal_sessions(&self) -> PrincipalSessions<'_> {
        PrincipalSessions::of(self)
    }

    /// Names of scopes, as principals read them.
    pub fn scope_names(&self) -> ScopeNames<'_> {
        ScopeNames::of(self)
    }

    /// Grant tokens.
    pub fn tokens(&self) -> Tokens<'_> {
        Tokens::of(self)
    }
}

impl Verifier {
    /// A verifier of the tokens that this service issues for this developer. Other settings, such
    /// as the issuer, are those of [`Builder::build_verifier`].
    pub fn new(base_url: impl Display, developer_id: impl Display) -> Result<Self, Error> {
        Client::builder().base_url(base_url).developer_id(developer_id).build_verifier()
    }
}

/// The settings of a [`Client`] or a [`Verifier`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    base_url: Option<String>,
    key: Option<Result<KeySource, String>>,
    user_agent: String,
    pub(crate) timeout: Duration,
    pub(crate) max_retries: u32,
    pub(crate) retry_delay: Duration,
    developer_id: Option<String>,
    issuer: Option<String>,
    tls: Option<rustls::ClientConfig>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            base_url: None,
            key: None,
            user_agent: concat!("grantex-rust/", env!("CARGO_PKG_VERSION")).into(),
            timeout: Duration::from_secs(30),
            max_retries: 2,
            retry_delay: Duration::from_millis(500),
            developer_id: None,
            issuer: None,
            tls: None,
        }
    }
}

impl Builder {
    /// The service's base URL; `GRANTEX_BASE_URL`, or [`DEFAULT_BASE_URL`], unless given.
    pub fn base_url(mut self, url: impl Display) -> Self {
        self.base_url = Some(url.to_string());
        self
    }

    /// The API key.
    pub fn api_key(mut self, key: impl AsRef<str>) -> Self {
        self.key = Some(KeySource::fixed(key.as_ref()).map_err(|error| error.to_string()));
        self
    }

    /// Calls `callback` for the API key: before the first call, and again whenever the service
    /// refuses the key with 401. A fresh key that is refused is an error.
    pub fn key_callback<F, Fut, E>(mut self, callback: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let callback = move || callback().map(|key| key.map_err(Into::into)).boxed();
        self.key = Some(Ok(KeySource::callback(Arc::new(callback))));
        self
    }

    /// How long one try of a call may take; 30 s unless given. Streams have
    /// [`silence_timeout`](crate::StreamOptions::silence_timeout) instead.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often a failed call is retried where that is safe; 2 unless given.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }

    /// The delay before the first retry, doubled with each and with full jitter; 500 ms unless
    /// given.
    pub fn retry_delay(mut self, delay: Duration) -> Self {
        self.retry_delay = delay;
        self
    }

    /// The developer whose tokens [`Tokens::verify_offline`] and [`Verifier::verify`] accept. A
    /// client without it asks the service once.
    pub fn developer_id(mut self, id: impl Display) -> Self {
        self.developer_id = Some(id.to_string());
        self
    }

    /// The issuer that [`Tokens::verify_offline`] and [`Verifier::verify`] require; any unless
    /// given.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Puts `product` in front of this SDK's own `User-Agent`.
    pub fn user_agent(mut self, product: impl Display) -> Self {
        self.user_agent = format!("{product} {}", self.user_agent);
        self
    }

    /// The TLS configuration, for example with a private authority's certificates. Unless given,
    /// the system's authorities are trusted, or those of `SSL_CERT_FILE`.
    pub fn tls(mut self, config: rustls::ClientConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// The client. Fails on an invalid key or base URL. Without a key only public calls work.
    pub fn build(mut self) -> Result<Client, Error> {
        let (developer_id, issuer) = (self.developer_id.take(), self.issuer.take());
        let transport = self.transport()?;
        let verifier = Verifier::of(transport.clone(), developer_id, issuer);
        Ok(Client { transport, verifier })
    }

    /// A [`Verifier`] with these settings. It needs a [`developer_id`](Self::developer_id) and
    /// uses no API key.
    pub fn build_verifier(mut self) -> Result<Verifier, Error> {
        self.key = None;
        let developer_id =
            self.developer_id.take().filter(|id| !id.is_empty()).ok_or_else(|| {
                Error::Configuration(
                "no developer id: a verifier accepts the tokens of one developer, so give it that \
                 developer's id (`client.me()` shows yours)"
                    .into(),
            )
            })?;
        let issuer = self.issuer.take();
        Ok(Verifier::of(self.transport()?, Some(developer_id), issuer))
    }

    fn transport(self) -> Result<Arc<Transport>, Error> {
        let base = self
            .base_url
            .or_else(|| std::env::var("GRANTEX_BASE_URL").ok().filter(|url| !url.is_empty()));
        let base = base.unwrap_or_else(|| DEFAULT_BASE_URL.into());
        check_base_url(&base)?;
        let key = match self.key {
            Some(key) => key.map_err(Error::Configuration)?,
            None => KeySource::Missing,
        };
        let mut http = reqwest::Client::builder()
            .user_agent(self.user_agent)
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true);
        if let Some(config) = self.tls {
            http = http.tls_backend_preconfigured(config);
        }
        let http = http.build().map_err(|error| {
            let reason = trust::file_error().unwrap_or_else(|| error.to_string());
            Error::Configuration(format!("the HTTP client cannot be set up: {reason}"))
        })?;
        Ok(Arc::new(Transport {
            http,
            base: base.trim_end_matches('/').to_owned(),
            key,
            timeout: self.timeout,
            max_retries: self.max_retries,
            retry_delay: self.retry_delay,
        }))
    }
}

/// Refuses what is no base URL, and one with a secret that an error or a log would show.
pub fn check_base_url(base: &str) -> Result<(), Error> {
    let shown = redacted_url(base);
    let url = reqwest::Url::parse(base).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(url) = url else {
        return Err(Error::Configuration(format!(
            "the base URL {shown:?} is not an http or https URL"
        )));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Configuration(format!(
            "the base URL {shown:?} contains a user name or a password, which the service does not accept: remove \
             it, and give the API key as `api_key` or in GRANTEX_API_KEY"
        )));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Error::Configuration(format!(
            "the base URL {shown:?} contains a query or a fragment: give only the scheme, the host and a path"
        )));
    }
    Ok(())
}
