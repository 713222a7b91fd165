//! The audit trail: who changed what, for changes without an event.
//!
//! Grants, tokens and budgets have events; keys, sessions and what operators do have entries here,
//! written in the transaction of the change.

use grantex_types::{AuditId, DeveloperId};

use crate::Result;
use crate::model::{Actor, AuditEntry, Caller};
use crate::store::{Page, Read, Tx};

/// What was done. The text never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// An API key was made.
    KeyCreated,
    /// An API key took the place of another.
    KeyRotated,
    /// An API key was ended.
    KeyRevoked,
    /// A principal's session was opened.
    SessionCreated,
    /// A principal's session, or all of a principal's, were ended.
    SessionEnded,
    /// A scope was given a name that principals read.
    ScopeNamed,
    /// A scope's name was removed.
    ScopeNameRemoved,
    /// The operator suspended the developer.
    DeveloperSuspended,
    /// The operator resumed the developer.
    DeveloperResumed,
}

impl Action {
    /// Its name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeyCreated => "key.created",
            Self::KeyRotated => "key.rotated",
            Self::KeyRevoked => "key.revoked",
            Self::SessionCreated => "session.created",
            Self::SessionEnded => "session.ended",
            Self::ScopeNamed => "scope.named",
            Self::ScopeNameRemoved => "scope.name_removed",
            Self::DeveloperSuspended => "developer.suspended",
            Self::DeveloperResumed => "developer.resumed",
        }
    }
}

/// Records that `actor` did `action` to `target`, an id. `details` are names and short texts; no
/// secret.
pub fn note(
    tx: &mut dyn Tx,
    developer: DeveloperId,
    actor: Actor,
    action: Action,
    target: &str,
    details: &[(&str, &str)],
) -> Result<()> {
    let now = tx.now();
    // Above the newest, whatever the clock reads: the trail is in commit order.
    let newest = tx.audit_entries(developer, Page { after: None, offset: 0, limit: 1 })?.pop();
    let fresh = AuditId::from_parts(now.millis(), tx.random());
    let following = newest.and_then(|entry| entry.id.increment());
    let entry = AuditEntry {
        id: following.map_or(fresh, |least| least.max(fresh)),
        created_at: now,
        actor,
        action: action.as_str().to_owned(),
        target: target.to_owned(),
        details: details
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
    };
    Ok(tx.append_audit(developer, &entry)?)
}

/// The developer's trail.
pub fn list(store: &dyn Read, caller: &Caller, page: Page<AuditId>) -> Result<Vec<AuditEntry>> {
    Ok(store.audit_entries(caller.developer_id, page)?)
}
