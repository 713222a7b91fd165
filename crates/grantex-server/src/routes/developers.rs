//! Developers and API keys.

use std::sync::Arc;
use std::time::Instant;

use axum::Json as Body;
use axum::extract::State;
use grantex_core::model::{self, Actor};
use grantex_core::store::Needs;
use grantex_core::usecase::developers;
use grantex_types::api::developers::{
    ApiKey, CreateKeyRequest, CreateKeyResponse, Developer, KeyList, RotateKeyResponse,
    SignupRequest, SignupResponse,
};
use grantex_types::{ErrorCode, KeyId};
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::bootstrap::bootstrap;
use crate::crypto::new_api_key;
use crate::http::error::{ApiError, ApiResult};
use crate::http::page::{ListQuery, next_cursor};
use crate::http::query::ListParams;
use crate::request::body::LARGEST_SIGNUP;
use crate::request::extract::{Auth, Id, Json, Public};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(sign_up))
        .routes(routes!(me))
        .routes(routes!(list_keys, create_key))
        .routes(routes!(rotate_key))
        .routes(routes!(revoke_key))
}

/// Sign up
///
/// Creates a developer with a first API key. The key is shown only once. Signups have their own
/// rate limits, per address and in total.
#[utoipa::path(post, path = "/v1/signup", tag = "Developers", security(()), request_body = SignupRequest,
    responses((status = 201, description = "The developer, with the key", body = SignupResponse)))]
async fn sign_up(
    Public(from): Public,
    State(app): State<Arc<App>>,
    Json { value: request, .. }: Json<SignupRequest, LARGEST_SIGNUP>,
) -> ApiResult<(StatusCode, Body<SignupResponse>)> {
    if !app.settings.signup {
        return Err(ApiError::new(
            ErrorCode::Forbidden,
            "signing up is switched off; ask the operator for an API key",
        ));
    }
    app.memory.rates.take_signup(from, Instant::now())?;
    let answer = bootstrap(app.store.as_ref(), request, Actor::SYSTEM).await?;
    Ok((StatusCode::CREATED, Body(answer)))
}

/// Who am I
///
/// The developer that the API key belongs to.
#[utoipa::path(get, path = "/v1/me", tag = "Developers",
    responses((status = 200, description = "The developer", body = Developer)))]
async fn me(Auth(caller): Auth, State(app): State<Arc<App>>) -> ApiResult<Body<Developer>> {
    Ok(Body(app.read(caller.developer_id, move |store| developers::me(store, &caller)).await?))
}

/// Rotate the calling key
///
/// Replaces the key that makes this call. The old key stops working immediately, and the streams
/// opened with it end.
#[utoipa::path(post, path = "/v1/keys/rotate", tag = "Developers",
    responses((status = 200, description = "The new key", body = RotateKeyResponse)))]
async fn rotate_key(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
) -> ApiResult<Body<RotateKeyResponse>> {
    let (api_key, secret) = new_api_key(caller.mode);
    let key = app
        .write(caller.developer_id, developers::key_needs(caller.key_id), "rotate_key", move |tx| {
            developers::rotate_key(tx, &caller, secret.clone())
        })
        .await?;
    Ok(Body(RotateKeyResponse { api_key, rotated_at: key.created_at }))
}

/// List keys
///
/// The developer's keys without their secrets. Revoked keys are included while the service retains
/// them.
#[utoipa::path(get, path = "/v1/keys", tag = "Developers", params(ListQuery, ("after" = Option<KeyId>, Query, description = "Only items after this one: the `nextCursor` of the previous page")),
    responses((status = 200, description = "The keys", body = KeyList)))]
async fn list_keys(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    ListParams(list): ListParams<ListQuery>,
) -> ApiResult<Body<KeyList>> {
    let page = list.page()?;
    let mut keys = app
        .read_long(caller.developer_id, move |store| developers::list_keys(store, &caller, page))
        .await?;
    let next_cursor = next_cursor(&mut keys, page.limit, |key| key.id);
    Ok(Body(KeyList { keys: keys.into_iter().map(show).collect(), next_cursor }))
}

/// Create a key
///
/// Creates a key with the developer's mode. Its secret is shown only once.
#[utoipa::path(post, path = "/v1/keys", tag = "Developers", request_body = CreateKeyRequest,
    responses((status = 201, description = "The key, with its secret", body = CreateKeyResponse)))]
async fn create_key(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    Json { value: request, .. }: Json<CreateKeyRequest>,
) -> ApiResult<(StatusCode, Body<CreateKeyResponse>)> {
    let quotas = app.settings.quotas;
    let (api_key, secret) = new_api_key(caller.mode);
    let key = app
        .write(caller.developer_id, Needs::NONE, "create_key", move |tx| {
            developers::create_key(tx, &caller, &request.name, secret.clone(), &quotas)
        })
        .await?;
    let answer = CreateKeyResponse {
        key_id: key.id,
        name: key.name,
        api_key,
        mode: key.mode,
        created_at: key.created_at,
    };
    Ok((StatusCode::CREATED, Body(answer)))
}

/// Revoke a key
///
/// Revokes a key immediately. The streams opened with it end within a second.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "Developers", params(("id" = KeyId, Path, description = "The key")),
    responses((status = 204, description = "Revoked")))]
async fn revoke_key(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    Id(id): Id<KeyId>,
) -> ApiResult<StatusCode> {
    app.write(caller.developer_id, developers::key_needs(id), "revoke_key", move |tx| {
        developers::revoke_key(tx, &caller, id)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn show(key: model::ApiKey) -> ApiKey {
    ApiKey {
        key_id: key.id,
        name: key.name,
        prefix: key.prefix,
        mode: key.mode,
        created_at: key.created_at,
        revoked_at: key.revoked_at,
    }
}
