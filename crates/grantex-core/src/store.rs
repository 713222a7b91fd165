//! The contracts that a backend keeps. `grantex-store` holds the suite that checks each promise.

mod notice;
mod rows;

use grantex_types::DeveloperId;
use tokio::sync::oneshot;

use crate::{Error, Result, StoreError};

pub use notice::{Change, CommitNotice, Listener};
pub use rows::{Ended, GrantFilter, KeptAnswer, MOST_LOOKED_AT, Page, Reach, Read, Sifted, Tx};

pub use crate::log::{Order, Scan};

/// Commands that a store queues before it refuses more. A store commits some thousand a second, so
/// a full queue is about a second's work: a later command is better refused, and tried again.
pub const MOST_QUEUED: usize = 4096;

/// What a primitive of the store returns.
pub type StoreResult<T> = std::result::Result<T, StoreError>;

/// One unit of work for the writer.
pub trait Command: Send {
    /// The use case, for logs and metrics: one of few texts.
    fn name(&self) -> &'static str;
    /// Does the work. Returns whether to keep it; otherwise it is undone, alone.
    fn run(&mut self, tx: &mut dyn Tx) -> bool;
    /// Called once, after the commit that holds the work, or with why there was none.
    fn finish(self: Box<Self>, outcome: StoreResult<()>);
}

/// For whom the store works: its queues take turns by this, so that nobody waits for what somebody
/// else has queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A developer's own rows.
    Developer(DeveloperId),
    /// The service's own work, and callers of whom no developer is known yet: signup, a key that is
    /// looked up, a principal's decision by the id of the request.
    Global,
}

impl From<DeveloperId> for Scope {
    fn from(developer: DeveloperId) -> Self {
        Self::Developer(developer)
    }
}

/// How much a query looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryKind {
    /// A few look-ups by key, and binary searches: never waits for a long one.
    Point,
    /// Many rows, as many as the query bounds itself to: lists, history and replay.
    Long,
}

/// Work for a reader: given a snapshot, or why there is none.
pub type Query = Box<dyn FnOnce(StoreResult<&dyn Read>) + Send>;

/// How a store feels.
#[derive(Debug, Clone)]
pub struct Health {
    /// Why the last write failed; `None` while writes work.
    pub write_error: Option<String>,
    /// How far the clock was behind the log at the last append, in milliseconds.
    pub clock_behind_millis: u64,
    /// Commands that wait for the writer.
    pub queued: usize,
    /// How large the write-ahead log is.
    pub wal_bytes: u64,
    /// Events that were found damaged since the start, each counted once.
    pub damaged_events: usize,
}

/// A database that keeps the state and the logs.
///
/// Durability: when a command is answered with success, its changes and its events survive the
/// death of the process and of the machine. Order: commands commit in the order in which they run,
/// one after the other, those of one scope in the order in which they were submitted. Failure: a
/// command that is answered with an error changed nothing; when a commit fails, every command in it
/// is answered with an error.
///
/// Turns: between two commands of one scope, and between two queries, each other scope that has
/// some waiting gets its turn. However many long queries wait, point queries and other scopes' long
/// queries find a thread. A scope that queues too much is refused with
/// [`Overloaded`](StoreError::Overloaded), and it alone.
pub trait Store: Send + Sync + 'static {
    /// Queues a command; [`Command::finish`] is called in any case.
    fn submit(&self, scope: Scope, command: Box<dyn Command>);
    /// Runs a query on a reader's connection; the query is called in any case.
    fn query(&self, scope: Scope, kind: QueryKind, query: Query);
    /// How it feels; quick, and never blocks on the database.
    fn health(&self) -> Health;
}

/// Runs `work` as one command and waits for its commit. `use_case` is its name in logs and metrics.
///
/// When the caller is dropped meanwhile, the work still happens or not as a whole.
pub async fn write<T, F>(
    store: &dyn Store,
    scope: impl Into<Scope>,
    use_case: &'static str,
    work: F,
) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(&mut dyn Tx) -> Result<T> + Send + 'static,
{
    struct Call<T, F> {
        use_case: &'static str,
        work: Option<F>,
        result: Option<Result<T>>,
        reply: oneshot::Sender<Result<T>>,
    }

    impl<T: Send, F: FnOnce(&mut dyn Tx) -> Result<T> + Send> Command for Call<T, F> {
        fn name(&self) -> &'static str {
            self.use_case
        }

        fn run(&mut self, tx: &mut dyn Tx) -> bool {
            let Some(work) = self.work.take() else { return false };
            let result = work(tx);
            let keep = result.is_ok();
            self.result = Some(result);
            keep
        }

        fn finish(self: Box<Self>, outcome: StoreResult<()>) {
            let result = match (outcome, self.result) {
                (Err(error), _) => Err(error.into()),
                (Ok(()), Some(result)) => result,
                (Ok(()), None) => {
                    Err(StoreError::Internal("the command did not run".into()).into())
                }
            };
            // A caller that is gone needs no answer.
            let _ = self.reply.send(result);
        }
    }

    let (reply, answer) = oneshot::channel();
    store.submit(scope.into(), Box::new(Call { use_case, work: Some(work), result: None, reply }));
    answer.await.unwrap_or_else(|_| Err(gone()))
}

/// Runs `work` on a snapshot and waits for its result.
pub async fn read<T, F>(
    store: &dyn Store,
    scope: impl Into<Scope>,
    kind: QueryKind,
    work: F,
) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(&dyn Read) -> Result<T> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let query: Query = Box::new(move |snapshot| {
        let result = snapshot.map_err(Error::from).and_then(work);
        let _ = reply.send(result);
    });
    store.query(scope.into(), kind, query);
    answer.await.unwrap_or_else(|_| Err(gone()))
}

fn gone() -> Error {
    StoreError::Unavailable("the store is shutting down".into()).into()
}
