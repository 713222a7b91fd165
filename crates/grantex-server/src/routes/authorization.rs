//! Authorization requests, and the API doors to consent.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json as Body;
use axum::extract::State;
use grantex_core::model::AuthRequest;
use grantex_core::store::{Needs, Scope};
use grantex_core::usecase::{consent, idempotency};
use grantex_types::api::authorization::{
    ApproveResponse, AuthorizeRequest, AuthorizeResponse, ConsentRequest, ConsentStatus,
    DenyResponse,
};
use grantex_types::{AuthRequestId, ErrorCode};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::http::error::{ApiError, ApiResult};
use crate::request::extract::{Auth, Id, IdempotencyKey, Json, Public, Storing};
use grantex_core::usecase::scopes::ScopeText;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(authorize))
        .routes(routes!(approve_in_sandbox))
        .routes(routes!(deny_in_sandbox))
        .routes(routes!(show))
        .routes(routes!(approve))
        .routes(routes!(deny))
}

/// What is kept of an authorization request for its idempotency key.
#[derive(Serialize, Deserialize)]
struct Authorized {
    id: AuthRequestId,
    expires_at: grantex_types::Timestamp,
    approved: bool,
}

/// Request authorization
///
/// Asks a principal for consent. Send the `consentUrl` to the principal only: anyone who has this
/// link can decide. With a sandbox key the request is approved immediately and the response has the
/// `code`.
#[utoipa::path(post, path = "/v1/authorize", tag = "Authorization", request_body = AuthorizeRequest,
    responses((status = 201, description = "The request", body = AuthorizeResponse)))]
async fn authorize(
    Storing(caller): Storing,
    State(app): State<Arc<App>>,
    key: IdempotencyKey,
    Json { value: request, hash }: Json<AuthorizeRequest>,
) -> ApiResult<(StatusCode, Body<AuthorizeResponse>)> {
    let key = key.on("POST /v1/authorize", hash);
    let needs = Needs::NONE.and(idempotency::need(key.as_ref()));
    let authorized = app
        .write(caller.developer_id, needs, "authorize", move |tx| {
            idempotency::once(tx, caller.developer_id, key.as_ref(), |tx| {
                let request = consent::authorize(tx, &caller, request.clone())?;
                let approved = request.status == ConsentStatus::Approved;
                Ok(Authorized { id: request.id, expires_at: request.expires_at, approved })
            })
        })
        .await?;
    let answer = AuthorizeResponse {
        auth_request_id: authorized.id,
        consent_url: format!("{}/consent?req={}", app.settings.public_base, authorized.id),
        expires_at: authorized.expires_at,
        sandbox: authorized.approved.then_some(true),
        code: authorized.approved.then(|| app.secrets.code(authorized.id)),
    };
    Ok((StatusCode::CREATED, Body(answer)))
}

/// Show a consent request
///
/// The request as the principal sees it. The id is the principal's credential; the call needs no
/// API key.
#[utoipa::path(get, path = "/v1/consent/{id}", tag = "Consent", security(()),
    params(("id" = AuthRequestId, Path, description = "The authorization request")),
    responses((status = 200, description = "The request", body = ConsentRequest)))]
async fn show(
    _: Public,
    State(app): State<Arc<App>>,
    Id(id): Id<AuthRequestId>,
) -> ApiResult<Body<ConsentRequest>> {
    require_public_api(&app)?;
    let (request, agent, described) = app
        .read(Scope::AuthRequest(id), move |store| {
            let (request, agent) = consent::pending(store, id)?;
            let scopes = request.scopes.as_slice().iter();
            let described = scopes
                .map(|scope| {
                    let text = ScopeText::load(store, request.developer_id, scope)?;
                    Ok((scope.clone(), text.name))
                })
                .collect::<grantex_core::Result<BTreeMap<_, _>>>()?;
            Ok((request, agent, described))
        })
        .await?;
    Ok(Body(ConsentRequest {
        id: request.id,
        agent_name: agent.name,
        agent_did: agent.did,
        agent_description: agent.description,
        scope_descriptions: described,
        scopes: request.scopes,
        budget: request.budget,
        expires_at: request.expires_at,
        status: request.status,
    }))
}

