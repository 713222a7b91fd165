use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde_json::Value;

use crate::server::{Kept, event_id};
use crate::{Faults, POISON};

/// How far a timestamp may be from now.
const TOLERANCE_SECONDS: u64 = 300;

/// An endpoint that verifies as Standard Webhooks has it.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// What it accepted.
    pub kept: Kept,
    /// What it does wrong.
    pub faults: Faults,
    /// `whsec_…`; a test may rotate it.
    pub secret: Arc<Mutex<String>>,
    /// `webhook-id` of each request that was verified.
    pub message_ids: Arc<Mutex<Vec<String>>>,
}

impl Webhook {
    /// One with this secret.
    pub fn new(secret: &str) -> Self {
        Self {
            kept: Kept::default(),
            faults: Faults::default(),
            secret: Arc::new(Mutex::new(secret.to_owned())),
            message_ids: Arc::default(),
        }
    }

    /// Its routes.
    pub fn router(&self) -> Router {
        Router::new().route("/hook", post(take)).with_state(self.clone())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a signature is compared with the machine's clock"
    )]
    fn is_signed(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let header = |name: &str| {
            headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let is_current =
            timestamp.parse::<u64>().is_ok_and(|at| at.abs_diff(now) <= TOLERANCE_SECONDS);
        let secret = self.secret.lock().clone();
        let key = STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap_or_default();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
        let is_right = |signature: &str| {
            let given = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
            given.is_some_and(|given| hmac::verify(&key, &signed, &given).is_ok())
        };
        !id.is_empty() && is_current && header("webhook-signature").split(' ').any(is_right)
    }
}

async fn take(
    State(hook): State<Webhook>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    if !hook.is_signed(&headers, &body) {
        return (StatusCode::UNAUTHORIZED, "the signature does not verify");
    }
    if String::from_utf8_lossy(&body).contains(POISON) {
        return (StatusCode::UNPROCESSABLE_ENTITY, "not an event that I take");
    }
    let events: Vec<Value> = match serde_json::from_slice(&body) {
        Ok(Value::Array(events)) => events,
        Ok(event) => vec![event],
        Err(_) => return (StatusCode::BAD_REQUEST, "not JSON"),
    };
    let id = headers.get("webhook-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
    hook.message_ids.lock().push(id.to_owned());
    hook.kept.add(events.iter().filter_map(event_id));
    (StatusCode::NO_CONTENT, "")
}
