//! The readers: a few threads, each with its own connection, each query on its own snapshot.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use grantex_core::StoreError;
use grantex_core::env::Clock;
use grantex_core::store::{Query, QueryKind, Scope, StoreResult};
use rusqlite::Connection;

use super::common::Common;
use super::desk::Desk;
use super::open::{self, OpenError};
use super::unit_of_work::UnitOfWork;
use super::values::store_error;

/// Threads for each kind of query. Reading is mostly from the page cache, so a thread a core keeps
/// the cores busy; with three, one developer has two of them, as many as the smallest machines have
/// cores.
const LEAST_THREADS: usize = 3;
const MOST_THREADS: usize = 8;
/// The niceness of the threads of long reads: threads that answer shorter work preempt them, and on
/// an idle machine they have the cores to themselves.
#[cfg(target_os = "linux")]
const LONG_NICENESS: i32 = 5;

/// The handle on the readers' threads.
pub(super) struct Readers {
    points: Arc<Desk>,
    long: Arc<Desk>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(super) fn start(
        path: &Path,
        clock: &Arc<dyn Clock>,
        common: &Arc<Common>,
    ) -> Result<Self, OpenError> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let of_a_kind = cores.clamp(LEAST_THREADS, MOST_THREADS);
        let desk = || Arc::new(Desk::new(of_a_kind));
        let mut readers = Self { points: desk(), long: desk(), threads: Vec::new() };
        let kinds =
            [QueryKind::Point, QueryKind::Long].into_iter().flat_map(|kind| vec![kind; of_a_kind]);
        for (number, kind) in kinds.enumerate() {
            let connection = open::reader(path)?;
            common.gate.introduce(number, connection.get_interrupt_handle());
            let reader = Reader {
                number,
                path: path.to_owned(),
                connection: Some(connection),
                clock: Arc::clone(clock),
                common: Arc::clone(common),
            };
            let desk = Arc::clone(readers.desk(kind));
            let name = match kind {
                QueryKind::Point => "reader",
                QueryKind::Long => "long-reader",
            };
            let thread = std::thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || {
                    if kind == QueryKind::Long {
                        step_back();
                    }
                    reader.run(&desk);
                })
                .map_err(|error| OpenError::Unusable {
                    path: path.to_owned(),
                    detail: error.to_string(),
                })?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    pub(super) fn query(&self, scope: Scope, kind: QueryKind, query: Query) {
        self.desk(kind).query(scope, query);
    }

    fn desk(&self, kind: QueryKind) -> &Arc<Desk> {
        match kind {
            QueryKind::Point => &self.points,
            QueryKind::Long => &self.long,
        }
    }
}

/// Raises the niceness of the calling thread. Except on Linux, that would be the whole process.
fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(LONG_NICENESS) {
        tracing::warn!(%error, "the priority of long reads cannot be lowered");
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.points.close();
        self.long.close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reader thread panicked");
            }
        }
    }
}

struct Reader {
    number: usize,
    path: PathBuf,
    connection: Option<Connection>,
    clock: Arc<dyn Clock>,
    common: Arc<Common>,
}

impl Reader {
    fn run(mut self, desk: &Desk) {
        let mut done = None;
        while let Some((turn, query)) = desk.next(done) {
            // A panic is a defect of one query; the thread continues to serve the others.
            let answered = catch_unwind(AssertUnwindSafe(|| self.answer(query)));
            match answered {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "a reader's connection failed; it is reopened");
                    self.connection = None;
                }
                Err(_) => {
                    tracing::error!("a query panicked");
                    self.connection = None;
                }
            }
            done = Some(turn);
        }
    }

    fn answer(&mut self, query: Query) -> StoreResult<()> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => match open::reader(&self.path) {
                Ok(fresh) => {
                    self.common.gate.introduce(self.number, fresh.get_interrupt_handle());
                    self.connection.insert(fresh)
                }
                Err(error) => {
                    query(Err(StoreError::Unavailable(error.to_string())));
                    return Ok(());
                }
            },
        };
        let _entered = self.common.gate.enter();
        if let Err(error) = connection.execute_batch("BEGIN") {
            let error = store_error(error);
            query(Err(error.clone()));
            return Err(error);
        }
        let damages = &self.common.damages;
        let unit = UnitOfWork { connection, now: self.clock.now(), damages, writing: None };
        query(Ok(&unit));
        connection.execute_batch("COMMIT").map_err(store_error)
    }
}
