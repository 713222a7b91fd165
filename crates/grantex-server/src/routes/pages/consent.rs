//! The consent page: who asks, for what, until when; approve or deny.

use std::borrow::Cow;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use grantex_core::model::AuthRequest;
use grantex_core::store::Scope;
use grantex_core::usecase::consent::{self, Question};
use grantex_core::usecase::scopes::ScopeText;
use grantex_types::api::authorization::ConsentStatus;
use grantex_types::text::shown;
use grantex_types::{AuthRequestId, ErrorCode, Lifetime};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::decided::Decided;
use super::layout::{PageForm, STYLE, asked_budget, host, message, origin, page, readable};
use crate::app::App;
use crate::http::error::{ApiError, ApiResult};
use crate::http::query::{Known, Params};
use crate::request::extract::Public;

/// What stays as it is in a query's value: RFC 3986's unreserved characters.
const QUERY_VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The purpose that form tokens are bound to.
const FORM: &str = "consent-form";

#[derive(Template)]
#[template(path = "consent.html")]
struct Consent<'a> {
    agent: Cow<'a, str>,
    description: Cow<'a, str>,
    did: &'a str,
    principal: Cow<'a, str>,
    developer: Cow<'a, str>,
    scopes: Vec<ScopeText>,
    budget: Option<String>,
    until: String,
    lifetime: String,
    /// The host that the browser goes to after the decision.
    next: Option<&'a str>,
    request: AuthRequestId,
    token: String,
    style: &'static str,
}

#[derive(Deserialize)]
pub(super) struct ConsentQuery {
    #[serde(default)]
    req: String,
}

impl Known for ConsentQuery {
    const NAMES: &'static [&'static str] = &["req"];
}

fn parse_id(text: &str) -> ApiResult<AuthRequestId> {
    let message = "this link is incomplete or wrong: there is no such request";
    text.parse().map_err(|_| ApiError::new(ErrorCode::NotFound, message))
}

/// Shows the question.
pub(super) async fn show(
    _: Public,
    State(app): State<Arc<App>>,
    Params(query): Params<ConsentQuery>,
) -> ApiResult<Response> {
    let id = parse_id(&query.req)?;
    let undecided = app
        .read(Scope::AuthRequest(id), move |store| {
            if let Some(decided) = Decided::load(store, id)? {
                return Ok(Err(Box::new(decided)));
            }
            let (request, agent) = consent::pending(store, id)?;
            let asked = Question::load(store, &request)?;
            Ok(Ok((request, agent, asked)))
        })
        .await?;
    let (request, agent, asked) = match undecided {
        Ok(undecided) => undecided,
        Err(decided) => return Ok(decided.respond()),
    };
    let token = app.secrets.form_token(FORM, &asked.words(request.id));
    let next = request.redirect_uri.as_deref().and_then(origin);
    let consent = Consent {
        agent: shown(&agent.name),
        description: shown(&agent.description),
        did: &agent.did,
        principal: shown(&request.principal_id),
        developer: shown(&asked.developer),
        scopes: asked.scopes,
        budget: request.budget.as_ref().map(asked_budget),
        until: readable(app.clock.now().plus(request.lifetime)),
        lifetime: in_words(request.lifetime),
        next: request.redirect_uri.as_deref().and_then(host),
        request: request.id,
        token,
        style: STYLE,
    };
    Ok(page(&consent, next))
}

