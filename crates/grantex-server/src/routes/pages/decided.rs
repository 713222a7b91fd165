//! What the consent link shows after the decision.

use askama::Template;
use axum::response::Response;
use grantex_core::model::{AuthRequest, Grant};
use grantex_core::store::Read;
use grantex_core::usecase::consent;
use grantex_core::usecase::scopes::ScopeText;
use grantex_types::api::authorization::ConsentStatus;
use grantex_types::api::grants::GrantStatus;
use grantex_types::text::shown;
use grantex_types::{AuthRequestId, Timestamp};
use http::StatusCode;

use super::layout::{STYLE, State, asked_budget, host, page, readable, spent, state};

#[derive(Template)]
#[template(path = "decided.html")]
pub(super) struct Decided {
    title: &'static str,
    /// Whether the principal has just tried to decide otherwise.
    pub(super) is_too_late: bool,
    agent: String,
    developer: String,
    principal: String,
    what: &'static str,
    when: String,
    state: State,
    budget: Option<String>,
    scopes: Vec<ScopeText>,
    next: &'static str,
    /// The host that the application's answer went to.
    host: Option<String>,
    style: &'static str,
}

impl Decided {
    /// The decision of a request, while its link [shows it](consent::visible); `None` for one that
    /// is undecided.
    pub(super) fn load(store: &dyn Read, id: AuthRequestId) -> grantex_core::Result<Option<Self>> {
        let (request, agent) = consent::visible(store, id)?;
        let Some(at) = request.decided_at else { return Ok(None) };
        let developer = store.developer(request.developer_id)?;
        let grant = match request.grant_id {
            Some(id) => store.grant(request.developer_id, id)?,
            None => None,
        };
        let spent = match &grant {
            Some(grant) => {
                store.budget(request.developer_id, grant.id)?.map(|budget| spent(&budget))
            }
            None => None,
        };
        let is_denied = request.status == ConsentStatus::Denied;
        let asked = request
            .budget
            .as_ref()
            .filter(|_| !is_denied)
            .map(|asked| format!("It may spend up to {}.", asked_budget(asked)));
        let scopes = request.scopes.as_slice().iter();
        let (state, next) = standing(&request, grant.as_ref(), store.now());
        Ok(Some(Self {
            title: if is_denied { "You denied this" } else { "You approved this" },
            is_too_late: false,
            agent: agent
                .map_or_else(|| "A deleted agent".into(), |agent| shown(&agent.name).into_owned()),
            developer: developer
                .map(|developer| shown(&developer.name).into_owned())
                .unwrap_or_default(),
            principal: shown(&request.principal_id).into_owned(),
            what: if is_denied { "Denied" } else { "Approved" },
            when: readable(at),
            state,
            budget: spent.or(asked),
            scopes: scopes
                .map(|scope| ScopeText::load(store, request.developer_id, scope))
                .collect::<grantex_core::Result<_>>()?,
            next,
            host: request.redirect_uri.as_deref().and_then(host).map(str::to_owned),
            style: STYLE,
        }))
    }

    pub(super) fn respond(&self) -> Response {
        let mut response = page(self, None);
        if self.is_too_late {
            *response.status_mut() = StatusCode::GONE;
        }
        response
    }
}

/// What has become of a decision, and what the principal can do next.
fn standing(request: &AuthRequest, grant: Option<&Grant>, now: Timestamp) -> (State, &'static str) {
    let timeless = |words| State { words, at: String::new() };
    if request.status == ConsentStatus::Denied {
        let next = "To give access, start again in the application.";
        return (timeless("The agent has no access from this request"), next);
    }
    if let Some(grant) = grant {
        let standing = state(grant, now);
        let next = if grant.is_active(now) {
            "To revoke the access, open the list of your grants in the application."
        } else {
            "To give access again, start again in the application."
        };
        let words = match grant.status(now) {
            GrantStatus::Active => "The access is in force until",
            GrantStatus::Revoked => "The access was revoked on",
            GrantStatus::Expired => "The access expired on",
        };
        return (State { words, ..standing }, next);
    }
    if request.code_expires_at().is_some_and(|end| end > now) {
        let next = "Go back to the application. If it does not go on, start again there.";
        return (timeless("The application has not picked up the access yet"), next);
    }
    let state =
        timeless("The application did not pick up the access in time, so the agent has none");
    (state, "To give access, start again in the application.")
}
