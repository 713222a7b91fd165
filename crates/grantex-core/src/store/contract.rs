//! A store: where commands and queries go.

use std::time::Duration;

use super::command::{Command, Needs, Query, Scope};

/// Commands that a store queues before it refuses more. A store commits some thousand a second, so
/// a full queue is about a second's work: a later command is better refused, and tried again.
pub const MOST_QUEUED: usize = 4096;

/// How often a store runs a command that meets a [`Conflict`](crate::StoreError::Conflict) before
/// it gives up. The first run meets what another writer did meanwhile; the next ones read that.
pub const MOST_RUNS: u32 = 3;

/// How much a query looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryKind {
    /// A few look-ups by key, and binary searches: never waits for a long one.
    Point,
    /// Many rows, as many as the query bounds itself to: lists, history and replay.
    Long,
}

/// The condition of a store.
#[derive(Debug, Clone)]
pub struct Health {
    /// Why writes do not work; `None` while they do.
    pub write_error: Option<String>,
    /// For how long there have been commands, queued or running, of which none was finished. Zero
    /// while there are none. Measured when it is asked for: a store that hangs shows a time that
    /// grows.
    pub stalled_for: Duration,
    /// How far the clock was behind the log at the last append, in milliseconds.
    pub clock_behind_millis: u64,
    /// Commands that have not begun to run.
    pub queued: usize,
    /// The size of the write-ahead log, in bytes.
    pub wal_bytes: u64,
    /// Events that were found damaged since the start, each counted once.
    pub damaged_events: usize,
}

/// A database that keeps the state and the logs.
///
/// Durability: when a command is answered with success, its changes and its events survive the
/// death of the process and of the machine. Order: commands of one [`Scope`] commit in the order in
/// which they were submitted, and each sees all that was committed before it in its scope. Nothing
/// is promised about commands of different scopes, except that each is atomic and isolated from the
/// others. Failure: a command that is answered with an error changed nothing; when a commit fails,
/// every command in it is answered with an error.
///
/// Conflicts: what a command writes holds for what it read. Where another writer came in between,
/// the primitive that notices fails with [`Conflict`](crate::StoreError::Conflict), and the store
/// undoes the command and runs it again, [`MOST_RUNS`] times at most.
///
/// Turns: between two commands of one developer, and between two queries, each other developer that
/// has some waiting gets its turn. However many long queries wait, point queries and other
/// developers' long queries find a thread. A developer that queues too much is refused with
/// [`Overloaded`](crate::StoreError::Overloaded), and it alone.
pub trait Store: Send + Sync + 'static {
    /// Queues a command; [`Command::finish`] is called in any case. `needs` are the rows that it
    /// will read by key.
    fn submit(&self, scope: Scope, needs: Needs, command: Box<dyn Command>);
    /// Runs a query on a reader's connection; the query is called in any case.
    fn query(&self, scope: Scope, kind: QueryKind, query: Query);
    /// Its condition now; quick, and never blocks on the database.
    fn health(&self) -> Health;
}
