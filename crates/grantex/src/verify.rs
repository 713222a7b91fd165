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

/// The age at which keys are fetched again: a key that the service withdrew stops working then.
const KEYS_MAX_AGE: Duration = Duration::from_secs(3600);
/// How long keys are used while the service cannot be reached: an outage of less than a day stops
/// no verification.
const KEYS_MAX_AGE_IN_OUTAGE: Duration = Duration::from_secs(24 * 3600);
/// The shortest time between two fetches for unknown keys, and after a failed fetch for old ones:
/// tokens with made-up key names cost the service nothing, and an outage delays no verification.
const FETCH_PAUSE: Duration = Duration::from_secs(10);
/// For so long a failed first fetch answers the calls that waited for it.
const FAILURE_SHARED: Duration = Duration::from_secs(1);
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
    keys: std::sync::Mutex<Keys>,
    /// Held by the one call that fetches.
    fetching: Mutex<()>,
}

#[derive(Debug, Default)]
struct Keys {
    /// Name, modulus and exponent of each.
    usable: Vec<(String, String, String)>,
    fetched: Option<Instant>,
    fetched_for_unknown: Option<Instant>,
    /// When the last fetch failed, and why; `None` after one that succeeded.
    failed: Option<(Instant, String)>,
}

/// A key that is looked up.
enum Known {
    Usable(DecodingKey),
    /// It is usable, and old enough to be fetched again.
    Old(DecodingKey),
    No,
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
        let state = Arc::new(State {
            issuer,
            developer_id,
            keys: std::sync::Mutex::default(),
            fetching: Mutex::default(),
        });
        Self { transport, state }
    }

    /// The claims of a valid token: signed by the service, not expired, of this developer, for
    /// this audience. Any other token is [`Error::InvalidToken`]. Another error says that the
    /// service's keys could not be fetched.
    pub async fn verify(&self, token: &str, params: &OfflineParams) -> Result<Claims, Error> {
        if token.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("Bearer ")) {
            return Err(invalid("it begins with \"Bearer \": pass only what follows it"));
        }
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

    /// A key that is known is found without waiting for a fetch, unless it is the first call that
    /// finds it old.
    async fn key(&self, kid: &str) -> Result<DecodingKey, Error> {
        let known = self.state.keys().find(kid);
        match known {
            Known::Usable(key) => return Ok(key),
            Known::Old(key) => {
                let Ok(_turn) = self.state.fetching.try_lock() else { return Ok(key) };
                if self.fetch().await.is_err() {
                    return Ok(key);
                }
            }
            Known::No => {
                let _turn = self.state.fetching.lock().await;
                if let Known::Usable(key) | Known::Old(key) = self.state.keys().find(kid) {
                    return Ok(key);
                }
                self.state.keys().begin_fetch(kid)?;
                self.fetch().await?;
            }
        }
        match self.state.keys().find(kid) {
            Known::Usable(key) | Known::Old(key) => Ok(key),
            Known::No => Err(unknown(kid)),
        }
    }

    async fn fetch(&self) -> Result<(), Error> {
        let fetched = self.transport.get("/.well-known/jwks.json").public().json::<KeySet>().await;
        let mut keys = self.state.keys();
        match fetched {
            Ok(set) => {
                keys.usable = set.keys.iter().filter_map(usable).collect();
                (keys.fetched, keys.failed) = (Some(Instant::now()), None);
                Ok(())
            }
            Err(error) => {
                keys.failed = Some((Instant::now(), error.to_string()));
                Err(error)
            }
        }
    }
}

impl State {
    /// Nothing that holds the lock can panic, so a poisoned one is as good.
    fn keys(&self) -> std::sync::MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn unknown(kid: &str) -> Error {
    invalid(format!("the service has no key {kid:?}"))
}

/// Whether a token of this type can be a grant token: an access token of RFC 9068, or the older
/// type.
fn is_grant_token(typ: &str) -> bool {
    let name = typ.strip_prefix("application/").unwrap_or(typ);
    name.eq_ignore_ascii_case("at+jwt") || name.eq_ignore_ascii_case("JWT")
}

impl Keys {
    fn find(&self, kid: &str) -> Known {
        let found = self.usable.iter().find(|(known, ..)| known == kid);
        let key = found.and_then(|(_, n, e)| DecodingKey::from_rsa_components(n, e).ok());
        let age = self.fetched.map(|at| at.elapsed());
        match (key, age) {
            (Some(key), Some(age)) if age <= KEYS_MAX_AGE => Known::Usable(key),
            (Some(key), Some(age)) if age <= KEYS_MAX_AGE_IN_OUTAGE => match &self.failed {
                Some((at, _)) if at.elapsed() <= FETCH_PAUSE => Known::Usable(key),
                _ => Known::Old(key),
            },
            _ => Known::No,
        }
    }

