//! The writer: one thread, one connection, one fsync for many commands.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use grantex_core::StoreError;
use grantex_core::store::{
    Batch, Command, CommitNotice, Health, MOST_RUNS, Scope, StoreResult, Verdict,
};
use parking_lot::Mutex;
use rusqlite::Connection;

use super::common::{Common, Environment};
use super::damages::Damages;
use super::inbox::{Inbox, Next, ended};
use super::mark::Progress;
use super::open::{self, OpenError};
use super::unit_of_work::{Effects, UnitOfWork, Writing};
use super::usage::Gathering;
use super::values::{int, store_error};
use super::wal::Upkeep;

/// Commands that share one commit at most: bounds what a failed commit fails with it.
const BATCH: usize = 256;
/// After this long a batch takes no further command, so that the first one is not kept waiting.
const BATCH_TIME: Duration = Duration::from_millis(10);
/// A committed command that took longer held up every other: it is logged and counted.
const SLOW: Duration = Duration::from_millis(50);
/// How often writing is tried while it does not work.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// The handle on the writer's thread.
pub(super) struct Committer {
    inbox: Arc<Inbox>,
    shared: Arc<Shared>,
    common: Arc<Common>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    write_error: Mutex<Option<String>>,
    clock_behind_millis: AtomicU64,
}

