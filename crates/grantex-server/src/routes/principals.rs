//! Calls of principals, and their sessions.

use std::sync::Arc;

use axum::Json as Body;
use axum::extract::{FromRequestParts, State};
use grantex_core::model::PrincipalSession;
use grantex_core::store::{GrantFilter, Need, Needs, Tx};
use grantex_core::usecase::{grants, sessions};
use grantex_core::validate;
use grantex_types::api::grants::{
    PrincipalGrants, PrincipalSessionList, PrincipalSessionRequest, PrincipalSessionResponse,
};
use grantex_types::{DeveloperId, GrantId, Lifetime, SessionId};
use http::StatusCode;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::http::error::{ApiError, ApiResult};
use crate::http::page::{ListQuery, next_cursor, next_sifted};
use crate::http::query::{Known, ListParams, Params};
use crate::request::extract::{Auth, Id, Json, Public, Storing, bearer};

const SESSION_PREFIX: &str = "gxs_";
const DEFAULT_LIFETIME: Lifetime = Lifetime::from_seconds(3600);
const LONGEST_LIFETIME: Lifetime = Lifetime::from_seconds(24 * 3600);

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create_session, list_sessions, end_sessions))
        .routes(routes!(end_session))
        .routes(routes!(list_grants))
        .routes(routes!(revoke_grant))
        .routes(routes!(sign_out))
}

/// What a session token carries, signed.
#[derive(Serialize, Deserialize)]
struct SessionToken {
    #[serde(rename = "d")]
    developer_id: DeveloperId,
    #[serde(rename = "s")]
    session_id: SessionId,
}

/// A principal whom their developer has authenticated.
#[derive(Clone)]
pub(super) struct Principal {
    pub(super) developer_id: DeveloperId,
    pub(super) session: PrincipalSession,
}

impl Principal {
    /// The principal of a session token, if the session works now.
    pub(super) async fn load(app: &App, token: &str) -> ApiResult<Self> {
        let ended =
            || ApiError::unauthorized("this session has ended; ask the application for a new one");
        let token: SessionToken =
            app.secrets.read_signed(SESSION_PREFIX, token, app.clock.now()).ok_or_else(ended)?;
        let SessionToken { developer_id, session_id } = token;
        let session = app
            .read(developer_id, move |store| sessions::working(store, developer_id, session_id))
            .await?;
        Ok(Self { developer_id, session })
    }

    /// Revokes one of the principal's own grants.
    pub(super) async fn revoke(self, app: &App, id: GrantId) -> ApiResult<()> {
        let Self { developer_id, session } = self;
        let needs = grants::revoke_needs(id).and(Some(Need::Session(session.session_id)));
        app.write(developer_id, needs, "revoke_grant_as_principal", move |tx| {
            let session = sessions::working(tx, developer_id, session.session_id)?;
            grants::revoke_as_principal(tx, developer_id, &session.principal_id, id)
        })
        .await
    }

    /// Like [`revoke`](Self::revoke); one that has ended is no error.
    pub(super) async fn end(self, app: &App, id: GrantId) -> ApiResult<()> {
        let Self { developer_id, session } = self;
        let needs = grants::revoke_needs(id).and(Some(Need::Session(session.session_id)));
        app.write(developer_id, needs, "revoke_grant_on_page", move |tx| {
            let session = sessions::working(tx, developer_id, session.session_id)?;
            grants::end_as_principal(tx, developer_id, &session.principal_id, id)
        })
        .await
    }

    /// Ends the session.
    pub(super) async fn sign_out(self, app: &App) -> ApiResult<()> {
        let Self { developer_id, session } = self;
        app.write(developer_id, sessions::end_needs(session.session_id), "sign_out", move |tx| {
            sessions::sign_out(tx, developer_id, &session)
        })
        .await
    }
}

impl FromRequestParts<Arc<App>> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        Public::from_request_parts(parts, app).await?;
        match bearer(&parts.headers) {
            Some(token) => Self::load(app, token).await,
            None => Err(ApiError::unauthorized(
                "send a session token in the header `Authorization: Bearer gxs_…`",
            )),
        }
    }
}

/// Open a principal's session
///
/// Opens a session for a principal whom the developer has authenticated. With its token or its page
/// the principal sees and revokes their own grants. Both are credentials: anyone who has one can
/// use the session. It ends when it expires, when the API key that opened it is revoked, when the
/// principal signs out, or when the developer ends it.
#[utoipa::path(post, path = "/v1/principal-sessions", tag = "Principals", request_body = PrincipalSessionRequest,
    responses((status = 201, description = "The session", body = PrincipalSessionResponse)))]
async fn create_session(
    Storing(caller): Storing,
    State(app): State<Arc<App>>,
    Json { value: request, .. }: Json<PrincipalSessionRequest>,
) -> ApiResult<(StatusCode, Body<PrincipalSessionResponse>)> {
    let principal_id = validate::known_principal_id(&request.principal_id)?;
    let lifetime = validate::expires_in(request.expires_in.as_deref(), DEFAULT_LIFETIME)?;
    if lifetime > LONGEST_LIFETIME {
        return Err(ApiError::bad_request("expiresIn must be at most 24h"));
    }
    let developer_id = caller.developer_id;
    let wanted = principal_id.clone();
    let known = app
        .read_long(developer_id, move |store| {
            grants::principal_has_active_grant(store, developer_id, &wanted)
        })
        .await?;
    if !known {
        return Err(ApiError::not_found("active grant of this principal"));
    }
    let session = app
        .write(developer_id, Needs::NONE, "open_session", move |tx| {
            sessions::open(tx, &caller, principal_id.clone(), lifetime)
        })
        .await?;
    let (session_id, expires_at) = (session.session_id, session.expires_at);
    let session_token =
        app.secrets.sign(SESSION_PREFIX, SessionToken { developer_id, session_id }, expires_at);
    let dashboard_url = format!("{}/dashboard?session={session_token}", app.settings.public_base);
    let answer = PrincipalSessionResponse { session_id, session_token, dashboard_url, expires_at };
    Ok((StatusCode::CREATED, Body(answer)))
}

