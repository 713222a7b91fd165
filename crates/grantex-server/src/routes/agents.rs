//! Agents.

use std::sync::Arc;

use axum::Json as Body;
use axum::extract::State;
use grantex_core::store::Needs;
use grantex_core::usecase::{agents, idempotency};
use grantex_types::AgentId;
use grantex_types::api::agents::{Agent, AgentList, CreateAgentRequest, UpdateAgentRequest};
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::http::error::ApiResult;
use crate::http::page::{ListQuery, next_cursor};
use crate::http::query::ListParams;
use crate::request::extract::{Auth, Id, IdempotencyKey, Json, Storing};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(
        get,
        update,
        update_by_post,
        delete
    ))
}

/// Register an agent
#[utoipa::path(post, path = "/v1/agents", tag = "Agents", request_body = CreateAgentRequest,
    responses((status = 201, description = "The agent", body = Agent)))]
async fn create(
    Storing(caller): Storing,
    State(app): State<Arc<App>>,
    key: IdempotencyKey,
    Json { value: request, hash }: Json<CreateAgentRequest>,
) -> ApiResult<(StatusCode, Body<Agent>)> {
    let quotas = app.settings.quotas;
    let key = key.on("POST /v1/agents", hash);
    let needs = Needs::NONE.and(idempotency::need(key.as_ref()));
    let agent = app
        .write(caller.developer_id, needs, "create_agent", move |tx| {
            idempotency::once(tx, caller.developer_id, key.as_ref(), |tx| {
                agents::create(tx, &caller, request.clone(), &quotas)
            })
        })
        .await?;
    Ok((StatusCode::CREATED, Body(agent)))
}

/// List agents
#[utoipa::path(get, path = "/v1/agents", tag = "Agents", params(ListQuery, ("after" = Option<AgentId>, Query, description = "Only items after this one: the `nextCursor` of the previous page")),
    responses((status = 200, description = "The agents", body = AgentList)))]
async fn list(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    ListParams(list): ListParams<ListQuery>,
) -> ApiResult<Body<AgentList>> {
    let page = list.page()?;
    let mut agents =
        app.read_long(caller.developer_id, move |store| agents::list(store, &caller, page)).await?;
    let next_cursor = next_cursor(&mut agents, page.limit, |agent| agent.agent_id);
    Ok(Body(AgentList { agents, next_cursor }))
}

/// Get an agent
#[utoipa::path(get, path = "/v1/agents/{id}", tag = "Agents", params(("id" = AgentId, Path, description = "The agent")),
    responses((status = 200, description = "The agent", body = Agent)))]
async fn get(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    Id(id): Id<AgentId>,
) -> ApiResult<Body<Agent>> {
    Ok(Body(app.read(caller.developer_id, move |store| agents::get(store, &caller, id)).await?))
}

/// Update an agent
///
/// Changes the fields that are given, at least one. A suspended agent gets no new grants or tokens
/// until it is active again.
#[utoipa::path(patch, path = "/v1/agents/{id}", tag = "Agents", params(("id" = AgentId, Path, description = "The agent")),
    request_body = UpdateAgentRequest,
    responses((status = 200, description = "The agent", body = Agent)))]
async fn update(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    Id(id): Id<AgentId>,
    Json { value: request, .. }: Json<UpdateAgentRequest>,
) -> ApiResult<Body<Agent>> {
    Ok(Body(
        app.write(caller.developer_id, agents::change_needs(id), "update_agent", move |tx| {
            agents::update(tx, &caller, id, request.clone())
        })
        .await?,
    ))
}

/// Update an agent (older clients)
///
/// The same as `PATCH`.
#[utoipa::path(post, path = "/v1/agents/{id}", tag = "Agents", params(("id" = AgentId, Path, description = "The agent")),
    request_body = UpdateAgentRequest,
    responses((status = 200, description = "The agent", body = Agent)))]
async fn update_by_post(
    auth: Auth,
    app: State<Arc<App>>,
    id: Id<AgentId>,
    request: Json<UpdateAgentRequest>,
) -> ApiResult<Body<Agent>> {
    update(auth, app, id, request).await
}

/// Delete an agent
///
/// Also revokes its grants and all grants delegated from them, each with its own event.
#[utoipa::path(delete, path = "/v1/agents/{id}", tag = "Agents", params(("id" = AgentId, Path, description = "The agent")),
    responses((status = 204, description = "Deleted")))]
async fn delete(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    Id(id): Id<AgentId>,
) -> ApiResult<StatusCode> {
    app.write(caller.developer_id, agents::change_needs(id), "delete_agent", move |tx| {
        agents::delete(tx, &caller, id)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
