//! Hands failures, dead letters and figures to JavaScript.

use std::sync::{Arc, Weak};

use grantex_destinations::{
    DeliveryFailure, DestinationStats, EventSource, Observer, Phase, RejectedEvent,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::calls::Calls;

/// Passes what the pipelines report to JavaScript.
pub(crate) struct ObserverBridge {
    calls: Weak<Calls>,
}

impl ObserverBridge {
    pub(crate) fn new(calls: &Arc<Calls>) -> Self {
        Self { calls: Arc::downgrade(calls) }
    }

    fn notify(&self, kind: &str, destination: &str, payload: &Value) {
        if let Some(calls) = self.calls.upgrade() {
            calls.notify(kind, destination, payload.to_string());
        }
    }
}

impl Observer for ObserverBridge {
    fn failed(&self, failure: &DeliveryFailure<'_>) {
        let payload = json!({
            "message": failure.message,
            "failures": failure.failures,
            "needsAction": failure.needs_action,
            "retryInMs": failure.retry_in.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
        });
        self.notify("failed", failure.destination, &payload);
    }

    fn rejected(&self, destination: &str, letters: &[RejectedEvent]) {
        // The envelopes are JSON already.
        let letter = |letter: &RejectedEvent| {
            let reason = Value::from(letter.reason.as_str());
            format!(r#"{{"reason":{reason},"event":{}}}"#, letter.event.json())
        };
        let payload = letters.iter().map(letter).collect::<Vec<_>>().join(",");
        if let Some(calls) = self.calls.upgrade() {
            calls.insist("rejected", destination, format!("[{payload}]"));
        }
    }
}

/// A destination's figures.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stats {
    name: String,
    phase: &'static str,
    is_retrying: bool,
    is_failing: bool,
    delivered: u64,
    batches: u64,
    retries: u64,
    dead_letters: u64,
    pending: u64,
    rate: f64,
    cursor: Option<String>,
    last_error: Option<String>,
    recovered_at_ms: Option<u64>,
}

impl Stats {
    pub(crate) fn of(source: &EventSource) -> Vec<Self> {
        source.stats().into_iter().map(Self::from).collect()
    }
}

impl From<DestinationStats> for Stats {
    fn from(stats: DestinationStats) -> Self {
        Self {
            phase: match stats.phase {
                Phase::Stopped => "stopped",
                Phase::Failed => "failed",
                _ => "running",
            },
            name: stats.name,
            is_retrying: stats.is_retrying,
            is_failing: stats.is_failing,
            delivered: stats.delivered,
            batches: stats.batches,
            retries: stats.retries,
            dead_letters: stats.dead_letters,
            pending: stats.pending,
            rate: stats.rate,
            cursor: stats.cursor.map(|cursor| cursor.to_string()),
            last_error: stats.last_error,
            recovered_at_ms: stats.recovered_at_ms,
        }
    }
}