/// Whose sessions to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct SessionQuery {
    /// Only this principal's.
    #[param(min_length = 1, max_length = 256)]
    principal_id: Option<String>,
}

impl Known for SessionQuery {
    const NAMES: &'static [&'static str] = &["principalId"];
}

/// List principals' sessions
///
/// The sessions that have neither ended nor expired, without their tokens. A session whose API key
/// was revoked does not work, but is listed until it expires.
#[utoipa::path(get, path = "/v1/principal-sessions", tag = "Principals", params(SessionQuery, ListQuery, ("after" = Option<SessionId>, Query, description = "Only items after this one: the `nextCursor` of the previous page")),
    responses((status = 200, description = "The sessions", body = PrincipalSessionList)))]
async fn list_sessions(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    ListParams((query, list)): ListParams<(SessionQuery, ListQuery)>,
) -> ApiResult<Body<PrincipalSessionList>> {
    let page = list.page()?;
    let principal = query.principal_id.as_deref().map(validate::known_principal_id).transpose()?;
    let mut sessions = app
        .read_long(caller.developer_id, move |store| {
            sessions::list(store, &caller, principal.as_deref(), page)
        })
        .await?;
    let next_cursor = next_cursor(&mut sessions, page.limit, |session| session.session_id);
    Ok(Body(PrincipalSessionList { sessions, next_cursor }))
}

/// End a principal's session
///
/// The session's token and its page stop working.
#[utoipa::path(delete, path = "/v1/principal-sessions/{id}", tag = "Principals",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 204, description = "Ended")))]
async fn end_session(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    Id(id): Id<SessionId>,
) -> ApiResult<StatusCode> {
    app.write(caller.developer_id, sessions::end_needs(id), "end_session", move |tx| {
        sessions::end(tx, &caller, id)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whose sessions to end.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct PrincipalQuery {
    /// The principal.
    #[param(min_length = 1, max_length = 256)]
    principal_id: String,
}

impl Known for PrincipalQuery {
    const NAMES: &'static [&'static str] = &["principalId"];
}

/// End all sessions of a principal
///
/// Ends the sessions that are open now. It is not an error if there are none.
#[utoipa::path(delete, path = "/v1/principal-sessions", tag = "Principals", params(PrincipalQuery),
    responses((status = 204, description = "Ended")))]
async fn end_sessions(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    Params(query): Params<PrincipalQuery>,
) -> ApiResult<StatusCode> {
    let principal: Arc<str> = validate::known_principal_id(&query.principal_id)?.into();
    loop {
        let principal = Arc::clone(&principal);
        let work = move |tx: &mut dyn Tx| sessions::end_some(tx, &caller, &principal);
        if !app.write(caller.developer_id, Needs::NONE, "end_sessions", work).await? {
            return Ok(StatusCode::NO_CONTENT);
        }
    }
}

/// List my grants
///
/// The grants that the principal of the session token gave.
#[utoipa::path(get, path = "/v1/principal/grants", tag = "Principals", params(ListQuery, ("after" = Option<GrantId>, Query, description = "Only items after this one: the `nextCursor` of the previous page")),
    security(("principalSession" = [])),
    responses((status = 200, description = "The grants", body = PrincipalGrants)))]
async fn list_grants(
    principal: Principal,
    State(app): State<Arc<App>>,
    ListParams(list): ListParams<ListQuery>,
) -> ApiResult<Body<PrincipalGrants>> {
    let page = list.page()?;
    let (developer, principal_id) = (principal.developer_id, principal.session.principal_id);
    let filter = GrantFilter { principal_id: Some(principal_id.clone()), ..GrantFilter::default() };
    let (mut found, now) = app
        .read_long(developer, move |store| {
            Ok((grants::list(store, developer, &filter, page)?, store.now()))
        })
        .await?;
    let next_cursor = next_sifted(&mut found, page.limit, |grant| grant.id);
    let grants = found.rows.into_iter().map(|grant| grant.into_api(now)).collect();
    Ok(Body(PrincipalGrants { grants, principal_id, next_cursor }))
}

/// Revoke my grant
///
/// Revokes a grant of the principal of the session token. The event's `revokedBy` is `principal`.
#[utoipa::path(delete, path = "/v1/principal/grants/{id}", tag = "Principals",
    params(("id" = GrantId, Path, description = "The grant")), security(("principalSession" = [])),
    responses((status = 204, description = "Revoked")))]
async fn revoke_grant(
    principal: Principal,
    State(app): State<Arc<App>>,
    Id(id): Id<GrantId>,
) -> ApiResult<StatusCode> {
    principal.revoke(&app, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sign out
///
/// Ends the session whose token the call uses.
#[utoipa::path(delete, path = "/v1/principal/session", tag = "Principals", security(("principalSession" = [])),
    responses((status = 204, description = "Ended")))]
async fn sign_out(principal: Principal, State(app): State<Arc<App>>) -> ApiResult<StatusCode> {
    principal.sign_out(&app).await?;
    Ok(StatusCode::NO_CONTENT)
}
