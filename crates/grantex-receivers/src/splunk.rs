use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::server::{Kept, event_id};
use crate::{Faults, POISON};

/// `max_content_length` of a collector that is set tight.
const MOST_BYTES: usize = 2 << 20;

/// The cookie by which a load balancer finds the indexer again.
const SESSION: &str = "AWSALB=indexer-7";

/// The Splunk HTTP Event Collector, with an indexer behind it.
#[derive(Debug, Clone)]
pub struct Splunk {
    /// What is indexed.
    pub kept: Kept,
    /// What it does wrong.
    pub faults: Faults,
    /// The token that it knows; a test may rotate it.
    pub token: Arc<Mutex<String>>,
    /// The events themselves, as they came.
    pub events: Arc<Mutex<Vec<Value>>>,
    /// The token demands indexer acknowledgement.
    pub ack: bool,
    /// Batches that it takes and then loses before they are indexed: never acknowledged.
    pub loses: Arc<Mutex<usize>>,
    acks: Arc<Mutex<Acks>>,
}

#[derive(Debug, Default)]
struct Acks {
    next: u64,
    /// What waits to be indexed, by channel and id, with the questions until then.
    waiting: BTreeMap<(String, u64), (Vec<Value>, u32)>,
}

/// How often an acknowledgement is asked for before it is given.
const QUESTIONS: u32 = 2;

impl Splunk {
    /// One that knows this token.
    pub fn new(token: &str, ack: bool) -> Self {
        Self {
            kept: Kept::default(),
            faults: Faults::default(),
            token: Arc::new(Mutex::new(token.to_owned())),
            events: Arc::default(),
            ack,
            loses: Arc::default(),
            acks: Arc::default(),
        }
    }

    /// Its routes.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/services/collector/event", post(take))
            .route("/services/collector/ack", post(acknowledge))
            .route(
                "/services/collector/health/1.0",
                get(|| async { said(200, "HEC is healthy", 17) }),
            )
            .with_state(self.clone())
    }

    fn authorize(&self, headers: &HeaderMap) -> Result<(), Box<Response>> {
        let given = headers.get("authorization").and_then(|value| value.to_str().ok());
        match given.map(|value| value.strip_prefix("Splunk ")) {
            None => Err(Box::new(said(401, "Token is required", 2))),
            Some(None) => Err(Box::new(said(401, "Invalid authorization", 3))),
            Some(Some(token)) if token != *self.token.lock() => {
                Err(Box::new(said(403, "Invalid token", 4)))
            }
            Some(Some(_)) => Ok(()),
        }
    }

    fn channel(&self, headers: &HeaderMap) -> Result<String, Box<Response>> {
        let channel = headers.get("x-splunk-request-channel").and_then(|value| value.to_str().ok());
        match channel {
            None if self.ack => Err(Box::new(said(400, "Data channel is missing", 10))),
            None => Ok(String::new()),
            Some(channel) if is_guid(channel) => Ok(channel.to_owned()),
            Some(_) => Err(Box::new(said(400, "Invalid data channel", 11))),
        }
    }

    fn index(&self, events: &[Value]) {
        self.kept.add(events.iter().filter_map(|event| event_id(event.get("event")?)));
        self.events.lock().extend_from_slice(events);
    }
}

fn is_guid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

fn said(status: u16, text: &str, code: u32) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or_default();
    (status, axum::Json(json!({"text": text, "code": code}))).into_response()
}

async fn take(State(splunk): State<Splunk>, headers: HeaderMap, body: Bytes) -> Response {
    let channel = match splunk.authorize(&headers).and_then(|()| splunk.channel(&headers)) {
        Ok(channel) => channel,
        Err(refusal) => return *refusal,
    };
    if body.is_empty() {
        return said(400, "No data", 5);
    }
    if body.len() > MOST_BYTES {
        return said(413, "Request entity too large", 27);
    }
    let mut events: Vec<Value> = Vec::new();
    for event in serde_json::Deserializer::from_slice(&body).into_iter::<Value>() {
        let number = events.len();
        let fault = match &event {
            Err(_) => Some(("Invalid data format", 6)),
            Ok(event) => fault_of(event),
        };
        if let Some((text, code)) = fault {
            // What came before is indexed already.
            splunk.index(&events);
            let answer = json!({"text": text, "code": code, "invalid-event-number": number});
            return (StatusCode::BAD_REQUEST, axum::Json(answer)).into_response();
        }
        events.extend(event);
    }
    if channel.is_empty() {
        splunk.index(&events);
        return said(200, "Success", 0);
    }
    let mut acks = splunk.acks.lock();
    let id = acks.next;
    acks.next += 1;
    let mut loses = splunk.loses.lock();
    if *loses > 0 {
        *loses -= 1;
    } else {
        acks.waiting.insert((channel, id), (events, QUESTIONS));
    }
    let answer = axum::Json(json!({"text": "Success", "code": 0, "ackId": id}));
    (StatusCode::OK, [("set-cookie", format!("{SESSION}; Path=/; HttpOnly"))], answer)
        .into_response()
}

fn fault_of(event: &Value) -> Option<(&'static str, u32)> {
    match event.get("event") {
        None => return Some(("Event field is required", 12)),
        Some(Value::String(text)) if text.is_empty() => {
            return Some(("Event field cannot be blank", 13));
        }
        Some(_) => {}
    }
    if event.get("index").is_some_and(|index| index == "forbidden") {
        return Some(("Incorrect index", 7));
    }
    let is_flat =
        |fields: &Value| fields.as_object().is_some_and(|map| !map.values().any(Value::is_object));
    if event.get("fields").is_some_and(|fields| !is_flat(fields)) {
        return Some(("Error in handling indexed fields", 15));
    }
    let has_time = event.get("time").is_none_or(Value::is_number);
    (!has_time || event.to_string().contains(POISON)).then_some(("Invalid data format", 6))
}

async fn acknowledge(State(splunk): State<Splunk>, headers: HeaderMap, body: Bytes) -> Response {
    if !splunk.ack {
        return said(400, "ACK is disabled", 14);
    }
    let channel = match splunk.authorize(&headers).and_then(|()| splunk.channel(&headers)) {
        Ok(channel) => channel,
        Err(refusal) => return *refusal,
    };
    let cookie = headers.get("cookie").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(ids) = asked.get("acks").and_then(Value::as_array) else {
        return said(400, "Invalid data format", 6);
    };
    let mut answers = serde_json::Map::new();
    for id in ids.iter().filter_map(Value::as_u64) {
        // Another indexer than the one that has the events knows nothing of them.
        let is_done = cookie.contains(SESSION) && splunk.is_indexed(&channel, id);
        answers.insert(id.to_string(), is_done.into());
    }
    axum::Json(json!({"acks": answers})).into_response()
}

impl Splunk {
    fn is_indexed(&self, channel: &str, id: u64) -> bool {
        let mut acks = self.acks.lock();
        let key = (channel.to_owned(), id);
        match acks.waiting.get_mut(&key) {
            None => false,
            Some((_, questions)) if *questions > 1 => {
                *questions -= 1;
                false
            }
            Some(_) => {
                if let Some((events, _)) = acks.waiting.remove(&key) {
                    self.index(&events);
                }
                true
            }
        }
    }
}
