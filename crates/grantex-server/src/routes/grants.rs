//! Grants and delegation.

use std::sync::Arc;

use axum::Json as Body;
use axum::extract::State;
use grantex_core::store::GrantFilter;
use grantex_core::usecase::{grants, idempotency};
use grantex_core::validate;
use grantex_types::api::grants::{DelegateRequest, Grant, GrantList, GrantStatus};
use grantex_types::api::tokens::TokenResponse;
use grantex_types::event::RevokedBy;
use grantex_types::{AgentId, GrantId};
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::http::error::{ApiError, ApiResult};
use crate::http::page::{ListQuery, next_sifted};
use crate::http::query::{Known, ListParams};
use crate::request::extract::{Auth, Id, IdempotencyKey, Json, Storing};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, revoke))
        .routes(routes!(delegate))
}

/// Which grants to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct GrantQuery {
    /// Only this agent's.
    #[param(value_type = Option<AgentId>)]
    agent_id: Option<String>,
    /// Only those that this principal gave.
    #[param(
        min_length = 1,
        max_length = 256,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    principal_id: Option<String>,
    /// Only those with this status.
    status: Option<GrantStatus>,
}

impl Known for GrantQuery {
    const NAMES: &'static [&'static str] = &["agentId", "principalId", "status"];
}

/// List grants
///
/// One call examines at most 10,000 grants, including those that the filter hides. A page may
/// therefore be short or empty and still have a `nextCursor`. The list ends with the page that has
/// none.
#[utoipa::path(get, path = "/v1/grants", tag = "Grants", params(GrantQuery, ListQuery, ("after" = Option<GrantId>, Query, description = "Only items after this one: the `nextCursor` of the previous page")),
    responses((status = 200, description = "The grants", body = GrantList)))]
async fn list(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    ListParams((query, list)): ListParams<(GrantQuery, ListQuery)>,
) -> ApiResult<Body<GrantList>> {
    let page = list.page()?;
    let agent_id = query.agent_id.as_deref().map(str::parse).transpose();
    let agent_id = agent_id.map_err(|error| ApiError::bad_request(format!("agentId: {error}")))?;
    let principal_id =
        query.principal_id.as_deref().map(validate::known_principal_id).transpose()?;
    let filter = GrantFilter { agent_id, principal_id, status: query.status };
    let (mut found, now) = app
        .read_long(caller.developer_id, move |store| {
            Ok((grants::list(store, caller.developer_id, &filter, page)?, store.now()))
        })
        .await?;
    let next_cursor = next_sifted(&mut found, page.limit, |grant| grant.id);
    let grants = found.rows.into_iter().map(|grant| grant.into_api(now)).collect();
    Ok(Body(GrantList { grants, next_cursor }))
}

/// Get a grant
#[utoipa::path(get, path = "/v1/grants/{id}", tag = "Grants", params(("id" = GrantId, Path, description = "The grant")),
    responses((status = 200, description = "The grant", body = Grant)))]
async fn get(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    Id(id): Id<GrantId>,
) -> ApiResult<Body<Grant>> {
    let show = app.read(caller.developer_id, move |store| {
        Ok(grants::get(store, caller.developer_id, id)?.into_api(store.now()))
    });
    Ok(Body(show.await?))
}

/// Revoke a grant
///
/// Revokes the grant and all grants delegated from it, each with its own `grant.revoked` event,
/// parents before children. All of them are inactive when the response arrives. The events of up to
/// 1,000 grants below it are written by then; beyond that number they follow.
#[utoipa::path(delete, path = "/v1/grants/{id}", tag = "Grants", params(("id" = GrantId, Path, description = "The grant")),
    responses((status = 204, description = "Revoked")))]
async fn revoke(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    Id(id): Id<GrantId>,
) -> ApiResult<StatusCode> {
    app.write(caller.developer_id, grants::revoke_needs(id), "revoke_grant", move |tx| {
        grants::revoke(tx, caller.developer_id, id, RevokedBy::Developer)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Delegate a grant
///
/// Gives another agent some of a grant's scopes. The new grant ends no later than its parent.
#[utoipa::path(post, path = "/v1/grants/delegate", tag = "Grants", request_body = DelegateRequest,
    responses((status = 201, description = "A token of the new grant", body = TokenResponse)))]
async fn delegate(
    Storing(caller): Storing,
    State(app): State<Arc<App>>,
    key: IdempotencyKey,
    Json { value: request, hash }: Json<DelegateRequest>,
) -> ApiResult<(StatusCode, Body<TokenResponse>)> {
    let quotas = app.settings.quotas;
    let key = key.on("POST /v1/grants/delegate", hash);
    let parent = app.read_token(request.parent_grant_token.clone()).await?.ok_or_else(|| {
        ApiError::bad_request("parentGrantToken is not a grant token of this service")
    })?;
    let (signer, depth_limit) = (app.signer(), app.settings.delegation_depth);
    let needs = grants::delegate_needs(&parent).and(idempotency::need(key.as_ref()));
    let issued = app
        .write(caller.developer_id, needs, "delegate_grant", move |tx| {
            idempotency::once(tx, caller.developer_id, key.as_ref(), |tx| {
                grants::delegate(
                    tx,
                    &caller,
                    &parent,
                    request.clone(),
                    depth_limit,
                    &signer,
                    &quotas,
                )
            })
        })
        .await?;
    Ok((StatusCode::CREATED, Body(app.token_response(issued).await?)))
}
