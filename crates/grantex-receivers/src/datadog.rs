use std::io::Read as _;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use flate2::read::GzDecoder;
use parking_lot::Mutex;
use serde_json::Value;

use crate::server::{Kept, event_id};
use crate::{Faults, POISON};

/// The intake's limits: payload and entry in bytes, entries.
const MOST_BYTES: usize = 5_000_000;
const MOST_ENTRIES: usize = 1000;
const MOST_ENTRY_BYTES: usize = 1_000_000;

/// The Datadog log intake.
#[derive(Debug, Clone)]
pub struct Datadog {
    /// What it accepted.
    pub kept: Kept,
    /// What it does wrong.
    pub faults: Faults,
    /// The key that it knows; a test may rotate it.
    pub api_key: Arc<Mutex<String>>,
    /// The entries themselves.
    pub entries: Arc<Mutex<Vec<Value>>>,
    /// Entries that it took and cut off, as the real one does without a word.
    pub cut_off: Arc<Mutex<usize>>,
}

impl Datadog {
    /// One that knows this key.
    pub fn new(api_key: &str) -> Self {
        Self {
            kept: Kept::default(),
            faults: Faults::default(),
            api_key: Arc::new(Mutex::new(api_key.to_owned())),
            entries: Arc::default(),
            cut_off: Arc::default(),
        }
    }

    /// Its routes.
    pub fn router(&self) -> Router {
        Router::new().route("/api/v2/logs", post(take)).with_state(self.clone())
    }
}

async fn take(
    State(intake): State<Datadog>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    match intake.accept(&headers, &body) {
        Ok(()) => (StatusCode::ACCEPTED, "{}".into()),
        Err((status, reason)) => (status, serde_json::json!({"errors": [reason]}).to_string()),
    }
}

impl Datadog {
    fn accept(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), (StatusCode, &'static str)> {
        let header = |name: &str| {
            headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        if header("dd-api-key") != *self.api_key.lock() {
            return Err((StatusCode::FORBIDDEN, "Forbidden"));
        }
        if header("content-type") != "application/json" {
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type"));
        }
        let mut plain = Vec::new();
        match header("content-encoding") {
            "gzip" => GzDecoder::new(body)
                .read_to_end(&mut plain)
                .map(drop)
                .map_err(|_| (StatusCode::BAD_REQUEST, "not gzip"))?,
            "" => plain.extend_from_slice(body),
            _ => return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported content encoding")),
        }
        if plain.len() > MOST_BYTES {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, "Payload too large"));
        }
        let entries: Vec<Value> = serde_json::from_slice(&plain)
            .map_err(|_| (StatusCode::BAD_REQUEST, "Invalid JSON"))?;
        if entries.len() > MOST_ENTRIES {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, "Too many entries"));
        }
        let mut ids = Vec::new();
        for entry in &entries {
            let is_text = |name: &str| entry.get(name).is_none_or(Value::is_string);
            if !["ddsource", "ddtags", "hostname", "service", "message"].into_iter().all(is_text) {
                return Err((StatusCode::BAD_REQUEST, "An attribute is no string"));
            }
            let message = entry.get("message").and_then(Value::as_str).unwrap_or_default();
            if message.contains(POISON) {
                return Err((StatusCode::BAD_REQUEST, "Invalid log"));
            }
            if entry.to_string().len() > MOST_ENTRY_BYTES {
                *self.cut_off.lock() += 1;
            }
            let event = serde_json::from_str(message)
                .map_err(|_| (StatusCode::BAD_REQUEST, "message is no event"))?;
            ids.extend(event_id(&event));
        }
        self.kept.add(ids);
        self.entries.lock().extend(entries);
        Ok(())
    }
}
