//! Running a closure as a command or a query, and waiting for its result.

use tokio::sync::oneshot;

use super::command::{Command, Needs, Query, Scope, Verdict};
use super::contract::{QueryKind, Store};
use super::rows::{Read, Tx};
use crate::error::StoreResult;
use crate::{Error, Result, StoreError};

/// Runs `work` as one command and waits for its commit. `use_case` is its name in logs and metrics.
///
/// The work may run more than once; only its last run counts. When the caller is dropped meanwhile,
/// it still happens or not as a whole.
pub async fn write<T, F>(
    store: &dyn Store,
    scope: impl Into<Scope>,
    needs: impl Into<Needs>,
    use_case: &'static str,
    work: F,
) -> Result<T>
where
    T: Send + 'static,
    F: FnMut(&mut dyn Tx) -> Result<T> + Send + 'static,
{
    struct Call<T, F> {
        use_case: &'static str,
        work: F,
        result: Option<Result<T>>,
        reply: oneshot::Sender<Result<T>>,
    }

    impl<T: Send, F: FnMut(&mut dyn Tx) -> Result<T> + Send> Command for Call<T, F> {
        fn name(&self) -> &'static str {
            self.use_case
        }

        fn run(&mut self, tx: &mut dyn Tx) -> Verdict {
            // A run that panics has no result, whatever the one before had.
            self.result = None;
            let result = (self.work)(tx);
            let verdict = match &result {
                Ok(_) => Verdict::Keep,
                Err(Error::Store(StoreError::Conflict { may_retry: true })) => Verdict::Again,
                Err(_) => Verdict::Undo,
            };
            self.result = Some(result);
            verdict
        }

        fn finish(self: Box<Self>, outcome: StoreResult<()>) {
            let result = match (outcome, self.result) {
                (Err(error), _) => Err(error.into()),
                (Ok(()), Some(result)) => result,
                (Ok(()), None) => {
                    Err(StoreError::Internal("the store ended before the command ran".into())
                        .into())
                }
            };
            // A caller that is gone needs no answer.
            let _ = self.reply.send(result);
        }
    }

    let (reply, answer) = oneshot::channel();
    let command = Box::new(Call { use_case, work, result: None, reply });
    store.submit(scope.into(), needs.into(), command);
    answer.await.unwrap_or_else(|_| Err(unanswered()))
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
    answer.await.unwrap_or_else(|_| Err(unanswered()))
}

/// The work panicked, which the store has logged.
fn unanswered() -> Error {
    StoreError::Internal("the work ended without a result".into()).into()
}