impl Committer {
    pub(super) fn start(
        path: PathBuf,
        connection: Connection,
        environment: &Environment,
        common: &Arc<Common>,
        upkeep: Upkeep,
    ) -> Result<Self, OpenError> {
        let inbox = Arc::new(Inbox::new());
        let commands = Ending(Arc::clone(&inbox));
        let shared = Arc::new(Shared::default());
        let writer = Writer {
            path: path.clone(),
            connection: Some(connection),
            environment: environment.clone(),
            shared: Arc::clone(&shared),
            common: Arc::clone(common),
            upkeep,
            gathering: Gathering::default(),
        };
        let thread = std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || writer.run(&commands.0))
            .map_err(|error| OpenError::Unusable { path, detail: error.to_string() })?;
        let common = Arc::clone(common);
        Ok(Self { inbox, shared, common, thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn submit(&self, scope: Scope, command: Box<dyn Command>) {
        self.inbox.submit(scope, command);
    }

    pub(super) fn health(&self) -> Health {
        let (write_error, queued, stalled_for) = match self.inbox.progress() {
            Some((queued, stalled)) => (self.shared.write_error.lock().clone(), queued, stalled),
            None => (Some(ended().to_string()), 0, Duration::ZERO),
        };
        Health {
            write_error,
            stalled_for,
            clock_behind_millis: self.shared.clock_behind_millis.load(Ordering::Relaxed),
            queued,
            wal_bytes: self.common.wal_bytes.load(Ordering::Relaxed),
            damaged_events: self.common.damages.count(),
        }
    }
}

impl Committer {
    /// Finishes what waits, and waits for it.
    pub(super) fn close(&self) {
        self.inbox.close();
        let mut thread = self.thread.lock();
        if let Some(thread) = thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the committer thread panicked");
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.close();
    }
}

/// However the writer's thread ends, no caller waits for it any longer.
struct Ending(Arc<Inbox>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

struct Writer {
    path: PathBuf,
    connection: Option<Connection>,
    environment: Environment,
    shared: Arc<Shared>,
    common: Arc<Common>,
    upkeep: Upkeep,
    gathering: Gathering,
}

impl Writer {
    fn run(mut self, commands: &Inbox) {
        loop {
            let broken = self.shared.write_error.lock().is_some();
            let patience = if broken { Some(PROBE_INTERVAL) } else { self.upkeep.patience() };
            match commands.wait(patience) {
                Next::Command(first) => self.batch(first, commands),
                Next::Nothing if broken => {
                    let outcome = self.probe();
                    self.note(&outcome);
                }
                Next::Nothing => self.tend(),
                Next::Closed => return self.stop(),
            }
        }
    }

    /// Runs waiting commands, commits them together, and answers them.
    fn batch(&mut self, first: Box<dyn Command>, commands: &Inbox) {
        let started = Instant::now();
        let mut effects = Effects::default();
        // Until the commit, whatever panics is the end of the writer.
        let mut taken = Batch::new(Err(ended()));
        let outcome = self.transact(first, commands, &mut taken, &mut effects, started);
        taken.settle(outcome.as_ref().map(drop).map_err(Clone::clone));
        self.note(&outcome.as_ref().map(drop).map_err(Clone::clone));
        match outcome {
            Ok(marked) => {
                self.upkeep.committed(marked, effects.events.len());
                metrics::histogram!("grantex_commit_batch_commands").record(count(taken.len()));
                metrics::histogram!("grantex_commit_seconds")
                    .record(started.elapsed().as_secs_f64());
                metrics::counter!("grantex_events_appended_total")
                    .increment(effects.events.len().try_into().unwrap_or(u64::MAX));
                if !effects.events.is_empty() {
                    self.shared
                        .clock_behind_millis
                        .store(effects.clock_behind_millis, Ordering::Relaxed);
                }
                report(&effects.slow);
                let notice = CommitNotice::new(effects.changes, effects.events);
                self.environment.listener.committed(&notice, taken);
                self.tend();
            }
            Err(_) => {
                // Whatever state the connection is in, the next batch starts from a fresh one.
                self.connection = None;
                metrics::counter!("grantex_commit_failures_total").increment(1);
            }
        }
    }

    fn transact(
        &mut self,
        first: Box<dyn Command>,
        commands: &Inbox,
        taken: &mut Batch,
        effects: &mut Effects,
        started: Instant,
    ) -> StoreResult<Option<Progress>> {
        taken.push(first);
        let connection = connect(&self.path, &mut self.connection)?;
        execute(connection, "BEGIN IMMEDIATE")?;
        loop {
            if let Some(command) = taken.last_mut() {
                let damages = &self.common.damages;
                run(connection, &self.environment, damages, command, effects)?;
            }
            if taken.len() >= BATCH || started.elapsed() >= BATCH_TIME {
                break;
            }
            match commands.take() {
                Some(command) => taken.push(command),
                None => break,
            }
        }
        self.gathering.gather(connection, &effects.stored)?;
        let marked = self.upkeep.before_commit(connection)?;
        execute(connection, "COMMIT")?;
        Ok(marked)
    }

    /// Does what the file needs.
    fn tend(&mut self) {
        let Some(connection) = &self.connection else { return };
        if let Err(error) = self.upkeep.tend(connection) {
            self.connection = None;
            self.note(&Err(error));
        }
    }

    /// Leaves a file that is complete by itself.
    fn stop(mut self) {
        let stopped = connect(&self.path, &mut self.connection)
            .and_then(|connection| self.upkeep.stop(connection));
        if let Err(error) = stopped {
            tracing::warn!(%error, "the database was not closed completely; keep grantex.db-wal \
                with it");
        }
    }

    /// Writes a probe row, to find out whether writing works.
    fn probe(&mut self) -> StoreResult<()> {
        let now = self.environment.clock.now();
        let connection = connect(&self.path, &mut self.connection)?;
        let written = connection
            .execute("INSERT OR REPLACE INTO probe (id, at) VALUES (1, ?1)", [int(now.millis())])
            .map_err(store_error);
        if written.is_err() {
            self.connection = None;
        }
        written.map(drop)
    }

    /// Records whether writing works, and logs each change once.
    fn note(&self, outcome: &StoreResult<()>) {
        let mut write_error = self.shared.write_error.lock();
        match outcome {
            Ok(()) => {
                if write_error.take().is_some() {
                    tracing::info!("writes succeed again");
                }
            }
            Err(error) => {
                if write_error.is_none() {
                    tracing::error!(%error, "writes fail; reads and streams continue, and a probe \
                        row is written every 500 ms until it succeeds");
                }
                *write_error = Some(error.to_string());
            }
        }
    }
}

/// The open connection, or a new one.
fn connect<'c>(
    path: &std::path::Path,
    connection: &'c mut Option<Connection>,
) -> StoreResult<&'c mut Connection> {
    if let Some(connection) = connection {
        return Ok(connection);
    }
    let fresh = open::writer(path).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    Ok(connection.insert(fresh))
}

/// Runs one command, again where it asks for that. An error means that the whole transaction is
/// lost.
fn run(
    connection: &Connection,
    environment: &Environment,
    damages: &Damages,
    command: &mut dyn Command,
    effects: &mut Effects,
) -> StoreResult<()> {
    for _ in 0..MOST_RUNS {
        let verdict = run_in_savepoint(connection, environment, damages, command, effects)?;
        if verdict != Verdict::Again {
            break;
        }
    }
    Ok(())
}

/// Runs one command so that it can be undone alone.
fn run_in_savepoint(
    connection: &Connection,
    environment: &Environment,
    damages: &Damages,
    command: &mut dyn Command,
    effects: &mut Effects,
) -> StoreResult<Verdict> {
    let started = Instant::now();
    let (changes, events, stored) =
        (effects.changes.len(), effects.events.len(), effects.stored.len());
    execute(connection, "SAVEPOINT command")?;
    let mut unit = UnitOfWork {
        connection,
        now: environment.clock.now(),
        damages,
        writing: Some(Writing { rng: environment.rng.as_ref(), effects }),
    };
    // A panic is a defect of one command; the others of the batch are not affected.
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| command.run(&mut unit)));
    // SQLite may have rolled back everything by itself (full disk, I/O error).
    if connection.is_autocommit() {
        return Err(StoreError::Unavailable("the database rolled the transaction back".into()));
    }
    let verdict = ran.unwrap_or(Verdict::Undo);
    if verdict == Verdict::Keep {
        execute(connection, "RELEASE command")?;
        let took = started.elapsed();
        if took > SLOW {
            effects.slow.push((command.name(), took));
        }
        return Ok(verdict);
    }
    effects.changes.truncate(changes);
    effects.events.truncate(events);
    effects.stored.truncate(stored);
    execute(connection, "ROLLBACK TO command")?;
    execute(connection, "RELEASE command")?;
    Ok(verdict)
}

/// Logs the committed commands that held up all others.
fn report(slow: &[(&'static str, Duration)]) {
    for (use_case, took) in slow {
        tracing::warn!(
            use_case,
            milliseconds = took.as_millis(),
            "a command held the writer for more than 50 ms"
        );
        metrics::counter!("grantex_slow_commands_total", "use_case" => *use_case).increment(1);
    }
}

fn execute(connection: &Connection, sql: &str) -> StoreResult<()> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute([]))
        .map_err(store_error)?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a batch has at most some hundred commands")]
fn count(n: usize) -> f64 {
    n as f64
}
