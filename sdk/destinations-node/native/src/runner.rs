//! The thread that a source runs on.

use std::future::Future;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use grantex_destinations::{ConfigError, EventSource, SourceError, State};
use parking_lot::Mutex;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tracing::{Dispatch, dispatcher};

use crate::calls::Calls;
use crate::error::NativeError;
use crate::observe::Stats;
use crate::{log, options};

/// Threads that deliver, beside the source's main thread. Delivery is mostly waiting; with two, a
/// destination that compresses does not delay another.
const WORKERS: usize = 2;

/// How long work that cannot be interrupted may take at the end: a write to the state, a DNS
/// lookup.
const LAST_WORK: Duration = Duration::from_secs(2);

pub(crate) struct Runner {
    calls: Arc<Calls>,
    dispatch: Dispatch,
    /// Set until it has ended. The state folder is released with its last owner.
    source: Arc<Mutex<Option<EventSource>>>,
    /// Set until it is started.
    runtime: Mutex<Option<Runtime>>,
    handle: tokio::runtime::Handle,
    /// The JavaScript environment has ended.
    abandoned: CancellationToken,
    /// The thread, and a receiver that fails when the thread has ended.
    thread: Mutex<Option<(JoinHandle<()>, mpsc::Receiver<()>)>>,
}

impl Runner {
    pub(crate) fn new(
        settings: &str,
        asks_for_key: bool,
        calls: &Arc<Calls>,
    ) -> Result<Self, NativeError> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(WORKERS).thread_name("grantex").enable_all();
        let runtime =
            builder.build().map_err(|error| ConfigError::whole(format!("no thread: {error}")))?;
        let dispatch = log::dispatch(calls);
        let made = {
            let _guard = runtime.enter();
            dispatcher::with_default(&dispatch, || options::source(settings, asks_for_key, calls))
        };
        Ok(Self {
            calls: Arc::clone(calls),
            dispatch,
            source: Arc::new(Mutex::new(Some(made?))),
            handle: runtime.handle().clone(),
            runtime: Mutex::new(Some(runtime)),
            abandoned: CancellationToken::new(),
            thread: Mutex::new(None),
        })
    }

    /// Lets `add` make and add a destination within the runtime, which some destinations need.
    pub(crate) fn add(
        &self,
        add: impl FnOnce(&EventSource) -> Result<(), NativeError>,
    ) -> Result<(), NativeError> {
        let source = self.source.lock().clone();
        let source = source.ok_or_else(|| ConfigError::whole("the source has ended"))?;
        let _guard = self.handle.enter();
        dispatcher::with_default(&self.dispatch, || add(&source))
    }

    pub(crate) fn start(&self) {
        let (Some(runtime), Some(source)) =
            (self.runtime.lock().take(), self.source.lock().clone())
        else {
            return;
        };
        let (lives, ended) = mpsc::channel();
        let run = Run {
            calls: Arc::clone(&self.calls),
            dispatch: self.dispatch.clone(),
            source,
            kept: Arc::clone(&self.source),
            runtime,
            abandoned: self.abandoned.clone(),
            _lives: lives,
        };
        let started = thread::Builder::new().name("grantex".into()).spawn(move || run.run());
        match started {
            Ok(thread) => *self.thread.lock() = Some((thread, ended)),
            Err(error) => {
                let failure = NativeError::from(ConfigError::whole(format!("no thread: {error}")));
                self.calls.end(ending(Some(&failure), &[]));
            }
        }
    }

    /// Waits for the thread, which reports at its end how the source ended.
    pub(crate) fn join(&self) {
        if let Some((thread, _)) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }

    pub(crate) fn stop(&self) {
        if let Some(source) = self.source.lock().clone() {
            self.handle.spawn(async move { source.stop().await });
        }
    }

    pub(crate) fn stats(&self) -> Vec<Stats> {
        self.source.lock().as_ref().map(Stats::of).unwrap_or_default()
    }

    /// Checkpoints and dead letters, until it has ended.
    pub(crate) fn state(&self) -> Option<State> {
        self.source.lock().as_ref().map(|source| source.state().clone())
    }

    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(work);
    }

    /// Frees a source that was not started: its runtime, its state.
    pub(crate) fn discard(&self) {
        if let Some(runtime) = self.runtime.lock().take() {
            drop(self.source.lock().take());
            runtime.shutdown_background();
        }
    }
}

impl Drop for Runner {
    /// The JavaScript object is freed: after the end of the source, or with the whole environment,
    /// such as a terminated worker. Nothing of the source may be left then.
    fn drop(&mut self) {
        self.abandoned.cancel();
        self.discard();
        if let Some((thread, ended)) = self.thread.lock().take() {
            // Nothing is sent on it: this waits for the thread's end, with a time limit.
            let result = ended.recv_timeout(LAST_WORK.saturating_mul(2));
            if result == Err(mpsc::RecvTimeoutError::Disconnected) {
                let _ = thread.join();
            }
        }
    }
}

struct Run {
    calls: Arc<Calls>,
    dispatch: Dispatch,
    source: EventSource,
    kept: Arc<Mutex<Option<EventSource>>>,
    runtime: Runtime,
    abandoned: CancellationToken,
    _lives: mpsc::Sender<()>,
}

impl Run {
    fn run(self) {
        let result = dispatcher::with_default(&self.dispatch, || {
            self.runtime.block_on(self.abandoned.run_until_cancelled(self.source.start()))
        });
        self.runtime.shutdown_timeout(LAST_WORK);
        let stats = Stats::of(&self.source);
        drop(self.kept.lock().take());
        drop(self.source);
        if let Some(result) = result {
            let failure = result.err().map(|error: SourceError| NativeError::from(error));
            self.calls.end(ending(failure.as_ref(), &stats));
        }
    }
}

/// The last message to JavaScript: how the source ended.
fn ending(failure: Option<&NativeError>, stats: &[Stats]) -> String {
    json!({"error": failure, "stats": stats}).to_string()
}
