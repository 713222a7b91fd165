//! The native half of `@grantex/destinations`: a Node-API addon around [`grantex_destinations`].
//!
//! The TypeScript half is the package's interface. Between the two there is one class,
//! [`NativeSource`], and one JavaScript function, which it calls with batches for destinations
//! written in JavaScript, log records, failures, dead letters, and at last with the end of the
//! source. All other values are passed as JSON texts.
//!
//! Each source has its own thread and runtime, which end with it.

#![allow(
    unsafe_code,
    missing_docs,
    reason = "what #[napi] expands to; unsafe code of our own there is none"
)]
#![allow(clippy::needless_pass_by_value, reason = "#[napi] functions own what they are given")]

mod calls;
mod custom;
mod error;
mod log;
mod names;
mod observe;
mod options;
mod runner;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use grantex_destinations::{DeadLetters, EventSource, SourceError, State, StateError};
use napi::bindgen_prelude::{FnArgs, Function};
use napi_derive::napi;
use tokio::time::sleep;

use crate::calls::Calls;
use crate::custom::{Custom, Methods};
use crate::error::NativeError;
use crate::runner::Runner;

/// How often the state is checked for delivered dead letters: a pipeline takes them up about once a
/// second.
const REDELIVERY_INTERVAL: Duration = Duration::from_millis(100);

/// A source of events, with its destinations.
#[napi]
pub struct NativeSource {
    calls: Arc<Calls>,
    runner: Runner,
}

#[napi]
impl NativeSource {
    /// Makes a source that is not started. Throws an error whose message is a `NativeError` in
    /// JSON.
    ///
    /// `options` are the source's as JSON, without the API key if a function gives it; `call` is
    /// called as `call(kind, id, destination, payload)`.
    #[napi(constructor)]
    pub fn new(
        options: String,
        asks_for_key: bool,
        call: Function<'_, FnArgs<(String, u32, String, String)>, ()>,
    ) -> napi::Result<Self> {
        let calls = Arc::new(Calls::new(&call)?);
        let runner = Runner::new(&options, asks_for_key, &calls)?;
        Ok(Self { calls, runner })
    }

    /// Adds a destination of this package: its name, its type and its options as JSON.
    #[napi]
    pub fn add_builtin(&self, name: String, kind: String, options: String) -> napi::Result<()> {
        let options = options::in_snake_case(&options).map_err(|error| error.of(&name))?;
        Ok(self
            .runner
            .add(|source| Ok(options::definition(&name, &kind, options)?.add_to(source)?))?)
    }

    /// Adds a destination that is written in JavaScript.
    #[napi]
    pub fn add_custom(
        &self,
        name: String,
        has_flush: bool,
        has_close: bool,
        options: String,
    ) -> napi::Result<()> {
        let delivery = options::in_snake_case(&options).and_then(options::delivery);
        let delivery = delivery.map_err(|error| error.of(&name))?;
        let methods = Methods { has_flush, has_close };
        let destination = Custom::new(name.clone(), methods, Arc::clone(&self.calls));
        let add = |source: &EventSource| source.add_destination_with(destination, &delivery);
        Ok(self.runner.add(|source| add(source).map_err(|error| error.of(&name).into()))?)
    }

    /// Starts it. When it has ended, `call("ended", …)` is the last call; then `join` must be
    /// called.
    #[napi]
    pub fn start(&self) {
        self.runner.start();
    }

    /// Waits for the end of its thread after the last call: microseconds.
    #[napi]
    pub fn join(&self) {
        self.runner.join();
    }

    /// Stops it in order.
    #[napi]
    pub fn stop(&self) {
        self.runner.stop();
    }

    /// Asks for the dead letters that are kept. This and the next two are answered by
    /// `call("answer", id, …)`.
    #[napi]
    pub fn dead_letters(&self, id: u32) {
        self.ask_state(id, |state| async move {
            let letters = state.dead_letters(DeadLetters::default()).await?;
            Ok(serde_json::to_string(&letters).unwrap_or_default())
        });
    }

    /// Delivers dead letters again. The answer has the counts, and comes when none waits any more
    /// or `wait_ms` have passed.
    #[napi]
    pub fn redeliver(&self, id: u32, numbers: Vec<i64>, wait_ms: u32) {
        let limit = Duration::from_millis(wait_ms.into());
        self.ask_state(id, move |state| async move {
            state.retry_dead_letters(&numbers).await?;
            let begun = Instant::now();
            loop {
                let so_far = state.redelivery(&numbers).await?;
                if so_far.waiting == 0 || begun.elapsed() >= limit {
                    return Ok(serde_json::to_string(&so_far).unwrap_or_default());
                }
                sleep(REDELIVERY_INTERVAL.min(limit)).await;
            }
        });
    }

    /// Deletes dead letters.
    #[napi]
    pub fn drop_dead_letters(&self, id: u32, numbers: Vec<i64>) {
        self.ask_state(id, |state| async move {
            state.drop_dead_letters(&numbers).await.map(|()| "null".to_owned())
        });
    }

    /// Frees a source that was not started.
    #[napi]
    pub fn discard(&self) {
        self.calls.close();
        self.runner.discard();
    }

    /// Receives the outcome of the call with this id, as JSON.
    #[napi]
    pub fn complete(&self, id: u32, outcome: String) {
        self.calls.complete(id, &outcome);
    }

    /// The destinations' figures, as JSON.
    #[napi]
    pub fn stats(&self) -> String {
        serde_json::to_string(&self.runner.stats()).unwrap_or_default()
    }
}

impl NativeSource {
    /// Answers with the result of `ask`, a value in JSON. A source that has ended does not answer.
    fn ask_state<F>(&self, id: u32, ask: impl FnOnce(State) -> F)
    where
        F: Future<Output = Result<String, StateError>> + Send + 'static,
    {
        let Some(state) = self.runner.state() else { return };
        let (calls, answering) = (Arc::clone(&self.calls), ask(state));
        self.runner.spawn(async move {
            let answer = match answering.await {
                Ok(value) => format!(r#"{{"value":{value}}}"#),
                Err(error) => {
                    format!(
                        r#"{{"error":{}}}"#,
                        NativeError::from(SourceError::from(error)).to_json()
                    )
                }
            };
            calls.answer(id, answer);
        });
    }
}
