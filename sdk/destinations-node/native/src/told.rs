//! What this side tells of itself: failures, dead letters, figures.

use std::sync::{Arc, Weak};

use grantex_destinations::{Condemned, DestinationStats, EventSource, Failure, Observer, Phase};
use serde::Serialize;
use serde_json::{Value, json};

use crate::calls::Calls;

/// Tells JavaScript what the pipelines tell.
pub(crate) struct Teller {
    calls: Weak<Calls>,
}

impl Teller {
    pub(crate) fn new(calls: &Arc<Calls>) -> Self {
        Self { calls: Arc::downgrade(calls) }
    }

    fn tell(&self, kind: &str, destination: &str, payload: &Value) {
        if let Some(calls) = self.calls.upgrade() {
            calls.tell(kind, destination, payload.to_string());
        }
    }
}

impl Observer for Teller {
    fn failed(&self, failure: &Failure<'_>) {
        let payload = json!({
            "message": failure.message,
            "failures": failure.failures,
            "needsSomebody": failure.needs_somebody,
            "retryInMs": failure.retry_in.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
        });
        self.tell("failed", failure.destination, &payload);
    }

    fn condemned(&self, destination: &str, letters: &[Condemned]) {
        // The envelopes are JSON already.
        let letter = |letter: &Condemned| {
            let reason = Value::from(letter.reason.as_str());
            format!(r#"{{"reason":{reason},"event":{}}}"#, letter.event.json())
        };
        let payload = letters.iter().map(letter).collect::<Vec<_>>().join(",");
        if let Some(calls) = self.calls.upgrade() {
            calls.insist("condemned", destination, format!("[{payload}]"));
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
