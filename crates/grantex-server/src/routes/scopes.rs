//! Names of scopes.

use std::sync::Arc;

use axum::Json as Body;
use axum::extract::State;
use grantex_core::store::Needs;
use grantex_core::usecase::scopes;
use grantex_types::api::scopes::{NameScopesRequest, ScopeNameList};
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::http::error::ApiResult;
use crate::http::query::{Known, ListParams};
use crate::request::extract::{Auth, Json, Storing};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list, name, remove))
}

/// Name scopes
///
/// Sets the names that principals read on the consent page and on their own page, above the scope
/// itself. Scopes that the request does not list keep their names. A developer can name 500 scopes,
/// and one call 100. Each change has an entry in the audit trail. A new name also applies to
/// existing requests and grants.
#[utoipa::path(put, path = "/v1/scopes", tag = "Scopes", request_body = NameScopesRequest,
    responses((status = 200, description = "The scopes of the request, with their names", body = ScopeNameList)))]
async fn name(
    Storing(caller): Storing,
    State(app): State<Arc<App>>,
    Json { value: request, .. }: Json<NameScopesRequest>,
) -> ApiResult<Body<ScopeNameList>> {
    let scopes = app
        .write(caller.developer_id, Needs::NONE, "name_scopes", move |tx| {
            scopes::name(tx, &caller, request.clone())
        })
        .await?;
    Ok(Body(ScopeNameList { scopes }))
}

/// List named scopes
///
/// All scopes that have a name, at most 500.
#[utoipa::path(get, path = "/v1/scopes", tag = "Scopes",
    responses((status = 200, description = "The scopes", body = ScopeNameList)))]
async fn list(Auth(caller): Auth, State(app): State<Arc<App>>) -> ApiResult<Body<ScopeNameList>> {
    let scopes =
        app.read_long(caller.developer_id, move |store| scopes::list(store, &caller)).await?;
    Ok(Body(ScopeNameList { scopes }))
}

/// Which scope.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ScopeQuery {
    /// The scope, percent-encoded.
    #[param(min_length = 1, max_length = 256)]
    scope: String,
}

impl Known for ScopeQuery {
    const NAMES: &'static [&'static str] = &["scope"];
}

/// Remove a scope's name
///
/// From then on principals read a text derived from the scope itself. Grants do not change.
#[utoipa::path(delete, path = "/v1/scopes", tag = "Scopes", params(ScopeQuery),
    responses((status = 204, description = "Removed")))]
async fn remove(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    ListParams(query): ListParams<ScopeQuery>,
) -> ApiResult<StatusCode> {
    app.write(caller.developer_id, Needs::NONE, "remove_scope_name", move |tx| {
        scopes::remove(tx, &caller, &query.scope)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
