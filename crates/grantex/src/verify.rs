//! Verifying grant tokens offline.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use grantex_types::api::developers::Developer;
use grantex_types::api::tokens::Claims;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::Error;
use crate::transport::Transport;

/// How long fetched keys are used: a key that the service withdrew stops working after this.
const KEYS_MAX_AGE: Duration = Duration::from_secs(3600);
/// The shortest time between two fetches for unknown keys: tokens with made-up key names cost the
/// service nothing.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(10);
/// The clock difference between issuer and verifier that is tolerated, in seconds.
const LEEWAY_SECONDS: u64 = 5;

/// Checks grant tokens by the service's public keys, without asking the service about each, and
/// without an API key: for a server that accepts tokens and does nothing else. A
/// [`Client`](crate::Client)'s [`verify_offline`](crate::resources::Tokens::verify_offline) is the
/// same check.
///
/// | Checked | Not seen before the token expires |
/// |---|---|
/// | signature (RS256), type, expiry, developer, audience, issuer if one is set | a revoked grant or token, a suspended agent or developer |
///
/// Where a revocation must count at once, ask the service
/// ([`Tokens::verify`](crate::resources::Tokens::verify)) or follow `grant.revoked`; both need an
/// API key.
///
/// Cheap to clone; clones share the fetched keys.
///
/// ```no_run
/// # async fn example(token: &str) -> Result<(), grantex::Error> {
/// use grantex::Verifier;
/// use grantex::resources::OfflineParams;
/// let verifier = Verifier::new("http://127.0.0.1:8080", "dev_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA")?;
/// let params = OfflineParams { audience: Some("https://api.example".into()) };
/// let claims = verifier.verify(token, &params).await?;
/// println!("{} allows {:?}", claims.sub, claims.scp.as_slice());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Verifier {
    transport: Arc<Transport>,
    state: Arc<State>,
}

/// What a token must have besides a good signature.
#[derive(Debug, Clone, Default)]
pub struct OfflineParams {
    /// The audience that you are. A token that names an audience is valid for that audience only.
    pub audience: Option<String>,
}

#[derive(Debug)]
struct State {
    issuer: Option<String>,
    developer_id: Mutex<Option<String>>,
    keys: Mutex<Keys>,
}

#[derive(Debug, Default)]
struct Keys {
    /// Name, modulus and exponent of each.
    usable: Vec<(String, String, String)>,
    fetched: Option<Instant>,
    fetched_for_unknown: Option<Instant>,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

fn invalid(reason: impl Display) -> Error {
    Error::InvalidToken(reason.to_string())
}

impl Verifier {
    /// Without a developer's id, the service is asked for it, with the transport's API key.
    pub(crate) fn of(
        transport: Arc<Transport>,
        developer_id: Option<String>,
        issuer: Option<String>,
    ) -> Self {
        let developer_id = Mutex::new(developer_id);
        let state = Arc::new(State { issuer, developer_id, keys: Mutex::default() });
        Self { transport, state }
    }

    /// The claims of a valid token: signed by the service, not expired, of this developer, for
    /// this audience. Any other token is [`Error::InvalidToken`]. Another error says that the
    /// service's keys could not be fetched.
    pub async fn verify(&self, token: &str, params: &OfflineParams) -> Result<Claims, Error> {
        let header = decode_header(token).map_err(invalid)?;
        // The token does not choose how it is checked.
        if header.alg != Algorithm::RS256 {
            return Err(invalid("it is not signed with RS256"));
        }
        if !header.typ.as_deref().is_some_and(is_grant_token) {
            return Err(invalid("its type is neither at+jwt nor JWT"));
        }
        let kid = header.kid.ok_or_else(|| invalid("its header names no key (kid)"))?;
        let key = self.key(&kid).await?;
        let mut validation = Validation::new(Algorithm::RS256);
        validation.leeway = LEEWAY_SECONDS;
        match &params.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                validation.set_required_spec_claims(&["exp", "aud"]);
            }
            None => validation.set_required_spec_claims(&["exp"]),
        }
        if let Some(issuer) = &self.state.issuer {
            validation.set_issuer(&[issuer]);
        }
        let claims = decode::<Claims>(token, &key, &validation).map_err(invalid)?.claims;
        if params.audience.is_none() && claims.aud.is_some() {
            return Err(invalid("it is for an audience, and no audience was given to compare"));
        }
        if claims.dev.to_string() != self.developer().await? {
            return Err(invalid("it belongs to another developer"));
        }
        Ok(claims)
    }

    async fn developer(&self) -> Result<String, Error> {
        let mut known = self.state.developer_id.lock().await;
        if let Some(id) = &*known {
            return Ok(id.clone());
        }
        let me: Developer = self.transport.get("/v1/me").json().await?;
        Ok(known.insert(me.developer_id.to_string()).clone())
    }

    async fn key(&self, kid: &str) -> Result<DecodingKey, Error> {
        let mut keys = self.state.keys.lock().await;
        let is_old = |at: Option<Instant>, age: Duration| at.is_none_or(|at| at.elapsed() > age);
        if is_old(keys.fetched, KEYS_MAX_AGE) {
            keys.fetch(&self.transport).await?;
        } else if keys.find(kid).is_none() && is_old(keys.fetched_for_unknown, UNKNOWN_KEY_PAUSE) {
            keys.fetched_for_unknown = Some(Instant::now());
            keys.fetch(&self.transport).await?;
        }
        keys.find(kid)
            .and_then(|(n, e)| DecodingKey::from_rsa_components(n, e).ok())
            .ok_or_else(|| invalid(format!("the service has no key {kid:?}")))
    }
}

/// Whether a token of this type can be a grant token: an access token of RFC 9068, or the older
/// type.
fn is_grant_token(typ: &str) -> bool {
    let name = typ.strip_prefix("application/").unwrap_or(typ);
    name.eq_ignore_ascii_case("at+jwt") || name.eq_ignore_ascii_case("JWT")
}

impl Keys {
    fn find(&self, kid: &str) -> Option<(&str, &str)> {
        self.usable
            .iter()
            .find(|(known, ..)| known == kid)
            .map(|(_, n, e)| (n.as_str(), e.as_str()))
    }

    async fn fetch(&mut self, transport: &Transport) -> Result<(), Error> {
        let set: KeySet = transport.get("/.well-known/jwks.json").public().json().await?;
        let usable = |key: &Value| {
            let text = |name: &str| key.get(name).and_then(Value::as_str);
            let signs = text("kty") == Some("RSA")
                && text("use").is_none_or(|used| used == "sig")
                && text("alg").is_none_or(|alg| alg == "RS256");
            let (kid, n, e) = (text("kid")?, text("n")?, text("e")?);
            DecodingKey::from_rsa_components(n, e).ok().filter(|_| signs)?;
            Some((kid.to_owned(), n.to_owned(), e.to_owned()))
        };
        self.usable = set.keys.iter().filter_map(usable).collect();
        self.fetched = Some(Instant::now());
        Ok(())
    }
}