/// A lifetime as people say it: `1d` is "1 day".
fn in_words(lifetime: Lifetime) -> String {
    let text = lifetime.to_string();
    let (count, unit) = text.split_at(text.len().saturating_sub(1));
    let unit = match unit {
        "d" => "day",
        "h" => "hour",
        "m" => "minute",
        _ => "second",
    };
    let plural = if count == "1" { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[derive(Deserialize)]
pub(super) struct Decision {
    req: String,
    token: String,
    #[serde(rename = "decision")]
    choice: String,
}

/// Takes the decision. Sending it twice is harmless: the same decision leads to the same place,
/// another one shows what was decided.
pub(super) async fn decide(
    _: Public,
    State(app): State<Arc<App>>,
    PageForm(form): PageForm<Decision>,
) -> ApiResult<Response> {
    let id = parse_id(&form.req)?;
    let wanted = match form.choice.as_str() {
        "approve" => ConsentStatus::Approved,
        "deny" => ConsentStatus::Denied,
        _ => return Err(ApiError::bad_request("the decision must be approve or deny")),
    };
    let (service, token) = (Arc::clone(&app), form.token);
    let decided = app
        .write(Scope::AuthRequest(id), consent::decide_needs(id), "decide_consent", move |tx| {
            consent::decide_as_read(tx, id, wanted, |words| {
                service.secrets.form_token_is(FORM, words, &token)
            })
        })
        .await;
    let request = match decided {
        Ok(request) => request,
        Err(error) if error.code == ErrorCode::Gone => {
            match decided_before(&app, id, wanted).await? {
                Before::Alike(request) => *request,
                Before::Otherwise(mut decided) => {
                    decided.is_too_late = true;
                    return Ok(decided.respond());
                }
                Before::Not => return Err(error),
            }
        }
        Err(error) => return Err(error),
    };
    Ok(outcome(&app, &request))
}

/// How a request was decided before.
enum Before {
    Alike(Box<AuthRequest>),
    Otherwise(Box<Decided>),
    Not,
}

async fn decided_before(app: &App, id: AuthRequestId, wanted: ConsentStatus) -> ApiResult<Before> {
    app.read(Scope::AuthRequest(id), move |store| {
        if let Some(request) = consent::decided_alike(store, id, wanted)? {
            return Ok(Before::Alike(Box::new(request)));
        }
        // What is not shown any more has the error that deciding it had.
        let decided = Decided::load(store, id).ok().flatten();
        Ok(decided.map_or(Before::Not, |decided| Before::Otherwise(Box::new(decided))))
    })
    .await
}

fn outcome(app: &App, request: &AuthRequest) -> Response {
    let approved = request.status == ConsentStatus::Approved;
    let code = approved.then(|| app.secrets.code(request.id));
    if let Some(target) = &request.redirect_uri {
        let issuer = &app.settings.public_base;
        let to = redirect(target, code.as_deref(), request.state.as_deref(), issuer);
        return Redirect::to(&to).into_response();
    }
    if approved {
        let text = "You gave access. If the application asks for a code, give it this one:";
        return message("Approved", text, code.as_deref());
    }
    message(
        "Denied",
        "You gave no access. The application gets nothing. You can close this page.",
        None,
    )
}

/// The redirect with the code or the refusal, the state, and whose answer it is (RFC 9207): a
/// client that uses several services can tell that the answer comes from the one it asked.
fn redirect(target: &str, code: Option<&str>, state: Option<&str>, issuer: &str) -> String {
    let mut url = target.to_owned();
    let mut add = |name: &str, value: &str| {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(name);
        url.push('=');
        url.extend(utf8_percent_encode(value, QUERY_VALUE));
    };
    match code {
        Some(code) => add("code", code),
        None => add("error", "access_denied"),
    }
    if let Some(state) = state {
        add("state", state);
    }
    add("iss", issuer);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_in_words() {
        for (text, words) in
            [("24h", "1 day"), ("90m", "90 minutes"), ("1h", "1 hour"), ("1s", "1 second")]
        {
            assert_eq!(in_words(text.parse().unwrap()), words);
        }
    }

    #[test]
    fn redirects_carry_code_state_and_issuer() {
        let issuer = "https://auth.example";
        assert_eq!(
            redirect("https://a.example/cb", Some("c"), None, issuer),
            "https://a.example/cb?code=c&iss=https%3A%2F%2Fauth.example"
        );
        assert_eq!(
            redirect("https://a.example/cb?x=1", None, Some("a b&c=é"), issuer),
            "https://a.example/cb?x=1&error=access_denied&state=a%20b%26c%3D%C3%A9&iss=https%3A%2F%2Fauth.example"
        );
        assert_eq!(origin("https://a.example:8443/cb?x"), Some("https://a.example:8443"));
    }
}
