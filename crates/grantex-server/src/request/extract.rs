//! The extractors: what handlers take from a request.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use grantex_core::model::Caller;
use grantex_core::usecase::{idempotency, quotas};
use grantex_types::ErrorCode;
use http::request::Parts;
use http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use super::{body, client};
use crate::app::App;
use crate::crypto::sha256;
use crate::http::account::{Account, Payer};
use crate::http::error::ApiError;
use crate::http::{body_error, objects};
use crate::net::address::ClientAddress;
use crate::net::connections::Admitted;

/// Longer JSON, in bytes, is parsed on a blocking thread, in turn. Below that, parsing takes some
/// tens of microseconds, about as long as handing it over.
const LARGE: usize = 32 << 10;

/// The caller of a request with a working API key. Charges the rate limits of the developer and of
/// the key, and counts the request in the developer's share.
pub(crate) struct Auth(pub(crate) Caller);

impl FromRequestParts<Arc<App>> for Auth {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let account = parts.extensions.get::<Account>().cloned().unwrap_or_default();
        let secret = bearer(&parts.headers);
        let mut caller = secret.and_then(|secret| app.known_caller(secret));
        if caller.is_none() {
            // Guessing keys is limited like every call without a key, before it costs a query.
            let client = client::address(parts, app.settings.trust_forwarded_for);
            account.note(app.memory.rates.address.take(client, Instant::now()))?;
            if let Some(secret) = secret {
                caller = app.load_caller(secret).await?;
            }
        }
        let caller = caller.ok_or_else(|| {
            ApiError::unauthorized(
                "send a valid API key (gx_live_… or gx_test_…) in the header `Authorization: \
                 Bearer <API key>`",
            )
        })?;
        account.note(app.memory.rates.developer.take(caller.developer_id, Instant::now()))?;
        account.note(app.memory.rates.key.take(caller.key_id, Instant::now()))?;
        if let Some(admitted) = parts.extensions.get::<Admitted>() {
            admitted.set_known();
        }
        let entered = app.memory.shares.enter(caller.developer_id)?;
        account.enter(Payer::Developer(caller.developer_id), entered);
        Ok(Self(caller))
    }
}

/// Like [`Auth`], for calls that store something: refused while the developer's rows take as many
/// bytes as its quota allows.
pub(crate) struct Storing(pub(crate) Caller);

impl FromRequestParts<Arc<App>> for Storing {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let Auth(caller) = Auth::from_request_parts(parts, app).await?;
        if app.memory.full.read().contains(&caller.developer_id) {
            return Err(quotas::full().into());
        }
        Ok(Self(caller))
    }
}

/// The token of an `Authorization: Bearer` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A call without an API key: charges the rate limit of its address.
pub(crate) struct Public(pub(crate) ClientAddress);

impl FromRequestParts<Arc<App>> for Public {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let account = parts.extensions.get::<Account>().cloned().unwrap_or_default();
        let address = client::address(parts, app.settings.trust_forwarded_for);
        account.note(app.memory.rates.address.take(address, Instant::now()))?;
        account.enter(Payer::Address(address), app.memory.shares.stranger());
        Ok(Self(address))
    }
}

/// A JSON body of at most `MOST` bytes, with the hash that idempotency keys are bound to.
pub(crate) struct Json<T, const MOST: usize = { body::LARGEST }> {
    pub(crate) value: T,
    pub(crate) hash: [u8; 32],
}

impl<T: DeserializeOwned + Send + 'static, const MOST: usize> FromRequest<Arc<App>>
    for Json<T, MOST>
{
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let content_type =
            request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence =
            content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(not_json());
        }
        let (parts, body) = request.into_parts();
        let bytes = body::read(&parts, body, app, MOST).await?;
        if bytes.len() <= LARGE {
            return Self::parse(&bytes);
        }
        let account = parts.extensions.get::<Account>().cloned().unwrap_or_default();
        let turn = account.queue(&app.memory.shares).turn().await?;
        let parsed = tokio::task::spawn_blocking(move || {
            let parsed = Self::parse(&bytes);
            drop(turn);
            parsed
        });
        parsed.await.map_err(|error| ApiError::internal(&error))?
    }
}

impl<T: DeserializeOwned, const MOST: usize> Json<T, MOST> {
    fn parse(bytes: &[u8]) -> Result<Self, ApiError> {
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(ApiError::bad_request("the body must be a JSON object"));
        }
        let value = objects::read(bytes)
            .map_err(|error| ApiError::bad_request(body_error::explained(bytes, &error)))?;
        Ok(Self { value, hash: sha256(bytes) })
    }
}

fn not_json() -> ApiError {
    ApiError::new(
        ErrorCode::UnsupportedMediaType,
        "send the body as JSON with the header `Content-Type: application/json`",
    )
}

/// Like [`Json`], but an absent body means `{}`.
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: DeserializeOwned + Send + 'static> FromRequest<Arc<App>> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let typed = request.headers().contains_key(header::CONTENT_TYPE);
        if typed {
            return Json::from_request(request, app).await.map(|json: Json<T>| Self(json.value));
        }
        let (parts, body) = request.into_parts();
        match body::read(&parts, body, app, 0).await {
            Ok(_) => Json::<T>::parse(b"{}").map(|json| Self(json.value)),
            Err(error) if error.code == ErrorCode::PayloadTooLarge => Err(not_json()),
            Err(error) => Err(error),
        }
    }
}

/// The id at the end of a path. A malformed id is 404 like an unknown one.
pub(crate) struct Id<T>(pub(crate) T);

impl<T: std::str::FromStr, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let id = text.ok().and_then(|Path(text)| text.parse().ok());
        id.map(Self).ok_or_else(|| ApiError::not_found("object with this id"))
    }
}

/// The `Idempotency-Key` header, if there is one.
pub(crate) struct IdempotencyKey(Option<Arc<str>>);

impl IdempotencyKey {
    /// The key for a request to `route` whose body has this hash.
    pub(crate) fn on(
        self,
        route: &'static str,
        body_hash: [u8; 32],
    ) -> Option<idempotency::IdempotencyKey> {
        self.0.map(|key| idempotency::IdempotencyKey { route, key, body_hash })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        match value.to_str() {
            Ok(key) if (1..=255).contains(&key.len()) && !key.trim().is_empty() => {
                Ok(Self(Some(key.into())))
            }
            _ => Err(ApiError::bad_request(
                "Idempotency-Key must be 1 to 255 visible ASCII characters",
            )),
        }
    }
}
