//! Authorization requests, and the principal's decision on them.

use grantex_types::api::authorization::{AuthorizeRequest, ConsentStatus};
use grantex_types::api::developers::Mode;
use grantex_types::{AuthRequestId, ErrorCode, Lifetime};

use super::scopes::ScopeText;
use super::{agents, budgets, operators};
use crate::model::{Agent, AskedBudget, AuthRequest, Caller};
use crate::store::{Need, Needs, Read, Tx};
use crate::{Error, Result, validate};

const DEFAULT_LIFETIME: Lifetime = Lifetime::from_seconds(24 * 3600);

/// The longest that a consent link works. The link is a credential that travels by mail and
/// message; a long grant is no reason for a long-lived link.
const LONGEST_OPEN: Lifetime = Lifetime::from_seconds(24 * 3600);

/// For how long the link shows what was decided. After that it shows nothing: links stay in old
/// messages.
pub const DECISION_SHOWN: Lifetime = Lifetime::from_seconds(24 * 3600);

const CODE_CHALLENGE_CHARS: usize = 43;

/// Asks a principal for consent. In sandbox mode the request is approved at once.
pub fn authorize(
    tx: &mut dyn Tx,
    caller: &Caller,
    request: AuthorizeRequest,
) -> Result<AuthRequest> {
    let principal_id = validate::principal_id(&request.principal_id)?;
    let scopes = validate::scopes(request.scopes, 1)?;
    let lifetime = validate::expires_in(request.expires_in.as_deref(), DEFAULT_LIFETIME)?;
    let redirect_uri = request.redirect_uri.as_deref().map(validate::redirect_uri).transpose()?;
    let state = request.state.map(|state| validate::text("state", &state, 0, 1024)).transpose()?;
    let audience =
        request.audience.map(|aud| validate::text("audience", &aud, 1, 1024)).transpose()?;
    let code_challenge =
        code_challenge(request.code_challenge, request.code_challenge_method.as_deref())?;
    let budget = request.budget.map(|asked| -> Result<AskedBudget> {
        let currency = budgets::currency(asked.currency.as_deref())?.to_owned();
        let initial_budget = budgets::initial("budget.initialBudget", asked.initial_budget)?;
        Ok(AskedBudget { initial_budget, currency })
    });
    let budget = budget.transpose()?;
    let agent = agents::active(tx, caller, &request.agent_id)?;

    let now = tx.now();
    let approved = caller.mode == Mode::Sandbox;
    let auth_request = AuthRequest {
        id: AuthRequestId::from_parts(now.millis(), tx.random()),
        developer_id: caller.developer_id,
        agent_id: agent.agent_id,
        principal_id,
        scopes,
        lifetime,
        redirect_uri,
        state,
        audience,
        code_challenge,
        status: if approved { ConsentStatus::Approved } else { ConsentStatus::Pending },
        created_at: now,
        expires_at: now.plus(lifetime.min(LONGEST_OPEN)),
        decided_at: approved.then_some(now),
        grant_id: None,
        budget,
    };
    tx.insert_auth_request(&auth_request)?;
    Ok(auth_request)
}

fn code_challenge(challenge: Option<String>, method: Option<&str>) -> Result<Option<String>> {
    match (challenge, method) {
        (None, None) => Ok(None),
        (Some(challenge), Some("S256")) => {
            let is_base64url = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            if challenge.len() == CODE_CHALLENGE_CHARS && challenge.bytes().all(is_base64url) {
                Ok(Some(challenge))
            } else {
                Err(Error::bad_request(
                    "codeChallenge must be the base64url SHA-256 of the verifier, 43 characters without padding",
                ))
            }
        }
        _ => Err(Error::bad_request(
            "codeChallenge and codeChallengeMethod \"S256\" must be given together",
        )),
    }
}

/// A request as its link shows it: undecided, or decided a short time ago; with the agent, if it is
/// still there.
pub fn visible(store: &dyn Read, id: AuthRequestId) -> Result<(AuthRequest, Option<Agent>)> {
    let request =
        store.auth_request(id)?.ok_or_else(|| Error::not_found("authorization request"))?;
    match request.decided_at {
        Some(at) if at.plus(DECISION_SHOWN) > store.now() => {
            operators::require_active(store, request.developer_id)?;
            let agent = store.agent(request.developer_id, request.agent_id)?;
            Ok((request, agent))
        }
        _ => pending(store, id).map(|(request, agent)| (request, Some(agent))),
    }
}

/// An undecided request with the agent that asks.
pub fn pending(store: &dyn Read, id: AuthRequestId) -> Result<(AuthRequest, Agent)> {
    let request =
        store.auth_request(id)?.ok_or_else(|| Error::not_found("authorization request"))?;
    require_pending(store, &request)?;
    operators::require_active(store, request.developer_id)?;
    let agent = store
        .agent(request.developer_id, request.agent_id)?
        .ok_or_else(|| gone("the agent of this request no longer exists"))?;
    Ok((request, agent))
}

