//! What all pages share: the style sheet, the policy, errors, forms, and texts of amounts and
//! times.

use std::sync::{Arc, LazyLock};

use askama::Template;
use axum::body::Body;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, FromRequest, Request};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use grantex_core::model::{AskedBudget, Budget, Grant};
use grantex_types::api::grants::GrantStatus;
use grantex_types::{Amount, ErrorCode, Timestamp};
use http::{HeaderMap, HeaderValue, header};
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::crypto::sha256;
use crate::http::error::{ApiError, ApiResult};
use crate::request::body;

pub(super) const STYLE: &str = include_str!("../../../templates/style.css");

/// The style sheet's hash, which lets the pages' policy allow it and nothing else.
static STYLE_HASH: LazyLock<String> =
    LazyLock::new(|| base64::engine::general_purpose::STANDARD.encode(sha256(STYLE.as_bytes())));

/// The page of an error: the same as in the API, for people. Failures of the service have the
/// request's id, by which they are found in the log.
pub(super) fn error_page(error: &ApiError, request_id: Option<&str>) -> Response {
    let mut text = error.message.clone();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    let id = request_id.filter(|_| error.status().is_server_error());
    let mut response = message("Something went wrong", &text, id);
    *response.status_mut() = error.status();
    response.headers_mut().extend(error.headers());
    response
}

/// Whether a client asks for a page.
pub(super) fn wants_html(headers: &HeaderMap) -> bool {
    let mut accepted =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|types| types.contains("text/html"))
}

/// A form that a page sent.
pub(super) struct PageForm<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for PageForm<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> ApiResult<Self> {
        let (parts, body) = request.into_parts();
        // The forms' tokens protect already; browsers say this, too.
        if parts.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
            return Err(ApiError::new(
                ErrorCode::Forbidden,
                "this form was sent from another site; open the page again and decide there",
            ));
        }
        let bytes = body::read(&parts, body, app, body::LARGEST_FORM).await?;
        match Form::<T>::from_request(Request::from_parts(parts, Body::from(bytes)), app).await {
            Ok(Form(value)) => Ok(Self(value)),
            Err(FormRejection::InvalidFormContentType(_)) => Err(ApiError::new(
                ErrorCode::UnsupportedMediaType,
                "send the form with the header `Content-Type: application/x-www-form-urlencoded`",
            )),
            Err(_) => Err(ApiError::bad_request(
                "the form is not complete; open the page again and send the form from there",
            )),
        }
    }
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage<'a> {
    title: &'a str,
    text: &'a str,
    code: Option<&'a str>,
    style: &'static str,
}

/// A page that says one thing, with a code that the reader may need.
pub(super) fn message(title: &str, text: &str, code: Option<&str>) -> Response {
    page(&MessagePage { title, text, code, style: STYLE }, None)
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

/// An amount as people read it: with two decimals, or more where they say something.
pub(super) fn money(amount: Amount, currency: &str) -> String {
    let text = amount.to_string();
    let text = text.strip_suffix("00").unwrap_or(&text);
    format!("{text} {currency}")
}

/// A budget that is asked for.
pub(super) fn asked_budget(asked: &AskedBudget) -> String {
    money(asked.initial_budget, &asked.currency)
}

/// How much of a budget is used.
pub(super) fn spent(budget: &Budget) -> String {
    let used = budget.initial_budget.checked_sub(budget.remaining_budget).unwrap_or(Amount::ZERO);
    let used = money(used, &budget.currency);
    format!("{used} used of {}", money(budget.initial_budget, &budget.currency))
}

/// Where something stands, and since or until when.
pub(super) struct State {
    pub(super) words: &'static str,
    /// A [`readable`] time, or nothing.
    pub(super) at: String,
}

/// Where a grant stands.
pub(super) fn state(grant: &Grant, now: Timestamp) -> State {
    let (words, at) = match (grant.status(now), grant.revoked_at) {
        (GrantStatus::Revoked, Some(at)) => ("Revoked on", at),
        (GrantStatus::Active, _) => ("In force until", grant.expires_at),
        _ => ("Expired on", grant.expires_at),
    };
    State { words, at: readable(at) }
}

/// The host of a redirect, with its port.
pub(super) fn host(url: &str) -> Option<&str> {
    origin(url)?.split("://").nth(1)
}

/// The origin of a redirect: browsers check a form's redirects against the page's policy too.
pub(super) fn origin(url: &str) -> Option<&str> {
    let start = url.find("://")?.checked_add(3)?;
    let end = url.get(start..)?.find(['/', '?']).map_or(url.len(), |end| start.saturating_add(end));
    url.get(..end)
}

/// A time as people read it.
pub(super) fn readable(at: Timestamp) -> String {
    let text = at.to_string();
    let (date, time) = text.split_once('T').unwrap_or((text.as_str(), ""));
    format!("{date} {} UTC", time.get(..5).unwrap_or_default())
}
