//! The page on which principals see and revoke their own grants.
//!
//! The link that opens it holds the session's token once: the token goes into a cookie, and the
//! browser to an address without it. Forms carry a token of their own, bound to the session: a form
//! on another site does not have it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use grantex_core::usecase::access::{self, Part};
use grantex_types::text::shown;
use grantex_types::{ErrorCode, GrantId, SessionId};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;

use super::access_tree::{Loader, Row};
use super::layout::{PageForm, STYLE, message, page, readable};
use super::revoke::Revoke;
use crate::app::App;
use crate::http::error::{ApiError, ApiResult};
use crate::http::origin::public_path;
use crate::http::query::{Known, Params};
use crate::request::extract::Public;
use crate::routes::principals::Principal;

/// The cookie that holds the session's token.
const COOKIE: &str = "grantex_session";
/// The purpose that form tokens are bound to.
const FORM: &str = "dashboard-form";

#[derive(Template)]
#[template(path = "dashboard.html")]
struct Dashboard<'a> {
    principal: &'a str,
    until: String,
    token: String,
    in_force: Vec<Row>,
    ended: Vec<Row>,
    is_cut: bool,
    /// The tree that the page is about, if not about all.
    tree: Option<GrantId>,
    /// Where the page with older grants starts.
    older: Option<GrantId>,
    /// Whether it is another page than the first of all access.
    is_continued: bool,
    style: &'static str,
}

/// The principal whose session the browser's cookie holds.
pub(super) struct Visitor(Principal);

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> ApiResult<Self> {
        Public::from_request_parts(parts, app).await?;
        let token = cookie(&parts.headers).ok_or_else(|| {
            ApiError::unauthorized(
                "this browser has no session; open the link in the application again",
            )
        })?;
        Ok(Self(Principal::load(app, token).await?))
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// Puts a cookie into an answer; one without an age is removed by the browser.
fn set_cookie(
    app: &App,
    response: &mut Response,
    value: &str,
    max_age_seconds: u64,
) -> ApiResult<()> {
    let base = &app.settings.public_base;
    let secure = if base.starts_with("https://") { "; Secure" } else { "" };
    // Lax: the link that opens the page stands on another site, and forms on other sites get no
    // cookie.
    let text = format!(
        "{COOKIE}={value}; Path={}; Max-Age={max_age_seconds}; HttpOnly; SameSite=Lax{secure}",
        cookie_path(base)
    );
    let value = HeaderValue::from_str(&text).map_err(|error| ApiError::internal(&error))?;
    response.headers_mut().insert(header::SET_COOKIE, value);
    Ok(())
}

/// The path of the page, below that of the public base.
fn cookie_path(base: &str) -> String {
    format!("{}/dashboard", public_path(base))
}

#[derive(Deserialize)]
pub(super) struct DashboardQuery {
    session: Option<String>,
    tree: Option<String>,
    after: Option<String>,
}

impl Known for DashboardQuery {
    const NAMES: &'static [&'static str] = &["session", "tree", "after"];
}

impl DashboardQuery {
    fn part(&self) -> ApiResult<Part> {
        let id = |text: &Option<String>| text.as_deref().map(str::parse::<GrantId>).transpose();
        match (id(&self.tree), id(&self.after)) {
            (Ok(tree), Ok(after)) => Ok(Part { tree, after }),
            _ => Err(ApiError::not_found("page of your access")),
        }
    }
}

