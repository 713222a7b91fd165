//! The pages that principals open in a browser: server-rendered, no script.

use std::sync::{Arc, LazyLock};

use askama::Template;
use axum::Router;
use axum::extract::{Form, FromRequest, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use grantex_core::store::{GrantFilter, Page};
use grantex_core::usecase::grants;
use grantex_types::GrantId;
use grantex_types::api::grants::GrantStatus;
use grantex_types::text::shown;
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::consent_page;
use super::principals::{self, Principal};
use crate::App;
use crate::crypto::sha256;
use crate::http::error::{ApiError, ApiResult};
use crate::http::extract::{Params, Public};

/// Grants that the dashboard shows: more than anybody reads.
const MOST_SHOWN: u32 = 200;

pub(super) const STYLE: &str = include_str!("../../templates/style.css");

/// The style sheet's hash, which lets the pages' policy allow it and nothing else.
static STYLE_HASH: LazyLock<String> =
    LazyLock::new(|| base64::engine::general_purpose::STANDARD.encode(sha256(STYLE.as_bytes())));

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/consent", get(consent_page::show).post(consent_page::decide))
        .route("/dashboard", get(dashboard))
        .route("/dashboard/revoke", post(revoke))
}

/// An error on a page: the same as in the API, for people.
pub(super) struct PageError(ApiError);

impl<E: Into<ApiError>> From<E> for PageError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let status = self.0.status();
        let mut message = self.0.message;
        if let Some(first) = message.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let mut response = page(&Message { title: "This did not work", text: &message, style: STYLE }, None);
        *response.status_mut() = status;
        response
    }
}

/// A form that a page sent.
pub(super) struct PageForm<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for PageForm<T> {
    type Rejection = PageError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, PageError> {
        match Form::<T>::from_request(request, app).await {
            Ok(Form(value)) => Ok(Self(value)),
            Err(error) => Err(ApiError::bad_request(error.body_text()).into()),
        }
    }
}

#[derive(Template)]
#[template(path = "message.html")]
pub(super) struct Message<'a> {
    pub(super) title: &'a str,
    pub(super) text: &'a str,
    pub(super) style: &'static str,
}

/// Renders a page. Its forms may lead to this service and, through it, to `form_target`.
pub(super) fn page(template: &impl Template, form_target: Option<&str>) -> Response {
    let html = match template.render() {
        Ok(html) => html,
        Err(error) => return ApiError::internal(&error).into_response(),
    };
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action 'self' {}; frame-ancestors 'none'; base-uri 'none'",
        *STYLE_HASH,
        form_target.unwrap_or_default()
    );
    let mut response = html.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

#[derive(Template)]
#[template(path = "dashboard.html")]
struct Dashboard<'a> {
    principal: &'a str,
    session: &'a str,
    grants: Vec<Row>,
    style: &'static str,
}

struct Row {
    id: GrantId,
    agent: String,
    scopes: Vec<String>,
    until: String,
    status: &'static str,
}

#[derive(Deserialize)]
struct DashboardQuery {
    session: String,
}

fn principal(app: &App, session: &str) -> ApiResult<Principal> {
    Principal::read(app, session)
        .ok_or_else(|| ApiError::unauthorized("this link has ended; ask the application for a new one"))
}

async fn dashboard(
    _: Public,
    State(app): State<Arc<App>>,
    Params(query): Params<DashboardQuery>,
) -> Result<Response, PageError> {
    let principal = principal(&app, &query.session)?;
    let wanted = principal.clone();
    let grants = app
        .read_long(principal.developer_id, move |store| {
            let filter =
                GrantFilter { principal_id: Some(wanted.principal_id.clone()), ..GrantFilter::default() };
            let page = Page { after: None, offset: 0, limit: MOST_SHOWN };
            let mut rows = Vec::new();
            for grant in grants::list(store, wanted.developer_id, &filter, page)? {
                let agent = store.agent(wanted.developer_id, grant.agent_id)?;
                rows.push(Row {
                    id: grant.id,
                    agent: agent.map_or_else(
                        || "A deleted agent".to_owned(),
                        |agent| shown(&agent.name).into_owned(),
                    ),
                    scopes: grant.scopes.as_slice().iter().map(|scope| shown(scope).into_owned()).collect(),
                    until: readable(grant.expires_at),
                    status: match grant.status(store.now()) {
                        GrantStatus::Active => "active",
                        GrantStatus::Revoked => "revoked",
                        GrantStatus::Expired => "expired",
                    },
                });
            }
            Ok(rows)
        })
        .await?;
    let shown = Dashboard {
        principal: &shown(&principal.principal_id),
        session: &query.session,
        grants,
        style: STYLE,
    };
    Ok(page(&shown, None))
}

#[derive(Deserialize)]
struct RevokeForm {
    session: String,
    #[serde(rename = "grantId")]
    grant_id: String,
}

async fn revoke(
    _: Public,
    State(app): State<Arc<App>>,
    PageForm(form): PageForm<RevokeForm>,
) -> Result<Response, PageError> {
    let principal = principal(&app, &form.session)?;
    let id = form.grant_id.parse().map_err(|_| ApiError::not_found("grant"))?;
    match principals::revoke(&app, principal, id).await {
        // A second click finds it revoked: that is what was wanted.
        Err(error) if error.status() != StatusCode::NOT_FOUND => return Err(error.into()),
        _ => {}
    }
    Ok(Redirect::to(&format!("/dashboard?session={}", form.session)).into_response())
}

/// A time as people read it.
pub(super) fn readable(at: grantex_types::Timestamp) -> String {
    let text = at.to_string();
    let (date, time) = text.split_once('T').unwrap_or((text.as_str(), ""));
    format!("{date} {} UTC", time.get(..5).unwrap_or_default())
}
