//! What principals see and do themselves.

use std::sync::Arc;

use axum::Json as Body;
use axum::extract::{FromRequestParts, State};
use grantex_core::store::GrantFilter;
use grantex_core::usecase::grants;
use grantex_core::validate;
use grantex_types::api::grants::{PrincipalGrants, PrincipalSessionRequest, PrincipalSessionResponse};
use grantex_types::{DeveloperId, GrantId, Lifetime};
use http::StatusCode;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::http::error::{ApiError, ApiResult};
use crate::http::extract::{Auth, Id, Json, Params, Public, bearer};
use crate::http::page::{ListQuery, next_cursor};

const SESSION_PREFIX: &str = "gxs_";
const DEFAULT_LIFETIME: Lifetime = Lifetime::from_seconds(3600);
const LONGEST_LIFETIME: Lifetime = Lifetime::from_seconds(24 * 3600);

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create_session))
        .routes(routes!(list_grants))
        .routes(routes!(revoke_grant))
}

/// A principal who proved, through their developer, who they are.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Principal {
    #[serde(rename = "d")]
    pub(super) developer_id: DeveloperId,
    #[serde(rename = "p")]
    pub(super) principal_id: String,
}

impl Principal {
    /// The principal of a session token.
    pub(super) fn read(app: &App, token: &str) -> Option<Self> {
        app.secrets.read_signed(SESSION_PREFIX, token, app.clock.now())
    }
}

impl FromRequestParts<Arc<App>> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        Public::from_request_parts(parts, app).await?;
        bearer(&parts.headers).and_then(|token| Self::read(app, token)).ok_or_else(|| {
            ApiError::unauthorized("give a session token that has not ended in `Authorization: Bearer …`")
        })
    }
}

/// Open a principal's session
///
/// For a principal whom the developer has authenticated: a token, and a page, with which they see
/// and revoke their own grants. Whoever has them has the session.
#[utoipa::path(post, path = "/v1/principal-sessions", tag = "Principals", request_body = PrincipalSessionRequest,
    responses((status = 201, description = "The session", body = PrincipalSessionResponse)))]
async fn create_session(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    Json { value: request, .. }: Json<PrincipalSessionRequest>,
) -> ApiResult<(StatusCode, Body<PrincipalSessionResponse>)> {
    let principal_id = validate::known_principal_id(&request.principal_id)?;
    let lifetime = validate::expires_in(request.expires_in.as_deref(), DEFAULT_LIFETIME)?;
    if lifetime > LONGEST_LIFETIME {
        return Err(ApiError::bad_request("expiresIn must be at most 24h"));
    }
    let principal = Principal { developer_id: caller.developer_id, principal_id };
    let wanted = principal.principal_id.clone();
    let known = app
        .read(caller.developer_id, move |store| {
            grants::principal_has_active_grant(store, caller.developer_id, &wanted)
        })
        .await?;
    if !known {
        return Err(ApiError::not_found("active grant of this principal"));
    }
    let expires_at = app.clock.now().plus(lifetime);
    let session_token = app.secrets.sign(SESSION_PREFIX, principal, expires_at);
    let dashboard_url = format!("{}/dashboard?session={session_token}", app.settings.public_base);
    Ok((StatusCode::CREATED, Body(PrincipalSessionResponse { session_token, dashboard_url, expires_at })))
}

/// List my grants
///
/// With a session token: the grants that the principal gave.
#[utoipa::path(get, path = "/v1/principal/grants", tag = "Principals", params(ListQuery, ("after" = Option<GrantId>, Query, description = "Only items after this one: the `nextCursor` of the page before")),
    security(("principalSession" = [])),
    responses((status = 200, description = "The grants", body = PrincipalGrants)))]
async fn list_grants(
    principal: Principal,
    State(app): State<Arc<App>>,
    Params(list): Params<ListQuery>,
) -> ApiResult<Body<PrincipalGrants>> {
    let page = list.page()?;
    let filter = GrantFilter { principal_id: Some(principal.principal_id.clone()), ..GrantFilter::default() };
    let developer = principal.developer_id;
    let (mut rows, now) = app
        .read_long(developer, move |store| Ok((grants::list(store, developer, &filter, page)?, store.now())))
        .await?;
    let next_cursor = next_cursor(&mut rows, page.limit, |grant| grant.id);
    let grants = rows.into_iter().map(|grant| grant.into_api(now)).collect();
    Ok(Body(PrincipalGrants { grants, principal_id: principal.principal_id, next_cursor }))
}

/// Revoke my grant
///
/// With a session token. The event says `principal`.
#[utoipa::path(delete, path = "/v1/principal/grants/{id}", tag = "Principals",
    params(("id" = GrantId, Path, description = "The grant")), security(("principalSession" = [])),
    responses((status = 204, description = "Revoked")))]
async fn revoke_grant(
    principal: Principal,
    State(app): State<Arc<App>>,
    Id(id): Id<GrantId>,
) -> ApiResult<StatusCode> {
    revoke(&app, principal, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revokes one of a principal's own grants.
pub(super) async fn revoke(app: &App, principal: Principal, id: GrantId) -> ApiResult<()> {
    let Principal { developer_id, principal_id } = principal;
    app.write(developer_id, "revoke_grant_as_principal", move |tx| {
        grants::revoke_as_principal(tx, developer_id, &principal_id, id)
    })
    .await
}
