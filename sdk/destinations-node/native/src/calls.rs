//! Calls from the source's threads into JavaScript.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use grantex_destinations::SendError;
use napi::bindgen_prelude::{FnArgs, Function};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Result, Status};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::oneshot;

/// The most calls that wait for the event loop. A destination has only `concurrency` batches in
/// flight, so only log records and failures can reach the limit, while the event loop is blocked;
/// they are dropped. Calls that must arrive wait instead.
const MAX_QUEUED_CALLS: usize = 4096;

type Arguments = FnArgs<(String, u32, String, String)>;
type Callback =
    ThreadsafeFunction<Arguments, (), Arguments, Status, false, false, MAX_QUEUED_CALLS>;

/// The one JavaScript function that this side calls. While it is open it keeps the process alive.
pub(crate) struct Calls {
    callback: Mutex<Option<Arc<Callback>>>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    last_id: u32,
    calls: HashMap<u32, oneshot::Sender<Outcome>>,
}

/// The outcome of a call into JavaScript.
#[derive(Deserialize)]
#[serde(tag = "outcome", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Outcome {
    /// It returned, or its promise was fulfilled; with a value where one was requested.
    Done { value: Option<String> },
    /// It threw, or its promise was rejected.
    Failed { message: String, retry_after_ms: Option<u64> },
    /// It rejected the whole batch, or these of its events.
    Rejected { message: String, events: Option<Vec<usize>>, others_delivered: bool },
}

impl Calls {
    pub(crate) fn new(call: &Function<'_, Arguments, ()>) -> Result<Self> {
        let callback = call
            .build_threadsafe_function::<Arguments>()
            .max_queue_size::<MAX_QUEUED_CALLS>()
            .build()?;
        Ok(Self { callback: Mutex::new(Some(Arc::new(callback))), waiting: Mutex::default() })
    }

    /// Makes a call that must arrive, and waits for the event loop if necessary: the only notice of
    /// a dead letter.
    pub(crate) fn insist(&self, kind: &str, destination: &str, payload: String) {
        self.send(kind, 0, destination, payload, ThreadsafeFunctionCallMode::Blocking);
    }

    /// Makes a call that needs no answer.
    pub(crate) fn notify(&self, kind: &str, destination: &str, payload: String) {
        self.send(kind, 0, destination, payload, ThreadsafeFunctionCallMode::NonBlocking);
    }

    /// Answers the question that JavaScript asked with this id.
    pub(crate) fn answer(&self, id: u32, payload: String) {
        self.send("answer", id, "", payload, ThreadsafeFunctionCallMode::Blocking);
    }

    /// Reports that the source has ended, and releases the event loop: the last call.
    pub(crate) fn end(&self, payload: String) {
        self.send("ended", 0, "", payload, ThreadsafeFunctionCallMode::Blocking);
        self.close();
    }

    /// Releases the event loop.
    pub(crate) fn close(&self) {
        drop(self.callback.lock().take());
    }

    /// Makes a call and waits for its outcome. Dropping the future forgets the call.
    pub(crate) async fn ask(
        &self,
        kind: &str,
        destination: &str,
        payload: String,
    ) -> std::result::Result<Outcome, SendError> {
        let (sender, outcome) = oneshot::channel();
        let id = self.waiting.lock().add(sender);
        let _forgotten = Forget { calls: self, id };
        if !self.send(kind, id, destination, payload, ThreadsafeFunctionCallMode::NonBlocking) {
            return Err(SendError::retry("the event loop accepts no calls now"));
        }
        outcome.await.map_err(|_| SendError::retry("the JavaScript environment has ended"))
    }

    pub(crate) fn complete(&self, id: u32, outcome: &str) {
        let Some(sender) = self.waiting.lock().calls.remove(&id) else { return };
        let outcome = serde_json::from_str(outcome).unwrap_or_else(|error| Outcome::Failed {
            message: format!("its outcome cannot be read: {error}"),
            retry_after_ms: None,
        });
        // A stop may have given up the wait.
        let _ = sender.send(outcome);
    }

    fn send(
        &self,
        kind: &str,
        id: u32,
        destination: &str,
        payload: String,
        mode: ThreadsafeFunctionCallMode,
    ) -> bool {
        let arguments = FnArgs::from((kind.to_owned(), id, destination.to_owned(), payload));
        // Not called under the lock: it may block, and the event loop takes the lock too.
        let callback = self.callback.lock().clone();
        callback.is_some_and(|callback| callback.call(arguments, mode) == Status::Ok)
    }
}

impl Waiting {
    fn add(&mut self, sender: oneshot::Sender<Outcome>) -> u32 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            // Ids repeat after 2^32 calls; an id that is still in use is skipped.
            if !self.calls.contains_key(&self.last_id) {
                self.calls.insert(self.last_id, sender);
                return self.last_id;
            }
        }
    }
}

struct Forget<'a> {
    calls: &'a Calls,
    id: u32,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.calls.waiting.lock().calls.remove(&self.id);
    }
}

impl Outcome {
    /// For a batch of `events` events.
    pub(crate) fn into_result(self, events: usize) -> std::result::Result<(), SendError> {
        match self {
            Self::Done { .. } => Ok(()),
            Self::Failed { message, retry_after_ms } => {
                Err(SendError::Retry { message, after: retry_after_ms.map(Duration::from_millis) })
            }
            // The destination names the events that it rejects, or rejects all.
            Self::Rejected { message, events: Some(named), others_delivered } => {
                let events = named.into_iter().map(|index| (index, message.clone())).collect();
                Err(SendError::EventsRejected { events, others_delivered })
            }
            Self::Rejected { message, events: None, .. } => {
                let events = (0..events).map(|index| (index, message.clone())).collect();
                Err(SendError::EventsRejected { events, others_delivered: true })
            }
        }
    }
}
