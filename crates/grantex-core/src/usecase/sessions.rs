//! Principals' sessions: what a principal sees and revokes their own grants with.
//!
//! A session works while it is not ended, not expired, the API key that opened it works, and its
//! developer is not suspended. That is looked up whenever it is used.

use grantex_types::{DeveloperId, ErrorCode, Lifetime, SessionId};

use super::audit::{self, Action};
use super::developers;
use crate::model::{Actor, Caller, PrincipalSession};
use crate::store::{Need, Needs, Page, Read, Tx};
use crate::{Error, Result};

/// Sessions that one transaction ends at most: some milliseconds.
pub const ENDED_AT_ONCE: u32 = 500;

/// Opens a session for a principal whom the developer has authenticated.
pub fn open(
    tx: &mut dyn Tx,
    caller: &Caller,
    principal_id: String,
    lifetime: Lifetime,
) -> Result<PrincipalSession> {
    let now = tx.now();
    let session = PrincipalSession {
        session_id: SessionId::from_parts(now.millis(), tx.random()),
        principal_id,
        key_id: caller.key_id,
        created_at: now,
        expires_at: now.plus(lifetime),
    };
    tx.insert_session(caller.developer_id, &session)?;
    let (by, details) =
        (Actor::api_key(caller.key_id), [("principalId", session.principal_id.as_str())]);
    let target = session.session_id.to_string();
    audit::note(tx, caller.developer_id, by, Action::SessionCreated, &target, &details)?;
    Ok(session)
}

/// The session, if it works.
pub fn working(
    store: &dyn Read,
    developer: DeveloperId,
    id: SessionId,
) -> Result<PrincipalSession> {
    let session = store.session(developer, id)?.filter(|session| session.expires_at > store.now());
    let session = session.ok_or_else(|| {
        Error::refused(
            ErrorCode::Unauthorized,
            "this session has ended; ask the application for a new one",
        )
    })?;
    developers::require_working_key(store, developer, session.key_id)?;
    Ok(session)
}

/// The developer's sessions that were not ended, of one principal or of all.
pub fn list(
    store: &dyn Read,
    caller: &Caller,
    principal_id: Option<&str>,
    page: Page<SessionId>,
) -> Result<Vec<PrincipalSession>> {
    Ok(store.sessions(caller.developer_id, principal_id, page)?)
}

/// What [`end`] reads by key.
pub fn end_needs(id: SessionId) -> Needs {
    [Need::Session(id)].into()
}

/// Ends a session, for its developer.
pub fn end(tx: &mut dyn Tx, caller: &Caller, id: SessionId) -> Result<()> {
    let session =
        tx.session(caller.developer_id, id)?.ok_or_else(|| Error::not_found("session"))?;
    end_as(tx, caller.developer_id, &session, Actor::api_key(caller.key_id))
}

/// Ends a session, for its principal.
pub fn sign_out(tx: &mut dyn Tx, developer: DeveloperId, session: &PrincipalSession) -> Result<()> {
    end_as(tx, developer, session, Actor::principal(&session.principal_id))
}

fn end_as(
    tx: &mut dyn Tx,
    developer: DeveloperId,
    session: &PrincipalSession,
    by: Actor,
) -> Result<()> {
    // Ending it twice is fine, and one entry.
    if tx.delete_session(developer, session.session_id)? {
        let (target, details) =
            (session.session_id.to_string(), [("principalId", session.principal_id.as_str())]);
        audit::note(tx, developer, by, Action::SessionEnded, &target, &details)?;
    }
    Ok(())
}

/// Ends some of a principal's sessions, for their developer. Returns whether there may be more.
pub fn end_some(tx: &mut dyn Tx, caller: &Caller, principal_id: &str) -> Result<bool> {
    let count = tx.delete_sessions(caller.developer_id, principal_id, ENDED_AT_ONCE)?;
    if count > 0 {
        let (by, sessions) = (Actor::api_key(caller.key_id), count.to_string());
        let details = [("sessions", sessions.as_str())];
        audit::note(tx, caller.developer_id, by, Action::SessionEnded, principal_id, &details)?;
    }
    Ok(count >= u64::from(ENDED_AT_ONCE))
}
