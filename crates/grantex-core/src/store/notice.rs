//! What a commit did, as a value: what memories outside the store learn of it.

use grantex_types::{AgentId, DeveloperId, GrantId, KeyId, TokenId};

use super::command::Batch;
use crate::log::{Position, StoredEvent};
use crate::model::KeyHash;

/// Something a commit changed that a memory outside the store may hold.
#[derive(Debug, Clone)]
pub enum Change {
    /// A key no longer works.
    KeyRevoked {
        /// The developer.
        developer_id: DeveloperId,
        /// The key.
        key_id: KeyId,
        /// What its secret hashes to.
        hash: KeyHash,
    },
    /// None of the developer's keys works until it is resumed.
    DeveloperSuspended(DeveloperId),
    /// A grant's own row was revoked, or put aside as expired.
    GrantEnded {
        /// The developer.
        developer_id: DeveloperId,
        /// The grant.
        grant_id: GrantId,
    },
    /// Any grant of this developer may have become inactive.
    CascadeStarted {
        /// The developer.
        developer_id: DeveloperId,
    },
    /// A token was revoked by itself.
    TokenRevoked {
        /// The developer.
        developer_id: DeveloperId,
        /// The token.
        token_id: TokenId,
    },
    /// An agent may have been suspended, resumed or deleted.
    AgentChanged {
        /// The developer.
        developer_id: DeveloperId,
        /// The agent.
        agent_id: AgentId,
    },
}

/// What one commit did. The committer hands it to the [`Listener`] of its process; sent to another
/// process, it means the same there.
///
/// The store is the source of truth; a notice only makes a change visible sooner. Everything that
/// learns from notices has a bounded age, so a lost notice delays a change and never hides it for
/// good.
#[derive(Debug, Clone, Default)]
pub struct CommitNotice {
    /// What memories outside the store may hold that is no longer so.
    pub changes: Vec<Change>,
    /// How far each log that the commit appended to reaches now. Where a log has several entries,
    /// the highest counts.
    pub heads: Vec<(DeveloperId, Position)>,
    /// The events, each developer's in log order. Any of them can be left out of a notice that is
    /// sent elsewhere: its head is in [`heads`](Self::heads), and the store has its bytes.
    pub events: Vec<(DeveloperId, StoredEvent)>,
}

impl CommitNotice {
    /// The notice of a commit with these changes and all of its events.
    pub fn new(changes: Vec<Change>, events: Vec<(DeveloperId, StoredEvent)>) -> Self {
        let mut heads: Vec<(DeveloperId, Position)> = Vec::new();
        for (developer, event) in &events {
            match heads.last_mut() {
                Some((last, head)) if last == developer => *head = event.position,
                _ => heads.push((*developer, event.position)),
            }
        }
        Self { changes, heads, events }
    }
}

/// The only way from a commit to anything outside the store. Methods are called on the committing
/// thread, in commit order, and must return quickly.
pub trait Listener: Send + Sync + 'static {
    /// Takes a commit: drops what is no longer so, then answers its commands, then delivers its
    /// events. So no memory in this process contradicts an answer that a client has. A
    /// store calls this after each commit that contains commands; a notice that comes from another
    /// process has none.
    fn committed(&self, notice: &CommitNotice, commands: Batch) {
        self.changed(&notice.changes);
        self.answer(commands);
        self.appended(&notice.heads, &notice.events);
    }
    /// The first step: drops what the changes make untrue.
    fn changed(&self, changes: &[Change]);
    /// The second step: each command is finished when the batch is dropped, now, or soon somewhere
    /// else. Waking a task from another runtime's thread is expensive, so many are better finished
    /// on the runtime that waits for them.
    fn answer(&self, commands: Batch) {
        drop(commands);
    }
    /// The last step: delivers the events, and notes the heads of logs whose events are not among
    /// them.
    fn appended(&self, heads: &[(DeveloperId, Position)], events: &[(DeveloperId, StoredEvent)]);
}

/// A store that nothing in its process listens to: tools and tests.
impl Listener for () {
    fn changed(&self, _: &[Change]) {}
    fn appended(&self, _: &[(DeveloperId, Position)], _: &[(DeveloperId, StoredEvent)]) {}
}
