//! Work for a store: its scope, what it needs, and how it ends.

use std::sync::Arc;

use grantex_types::{
    AgentId, AuthRequestId, DeveloperId, GrantId, KeyId, RefreshId, SessionId, TokenId,
};

use super::rows::{Read, Tx};
use crate::error::StoreResult;

/// Whose rows a command or query is about. Commands of one scope commit in the order in which they
/// were submitted; between scopes there is no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A developer's own rows.
    Developer(DeveloperId),
    /// An authorization request, and the rows of the developer it belongs to: a principal decides
    /// by the request's id alone.
    AuthRequest(AuthRequestId),
    /// The service's own work, and callers of whom no developer is known yet: signup, and a key
    /// that is looked up.
    Global,
}

impl Scope {
    /// Whose turn the work takes. Everything that is not a known developer's shares one turn: an
    /// invented id of an authorization request gains nobody a turn more.
    pub fn developer(self) -> Option<DeveloperId> {
        match self {
            Self::Developer(id) => Some(id),
            Self::AuthRequest(_) | Self::Global => None,
        }
    }
}

impl From<DeveloperId> for Scope {
    fn from(developer: DeveloperId) -> Self {
        Self::Developer(developer)
    }
}

/// A row that a command will read by its key, within its scope. Where every read is a trip to
/// another machine, all that a batch of commands needs are loaded in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// An API key.
    Key(KeyId),
    /// An agent.
    Agent(AgentId),
    /// An authorization request.
    AuthRequest(AuthRequestId),
    /// A grant.
    Grant(GrantId),
    /// The budget of a grant.
    Budget(GrantId),
    /// An issued token.
    Token(TokenId),
    /// A refresh token.
    RefreshToken(RefreshId),
    /// A principal's session.
    Session(SessionId),
    /// The answer kept for an idempotency key.
    Answer {
        /// The route it is used on.
        route: &'static str,
        /// The client's own text.
        key: Arc<str>,
    },
}

/// As many needs as the command with the most has: it is a hint, and what lies behind delegations
/// or in lists is found out on the way.
const MOST_NEEDS: usize = 4;

/// The rows that a command will read by key: a hint, never a promise. A command may read others,
/// and need not read these. It lies where the command is made, without memory of its own.
#[derive(Debug, Clone)]
pub struct Needs([Option<Need>; MOST_NEEDS]);

impl Needs {
    /// Nothing is known beforehand.
    pub const NONE: Self = Self([const { None }; MOST_NEEDS]);

    /// These and one more, if there is one.
    #[must_use]
    pub fn and(mut self, need: Option<Need>) -> Self {
        if let Some(free) = self.0.iter_mut().find(|place| place.is_none()) {
            *free = need;
        }
        self
    }

    /// The needs.
    pub fn iter(&self) -> impl Iterator<Item = &Need> {
        self.0.iter().flatten()
    }
}

impl<const N: usize> From<[Need; N]> for Needs {
    fn from(needs: [Need; N]) -> Self {
        const { assert!(N <= MOST_NEEDS, "more needs than there is room for") };
        let mut all = Self::NONE;
        for (place, need) in all.0.iter_mut().zip(needs) {
            *place = Some(need);
        }
        all
    }
}

/// What is to become of a command's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is committed.
    Keep,
    /// It is undone, alone, and the command is finished.
    Undo,
    /// It is undone, and the command runs again: it met a conflict that another run may not meet.
    Again,
}

/// One unit of work for the writer.
pub trait Command: Send {
    /// The use case, for logs and metrics: one of few texts.
    fn name(&self) -> &'static str;
    /// Does the work. It may be called again, after what the run before did was undone: only the
    /// last run counts.
    fn run(&mut self, tx: &mut dyn Tx) -> Verdict;
    /// Called once, after the commit that holds the work, or with why there was none. It must not
    /// panic.
    fn finish(self: Box<Self>, outcome: StoreResult<()>);
}

/// Commands that share a commit. Each is finished in any case: at the latest when this is dropped,
/// whatever panicked, and whatever runtime has ended.
pub struct Batch {
    commands: Vec<Box<dyn Command>>,
    outcome: StoreResult<()>,
}

impl Batch {
    /// An empty batch that is finished with `outcome`, unless it [gets another](Self::settle).
    pub fn new(outcome: StoreResult<()>) -> Self {
        Self { commands: Vec::new(), outcome }
    }

    /// Adds a command.
    pub fn push(&mut self, command: Box<dyn Command>) {
        self.commands.push(command);
    }

    /// The newest command.
    pub fn last_mut(&mut self) -> Option<&mut (dyn Command + 'static)> {
        self.commands.last_mut().map(AsMut::as_mut)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// From here on it is known what the commands are finished with.
    pub fn settle(&mut self, outcome: StoreResult<()>) {
        self.outcome = outcome;
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        for command in self.commands.drain(..) {
            command.finish(self.outcome.clone());
        }
    }
}

/// Work for a reader: given a snapshot, or why there is none.
pub type Query = Box<dyn FnOnce(StoreResult<&dyn Read>) + Send>;
