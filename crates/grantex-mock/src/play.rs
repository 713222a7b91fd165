//! Answers, streams among them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::cases::{Answer, LOG_OPENING, Step, frame};
use crate::session::{Session, Turn};

/// The connection is to break.
#[derive(Debug)]
pub(crate) struct Break;

impl std::fmt::Display for Break {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the case breaks the connection here")
    }
}

impl std::error::Error for Break {}

pub(crate) type Body = BoxBody<Bytes, Break>;

/// What was sent before a break gets out first.
const BEFORE_A_CUT: Duration = Duration::from_millis(3);
const REQUEST_ID: &str = "req_vector";

/// Plays the turn's answer.
pub(crate) async fn answer(
    session: Arc<Session>,
    turn: Turn,
    events: Arc<BTreeMap<String, Value>>,
    last_event_id: Option<String>,
) -> Result<Response<Body>, Break> {
    let Turn { answer, number } = turn;
    if answer.drop {
        return Err(Break);
    }
    if answer.stall {
        return std::future::pending().await;
    }
    let (kind, body) = if let Some(steps) = answer.stream.clone() {
        ("text/event-stream", stream(session, events, steps))
    } else if let Some(names) = &answer.log {
        let cut = (number == 0).then_some(session.variant);
        (
            "text/event-stream",
            stream(session, events.clone(), log(names, &events, last_event_id.as_deref(), cut)),
        )
    } else if let Some(json) = &answer.json {
        ("application/json", full(json.to_string()))
    } else {
        ("text/html", full(answer.text.clone().unwrap_or_default()))
    };
    Ok(response(&answer, kind, body))
}

pub(crate) fn full(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed()
}

fn response(answer: &Answer, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() =
        answer.status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static(kind));
    headers.insert("x-request-id", HeaderValue::from_static(REQUEST_ID));
    for (name, value) in &answer.headers {
        let dated = value
            .strip_prefix('+')
            .and_then(|rest| rest.strip_suffix('s'))
            .and_then(|s| s.parse().ok());
        let value = dated.map_or_else(|| value.clone(), http_date);
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
            headers.insert(name, value);
        }
    }
    response
}

/// The date so many seconds from now, as HTTP writes it.
#[expect(clippy::disallowed_methods, reason = "the date of an answer")]
fn http_date(seconds: u64) -> String {
    let at = SystemTime::now()
        .checked_add(Duration::from_secs(seconds))
        .unwrap_or(SystemTime::UNIX_EPOCH);
    httpdate::fmt_http_date(at)
}

/// What a log serves after `last`, cut after so many bytes.
fn log(
    names: &[String],
    events: &BTreeMap<String, Value>,
    last: Option<&str>,
    cut: Option<usize>,
) -> Vec<Step> {
    let id =
        |name: &String| events.get(name).and_then(|event| event.get("id")).and_then(Value::as_str);
    let due = names.iter().filter(|name| id(name) > last);
    let mut text = LOG_OPENING.replace(
        "evt_00000000000000000000000000",
        last.unwrap_or("evt_00000000000000000000000000"),
    );
    text.extend(due.filter_map(|name| frame(name, events).ok()));
    match cut {
        Some(cut) => vec![Step::Send(text.get(..cut).unwrap_or(&text).to_owned()), Step::Cut],
        None => vec![Step::Send(text), Step::Hold],
    }
}

fn stream(session: Arc<Session>, events: Arc<BTreeMap<String, Value>>, steps: Vec<Step>) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let player = Player { session: session.clone(), events, sender };
        for step in steps {
            if player.step(step).await.is_none() {
                break;
            }
        }
        session.answered();
    });
    let chunks = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    http_body_util::BodyExt::boxed(StreamBody::new(
        chunks.map(|chunk: Result<Bytes, Break>| chunk.map(Frame::data)),
    ))
}

struct Player {
    session: Arc<Session>,
    events: Arc<BTreeMap<String, Value>>,
    sender: mpsc::Sender<Result<Bytes, Break>>,
}

impl Player {
    /// `None` when the client is gone.
    async fn step(&self, step: Step) -> Option<()> {
        match step {
            Step::Send(text) if text.is_empty() => Some(()),
            Step::Send(text) => self.send(text).await,
            Step::Event(name) => match frame(&name, &self.events) {
                Ok(text) => self.send(text).await,
                Err(problem) => {
                    self.session.problem(problem);
                    None
                }
            },
            Step::Wait(millis) => {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                Some(())
            }
            Step::KeepAlives(count, millis) => {
                for _ in 0..count {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    self.send(": keep-alive\n".into()).await?;
                }
                Some(())
            }
            Step::Cut => {
                tokio::time::sleep(BEFORE_A_CUT).await;
                self.sender.send(Err(Break)).await.ok()
            }
            Step::Hold => {
                self.session.hold();
                self.sender.closed().await;
                self.session.released();
                None
            }
            Step::Flood(bytes) => self.flood(bytes).await,
        }
    }

    async fn send(&self, text: String) -> Option<()> {
        self.sender.send(Ok(Bytes::from(text))).await.ok()
    }

    async fn flood(&self, bytes: usize) -> Option<()> {
        let padding = "x".repeat(8 << 10);
        self.session.hold();
        let mut written = 0_usize;
        let mut number = 0_u64;
        let ended = loop {
            if written >= bytes {
                self.session
                    .problem(format!("it took in {written} bytes while its consumer held it back"));
                break Some(());
            }
            number = number.saturating_add(1);
            let id = format!("evt_1{number:025}");
            let text = format!(
                "id: {id}\ndata: {{\"id\":\"{id}\",\"type\":\"flood\",\"createdAt\":\"2026-03-01T12:00:00.000Z\",\"data\":{{\"padding\":\"{padding}\"}}}}\n\n"
            );
            written = written.saturating_add(text.len());
            if self.send(text).await.is_none() {
                break None;
            }
        };
        self.session.released();
        ended
    }
}