/// What [`approve`], [`deny`] and [`decide_for_sandbox`] read by key.
pub fn decide_needs(id: AuthRequestId) -> Needs {
    [Need::AuthRequest(id)].into()
}

/// What the principal reads in addition to the request, and the developer can change meanwhile.
#[derive(Debug, Clone)]
pub struct Question {
    /// The developer's name.
    pub developer: String,
    /// The agent, if it still exists.
    pub agent: Option<Agent>,
    /// The scopes as people read them.
    pub scopes: Vec<ScopeText>,
}

impl Question {
    /// Looks it up.
    pub fn load(store: &dyn Read, request: &AuthRequest) -> Result<Self> {
        let developer = store.developer(request.developer_id)?;
        let scopes = request.scopes.as_slice().iter();
        let scopes = scopes.map(|scope| ScopeText::load(store, request.developer_id, scope));
        Ok(Self {
            developer: developer.map(|developer| developer.name).unwrap_or_default(),
            agent: store.agent(request.developer_id, request.agent_id)?,
            scopes: scopes.collect::<Result<_>>()?,
        })
    }

    /// Every word of the question: two questions with the same words are the same to the principal.
    pub fn words(&self, id: AuthRequestId) -> String {
        // No text that people read has a NUL.
        let mut words = format!("{id}\0{}", self.developer);
        if let Some(agent) = &self.agent {
            words.extend(["\0", &agent.name, "\0", &agent.description]);
        }
        for scope in &self.scopes {
            words.extend(["\0", &scope.scope, "\0", &scope.name, "\0", &scope.description]);
        }
        words
    }
}

/// The principal's decision on the page. `was_read` returns whether the current
/// [words](Question::words) are those that the principal read: a principal cannot consent to a name
/// that the page did not show.
pub fn decide_as_read(
    tx: &mut dyn Tx,
    id: AuthRequestId,
    decision: ConsentStatus,
    was_read: impl FnOnce(&str) -> bool,
) -> Result<AuthRequest> {
    let request = tx.auth_request(id)?;
    let question = request.map(|request| Question::load(tx, &request)).transpose()?;
    if !question.is_some_and(|question| was_read(&question.words(id))) {
        return Err(Error::refused(
            ErrorCode::Forbidden,
            "this form is out of date. Open the consent link again, read it, and decide there",
        ));
    }
    decide(tx, id, decision)
}

/// The request, if the principal has decided it this way already: the same decision again is no
/// error.
pub fn decided_alike(
    store: &dyn Read,
    id: AuthRequestId,
    decision: ConsentStatus,
) -> Result<Option<AuthRequest>> {
    Ok(store.auth_request(id)?.filter(|request| request.status == decision))
}

/// Approves the request as the principal.
pub fn approve(tx: &mut dyn Tx, id: AuthRequestId) -> Result<AuthRequest> {
    decide(tx, id, ConsentStatus::Approved)
}

/// Denies the request as the principal.
pub fn deny(tx: &mut dyn Tx, id: AuthRequestId) -> Result<AuthRequest> {
    decide(tx, id, ConsentStatus::Denied)
}

/// A decision through an API key: only in sandbox mode, since consent is the principal's.
pub fn decide_for_sandbox(
    tx: &mut dyn Tx,
    caller: &Caller,
    id: AuthRequestId,
    decision: ConsentStatus,
) -> Result<AuthRequest> {
    let own = tx.auth_request(id)?.filter(|request| request.developer_id == caller.developer_id);
    let request = own.ok_or_else(|| Error::not_found("authorization request"))?;
    if caller.mode == Mode::Live {
        return Err(Error::refused(
            ErrorCode::ConsentRequired,
            "only the principal can decide; send the consentUrl to them",
        ));
    }
    decide(tx, request.id, decision)
}

fn decide(tx: &mut dyn Tx, id: AuthRequestId, decision: ConsentStatus) -> Result<AuthRequest> {
    let (mut request, _agent) = pending(tx, id)?;
    request.status = decision;
    request.decided_at = Some(tx.now());
    tx.update_auth_request(&request, ConsentStatus::Pending)?;
    Ok(request)
}

fn require_pending(store: &dyn Read, request: &AuthRequest) -> Result<()> {
    if request.status != ConsentStatus::Pending {
        return Err(gone("this request has already been decided"));
    }
    if request.expires_at <= store.now() {
        return Err(gone("this request has expired; ask the application to start again"));
    }
    Ok(())
}

fn gone(message: &str) -> Error {
    Error::refused(ErrorCode::Gone, message)
}