/// Approve
///
/// Approves the request as the principal.
#[utoipa::path(post, path = "/v1/consent/{id}/approve", tag = "Consent", security(()),
    params(("id" = AuthRequestId, Path, description = "The authorization request")),
    responses((status = 200, description = "Approved", body = ApproveResponse)))]
async fn approve(
    _: Public,
    State(app): State<Arc<App>>,
    Id(id): Id<AuthRequestId>,
) -> ApiResult<Body<ApproveResponse>> {
    require_public_api(&app)?;
    let request = app
        .write(Scope::AuthRequest(id), consent::decide_needs(id), "approve_consent", move |tx| {
            consent::approve(tx, id)
        })
        .await?;
    Ok(Body(approved(&app, request)))
}

/// Deny
///
/// Denies the request as the principal.
#[utoipa::path(post, path = "/v1/consent/{id}/deny", tag = "Consent", security(()),
    params(("id" = AuthRequestId, Path, description = "The authorization request")),
    responses((status = 200, description = "Denied", body = DenyResponse)))]
async fn deny(
    _: Public,
    State(app): State<Arc<App>>,
    Id(id): Id<AuthRequestId>,
) -> ApiResult<Body<DenyResponse>> {
    require_public_api(&app)?;
    let request = app
        .write(Scope::AuthRequest(id), consent::decide_needs(id), "deny_consent", move |tx| {
            consent::deny(tx, id)
        })
        .await?;
    Ok(Body(DenyResponse { redirect_uri: request.redirect_uri, state: request.state }))
}

/// Approve in sandbox mode
///
/// Only with a sandbox key. With a live key only the principal can decide.
#[utoipa::path(post, path = "/v1/authorize/{id}/approve", tag = "Authorization",
    params(("id" = AuthRequestId, Path, description = "The authorization request")),
    responses((status = 200, description = "Approved", body = ApproveResponse)))]
async fn approve_in_sandbox(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    Id(id): Id<AuthRequestId>,
) -> ApiResult<Body<ApproveResponse>> {
    let decision = ConsentStatus::Approved;
    let request = app
        .write(caller.developer_id, consent::decide_needs(id), "decide_for_sandbox", move |tx| {
            consent::decide_for_sandbox(tx, &caller, id, decision)
        })
        .await?;
    Ok(Body(approved(&app, request)))
}

/// Deny in sandbox mode
///
/// Only with a sandbox key. With a live key only the principal can decide.
#[utoipa::path(post, path = "/v1/authorize/{id}/deny", tag = "Authorization",
    params(("id" = AuthRequestId, Path, description = "The authorization request")),
    responses((status = 200, description = "Denied", body = DenyResponse)))]
async fn deny_in_sandbox(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    Id(id): Id<AuthRequestId>,
) -> ApiResult<Body<DenyResponse>> {
    let decision = ConsentStatus::Denied;
    let request = app
        .write(caller.developer_id, consent::decide_needs(id), "decide_for_sandbox", move |tx| {
            consent::decide_for_sandbox(tx, &caller, id, decision)
        })
        .await?;
    Ok(Body(DenyResponse { redirect_uri: request.redirect_uri, state: request.state }))
}

fn require_public_api(app: &App) -> ApiResult<()> {
    if app.settings.public_consent_api {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::Forbidden,
        "consent through the API is switched off; it is given on the consent page",
    ))
}

fn approved(app: &App, request: AuthRequest) -> ApproveResponse {
    ApproveResponse {
        code: app.secrets.code(request.id),
        redirect_uri: request.redirect_uri,
        state: request.state,
    }
}
