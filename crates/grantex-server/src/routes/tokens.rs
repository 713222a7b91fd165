//! Grant tokens.

use std::sync::Arc;

use axum::Json as Body;
use axum::extract::State;
use grantex_core::model::Caller;
use grantex_core::store::{Needs, Tx};
use grantex_core::usecase::idempotency::{self, IdempotencyKey};
use grantex_core::usecase::tokens::{
    self, CODE_REFUSED, Exchange, Issuance, Issued, REFRESH_REFUSED,
};
use grantex_core::validate;
use grantex_types::TokenId;
use grantex_types::api::tokens::{
    ExchangeRequest, InactiveReason, RefreshRequest, RevokeTokenRequest, TokenResponse,
    VerifyGrantResponse, VerifyRequest, VerifyTokenResponse,
};
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::crypto::{base64url, sha256};
use crate::http::error::{ApiError, ApiResult};
use crate::request::extract::{self, Auth, Json, Storing};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(exchange))
        .routes(routes!(refresh))
        .routes(routes!(verify))
        .routes(routes!(verify_grant))
        .routes(routes!(revoke))
}

/// Exchange a code
///
/// Turns an approved request into a grant with its first token: `grant.created`, then
/// `token.issued`. One code makes one grant; a failed attempt does not use it up. A second use of a
/// code, with the right agent and verifier, is refused and revokes its grant and all grants
/// delegated from it, because more than one party has the code. A retry with the same idempotency
/// key is not a second use: it gets the first response.
///
/// The token is valid for 24 h unless the operator configured another lifetime, and no longer than
/// its grant. The refresh token works until the grant ends.
#[utoipa::path(post, path = "/v1/token", tag = "Tokens", request_body = ExchangeRequest,
    responses((status = 201, description = "The token", body = TokenResponse)))]
async fn exchange(
    Storing(caller): Storing,
    State(app): State<Arc<App>>,
    key: extract::IdempotencyKey,
    Json { value: request, hash }: Json<ExchangeRequest>,
) -> ApiResult<(StatusCode, Body<TokenResponse>)> {
    let quotas = app.settings.quotas;
    let key = key.on("POST /v1/token", hash);
    let auth_request_id =
        app.secrets.read_code(&request.code).ok_or_else(|| ApiError::bad_request(CODE_REFUSED))?;
    let verifier = request.code_verifier.as_deref().map(validate::code_verifier).transpose()?;
    let shown = Exchange {
        auth_request_id,
        agent_id: request.agent_id,
        challenge: verifier.map(|verifier| base64url(&sha256(verifier.as_bytes()))),
    };
    let signer = app.signer();
    let needs = tokens::exchange_needs(&shown);
    let exchange = move |tx: &mut dyn Tx| tokens::exchange(tx, &caller, &shown, &signer, &quotas);
    let issued = issue_once(&app, &caller, needs, "exchange_code", key, exchange).await?;
    Ok((StatusCode::CREATED, Body(app.token_response(issued).await?)))
}

async fn issue_once<F>(
    app: &App,
    caller: &Caller,
    needs: Needs,
    use_case: &'static str,
    key: Option<IdempotencyKey>,
    mut work: F,
) -> ApiResult<Issued>
where
    F: FnMut(&mut dyn Tx) -> grantex_core::Result<Issuance> + Send + 'static,
{
    let developer = caller.developer_id;
    let needs = needs.and(idempotency::need(key.as_ref()));
    let issued = app.write(developer, needs, use_case, move |tx| {
        tokens::issue_once(tx, developer, key.as_ref(), &mut work)
    });
    Ok(issued.await??)
}

/// Refresh
///
/// Exchanges a refresh token for a new token of the same grant. A refresh token works once. A
/// second use is refused, and more than 30 s later it also revokes the grant and all grants
/// delegated from it, because more than one party has the secret. A retry with the same idempotency
/// key is not a second use: it gets the first response.
#[utoipa::path(post, path = "/v1/token/refresh", tag = "Tokens", request_body = RefreshRequest,
    responses((status = 201, description = "The token", body = TokenResponse)))]
