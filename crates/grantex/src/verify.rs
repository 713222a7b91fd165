//! Verifying grant tokens offline.

use std::time::{Duration, Instant};

use grantex_types::api::tokens::Claims;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::{Client, Error};

/// How long fetched keys are believed: a key that the service withdrew stops working after this.
const KEYS_MAX_AGE: Duration = Duration::from_secs(3600);
/// How often unknown keys may make it fetch: tokens with made-up keys cost the service nothing.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(10);
/// How far the clocks of issuer and verifier may be apart, in seconds.
const LEEWAY_SECONDS: u64 = 5;

/// The service's public keys, and whose tokens count.
#[derive(Debug)]
pub(crate) struct Verifier {
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

impl Verifier {
    pub(crate) fn new(developer_id: Option<String>, issuer: Option<String>) -> Self {
        Self { issuer, developer_id: Mutex::new(developer_id), keys: Mutex::default() }
    }

    /// The claims of a token that holds: signed RS256 by the service, not expired, of this
    /// developer, for this audience.
    pub(crate) async fn verify(
        &self,
        client: &Client,
        token: &str,
        audience: Option<&str>,
    ) -> Result<Claims, Error> {
        let invalid = |reason: &dyn std::fmt::Display| Error::InvalidToken(reason.to_string());
        let header = decode_header(token).map_err(|error| invalid(&error))?;
        // The token does not choose how it is checked.
        if header.alg != Algorithm::RS256 {
            return Err(invalid(&"it is not signed with RS256"));
        }
        if !header.typ.as_deref().is_some_and(is_grant_token) {
            return Err(invalid(&"its type is not that of a grant token"));
        }
        let kid = header.kid.ok_or_else(|| invalid(&"it does not name its key"))?;
        let key = self.key(client, &kid).await?;
        let mut validation = Validation::new(Algorithm::RS256);
        validation.leeway = LEEWAY_SECONDS;
        match audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                validation.set_required_spec_claims(&["exp", "aud"]);
            }
            None => validation.set_required_spec_claims(&["exp"]),
        }
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
        }
        let claims =
            decode::<Claims>(token, &key, &validation).map_err(|error| invalid(&error))?.claims;
        if audience.is_none() && claims.aud.is_some() {
            return Err(invalid(&"it is for an audience: say who you are"));
        }
        if claims.dev.to_string() != self.developer(client).await? {
            return Err(invalid(&"it belongs to another developer"));
        }
        Ok(claims)
    }

    async fn developer(&self, client: &Client) -> Result<String, Error> {
        let mut known = self.developer_id.lock().await;
        if let Some(id) = &*known {
            return Ok(id.clone());
        }
        let id = client.me().await?.developer_id.to_string();
        Ok(known.insert(id).clone())
    }

    async fn key(&self, client: &Client, kid: &str) -> Result<DecodingKey, Error> {
        let mut keys = self.keys.lock().await;
        let is_old = |at: Option<Instant>, age: Duration| at.is_none_or(|at| at.elapsed() > age);
        if is_old(keys.fetched, KEYS_MAX_AGE) {
            keys.fetch(client).await?;
        } else if keys.find(kid).is_none() && is_old(keys.fetched_for_unknown, UNKNOWN_KEY_PAUSE) {
            keys.fetched_for_unknown = Some(Instant::now());
            keys.fetch(client).await?;
        }
        keys.find(kid)
            .and_then(|(n, e)| DecodingKey::from_rsa_components(n, e).ok())
            .ok_or_else(|| Error::InvalidToken(format!("the service has no key {kid:?}")))
    }
}

/// Whether a token of this type can be a grant token: an access token of RFC 9068, or one from
/// before.
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

    async fn fetch(&mut self, client: &Client) -> Result<(), Error> {
        let set: KeySet = client.transport.get("/.well-known/jwks.json").public().json().await?;
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