    /// Whether the keys may be fetched now for one that is not among them.
    fn begin_fetch(&mut self, kid: &str) -> Result<(), Error> {
        let failure = |within: Duration| {
            self.failed.as_ref().filter(|(at, _)| at.elapsed() <= within).map(|(_, why)| {
                Error::Connection(format!("the service's keys could not be fetched: {why}"))
            })
        };
        if self.fetched.is_none_or(|at| at.elapsed() > KEYS_MAX_AGE) {
            return failure(FAILURE_SHARED).map_or(Ok(()), Err);
        }
        if self.fetched_for_unknown.is_some_and(|at| at.elapsed() <= FETCH_PAUSE) {
            return Err(failure(FETCH_PAUSE).unwrap_or_else(|| unknown(kid)));
        }
        self.fetched_for_unknown = Some(Instant::now());
        Ok(())
    }
}

/// Name, modulus and exponent of a key that can verify grant tokens.
fn usable(key: &Value) -> Option<(String, String, String)> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let signs = text("kty") == Some("RSA")
        && text("use").is_none_or(|used| used == "sig")
        && text("alg").is_none_or(|alg| alg == "RS256");
    let (kid, n, e) = (text("kid")?, text("n")?, text("e")?);
    DecodingKey::from_rsa_components(n, e).ok().filter(|_| signs)?;
    Some((kid.to_owned(), n.to_owned(), e.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: &str = "u1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0_IzW7yWR7QkrmBL7jTKEn5u-qKhbwKfBstIs-bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyehkd3qqGElvW_VDL5AaWTg0nLVkjRo9z-40RQzuVaE8AkAFmxZzow3x-VJYKdjykkJ0iT9wCS0DRTXu269V264Vf_3jvredZiKRkgwlL9xNAwxXFg0x_XFw005UWVRIkdgcKWTjpBP2dPwVZ4WWC-9aGVd-Gyn1o0CLelf4rEjGoXbAAEgAqeGUxrcIlbjXfbcmw";

    fn verifier(base: &str, age: Duration) -> Verifier {
        let verifier = crate::Client::builder()
            .base_url(base)
            .developer_id("dev_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA")
            .max_retries(0)
            .build_verifier()
            .unwrap();
        let mut keys = verifier.state.keys();
        keys.usable = vec![("k".into(), N.into(), "AQAB".into())];
        keys.fetched = Instant::now().checked_sub(age);
        drop(keys);
        verifier
    }

    #[tokio::test]
    async fn an_outage_of_less_than_a_day_stops_no_verification() {
        let verifier = verifier("http://127.0.0.1:1", Duration::from_secs(7200));
        verifier.key("k").await.unwrap();
        assert!(verifier.state.keys().failed.is_some(), "the keys were asked for");
        assert!(matches!(verifier.state.keys().find("k"), Known::Usable(_)), "and not again");
        verifier.key("k").await.unwrap();
    }

    #[tokio::test]
    async fn keys_that_are_a_day_old_are_not_used() {
        let verifier = verifier("http://127.0.0.1:1", Duration::from_secs(25 * 3600));
        for _ in 0..2 {
            let error = verifier.key("k").await.err().unwrap();
            assert!(matches!(error, Error::Connection(_)), "{error}");
        }
    }

    #[tokio::test]
    async fn a_made_up_key_name_delays_no_other_token() {
        // It accepts connections and never answers.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let verifier =
            verifier(&format!("http://{}", silent.local_addr().unwrap()), Duration::ZERO);
        let asking = tokio::spawn({
            let verifier = verifier.clone();
            async move { verifier.key("made-up").await.is_ok() }
        });
        while verifier.state.fetching.try_lock().is_ok() {
            tokio::task::yield_now().await;
        }
        verifier.key("k").await.unwrap();
        assert!(!asking.is_finished());
        asking.abort();
    }
}