async fn refresh(
    Storing(caller): Storing,
    State(app): State<Arc<App>>,
    key: extract::IdempotencyKey,
    Json { value: request, hash }: Json<RefreshRequest>,
) -> ApiResult<(StatusCode, Body<TokenResponse>)> {
    let key = key.on("POST /v1/token/refresh", hash);
    let id = app
        .secrets
        .read_refresh_token(&request.refresh_token)
        .ok_or_else(|| ApiError::bad_request(REFRESH_REFUSED))?;
    let signer = app.signer();
    let needs = tokens::refresh_needs(id);
    let refresh =
        move |tx: &mut dyn Tx| tokens::refresh(tx, &caller, id, &request.agent_id, &signer);
    let issued = issue_once(&app, &caller, needs, "refresh_token", key, refresh).await?;
    Ok((StatusCode::CREATED, Body(app.token_response(issued).await?)))
}

/// Verify a token
///
/// Checks the signature and lifetime, the token, its grant, and all grants above it; each agent of
/// the chain must be active. The response has the token's audience (`aud`): compare it with your
/// own, or send `audience`.
///
/// A program that verifies tokens offline, with the public keys, must check `iss`, `exp`, `dev` and
/// `aud`: one key set signs the tokens of all developers, so a valid signature alone does not mean
/// that a token is meant for it.
#[utoipa::path(post, path = "/v1/tokens/verify", tag = "Tokens", request_body = VerifyRequest,
    responses((status = 200, description = "Whether it is valid", body = VerifyTokenResponse)))]
async fn verify(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    Json { value: request, .. }: Json<VerifyRequest>,
) -> ApiResult<Body<VerifyTokenResponse>> {
    let mut answer = VerifyTokenResponse {
        valid: false,
        grant_id: None,
        scopes: None,
        principal: None,
        agent: None,
        expires_at: None,
        aud: None,
    };
    let Some(claims) = app.read_token(request.token).await? else { return Ok(Body(answer)) };
    let audience = request.audience.as_deref();
    if app.inactive_reason(caller.developer_id, &claims, audience).await?.is_none() {
        answer.valid = true;
        answer.grant_id = Some(claims.grnt);
        answer.scopes = Some(claims.scp);
        answer.principal = Some(claims.sub);
        answer.agent = Some(claims.agt);
        answer.expires_at =
            Some(grantex_types::Timestamp::from_millis(claims.exp.saturating_mul(1000)));
        answer.aud = claims.aud;
    }
    Ok(Body(answer))
}

/// Verify a grant by its token
///
/// Like `POST /v1/tokens/verify`, with the reason if the token or its grant is not in force.
/// `agent_suspended` may be temporary.
#[utoipa::path(post, path = "/v1/grants/verify", tag = "Grants", request_body = VerifyRequest,
    responses((status = 200, description = "Whether it is active", body = VerifyGrantResponse)))]
async fn verify_grant(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    Json { value: request, .. }: Json<VerifyRequest>,
) -> ApiResult<Body<VerifyGrantResponse>> {
    let inactive =
        |reason| VerifyGrantResponse { active: false, claims: None, reason: Some(reason) };
    let Some(claims) = app.read_token(request.token).await? else {
        return Ok(Body(inactive(InactiveReason::NotFound)));
    };
    let reason =
        app.inactive_reason(caller.developer_id, &claims, request.audience.as_deref()).await?;
    Ok(Body(match reason {
        None => VerifyGrantResponse { active: true, claims: Some(claims), reason: None },
        Some(reason) => inactive(reason),
    }))
}

/// Revoke a token
///
/// Revokes one token. Its grant stays in force.
#[utoipa::path(post, path = "/v1/tokens/revoke", tag = "Tokens", request_body = RevokeTokenRequest,
    responses((status = 204, description = "Revoked")))]
async fn revoke(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    Json { value: request, .. }: Json<RevokeTokenRequest>,
) -> ApiResult<StatusCode> {
    let id: TokenId = request.jti.parse().map_err(|_| ApiError::not_found("token"))?;
    app.write(caller.developer_id, tokens::revoke_needs(id), "revoke_token", move |tx| {
        tokens::revoke(tx, &caller, id)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