/// Exchanges the link's token for the cookie, or shows the page.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Params(query): Params<DashboardQuery>,
    mut parts: Parts,
) -> ApiResult<Response> {
    if let Some(token) = query.session {
        Public::from_request_parts(&mut parts, &app).await?;
        let Principal { session, .. } = Principal::load(&app, &token).await?;
        // Relative: the public base may have a path.
        let mut response = Redirect::to("dashboard").into_response();
        let left = session.expires_at.millis_since(app.clock.now()).div_ceil(1000);
        set_cookie(&app, &mut response, &token, left)?;
        return Ok(response);
    }
    let Visitor(principal) = Visitor::from_request_parts(&mut parts, &app).await?;
    let part = query.part()?;
    let (developer, principal_id) =
        (principal.developer_id, principal.session.principal_id.clone());
    let (access, in_force, ended) = app
        .read_long(developer, move |store| {
            let access = access::load(store, developer, &principal_id, part)?;
            let mut texts = Loader::new(store, developer);
            let (in_force, ended) = (texts.rows(&access.in_force)?, texts.rows(&access.ended)?);
            Ok((access, in_force, ended))
        })
        .await?;
    let session = &principal.session;
    let dashboard = Dashboard {
        principal: &shown(&session.principal_id),
        until: readable(session.expires_at),
        token: form_token(&app, session.session_id),
        in_force,
        ended,
        is_cut: access.is_cut,
        tree: part.tree,
        older: access.older,
        is_continued: part.tree.or(part.after).is_some(),
        style: STYLE,
    };
    Ok(page(&dashboard, None))
}

/// Which grant to ask about.
#[derive(Deserialize)]
pub(super) struct RevokeQuery {
    #[serde(default)]
    grant: String,
}

impl Known for RevokeQuery {
    const NAMES: &'static [&'static str] = &["grant"];
}

/// Asks whether to revoke, and says what ends.
pub(super) async fn ask(
    Visitor(principal): Visitor,
    State(app): State<Arc<App>>,
    Params(query): Params<RevokeQuery>,
) -> ApiResult<Response> {
    let id = query.grant.parse().map_err(|_| ApiError::not_found("grant"))?;
    let (developer, principal_id) = (principal.developer_id, principal.session.principal_id);
    let question = app
        .read_long(developer, move |store| Revoke::load(store, developer, &principal_id, id))
        .await?;
    let Some(mut question) = question else {
        return Ok(Redirect::to("../dashboard").into_response());
    };
    question.token = form_token(&app, principal.session.session_id);
    Ok(page(&question, None))
}

fn form_token(app: &App, session: SessionId) -> String {
    app.secrets.form_token(FORM, &session.to_string())
}

fn require_own_form(app: &App, principal: &Principal, token: &str) -> ApiResult<()> {
    if app.secrets.form_token_is(FORM, &principal.session.session_id.to_string(), token) {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::Forbidden, "open the page again and decide there"))
}

#[derive(Deserialize)]
pub(super) struct RevokeForm {
    token: String,
    #[serde(rename = "grantId")]
    grant_id: String,
}

pub(super) async fn revoke(
    Visitor(principal): Visitor,
    State(app): State<Arc<App>>,
    PageForm(form): PageForm<RevokeForm>,
) -> ApiResult<Response> {
    require_own_form(&app, &principal, &form.token)?;
    let id = form.grant_id.parse().map_err(|_| ApiError::not_found("grant"))?;
    principal.end(&app, id).await?;
    Ok(Redirect::to("../dashboard").into_response())
}

#[derive(Deserialize)]
pub(super) struct SignOutForm {
    token: String,
}

pub(super) async fn sign_out(
    Visitor(principal): Visitor,
    State(app): State<Arc<App>>,
    PageForm(form): PageForm<SignOutForm>,
) -> ApiResult<Response> {
    require_own_form(&app, &principal, &form.token)?;
    principal.sign_out(&app).await?;
    let text = "Neither this browser nor the link that you opened shows your access any more.";
    let mut response = message("Signed out", text, None);
    set_cookie(&app, &mut response, "", 0)?;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_goes_to_the_page_alone() {
        for (base, path) in [
            ("http://127.0.0.1:8080", "/dashboard"),
            ("https://a.example/auth", "/auth/dashboard"),
            ("https://a.example/x/y", "/x/y/dashboard"),
        ] {
            assert_eq!(cookie_path(base), path);
        }
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; xgrantex_session=no"));
        assert_eq!(cookie(&headers), None);
        headers.append(header::COOKIE, HeaderValue::from_static("c=d;grantex_session=gxs_x.y"));
        assert_eq!(cookie(&headers), Some("gxs_x.y"));
    }
}
