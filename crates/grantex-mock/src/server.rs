//! The HTTP front: `GET /cases`, `POST /sessions`, `GET /sessions/{n}`, and each session's own base
//! URL `/s/{n}`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::cases::{self, Case};
use crate::play::{self, Body, Break};
use crate::session::Session;

struct Mock {
    base: String,
    cases: Vec<Case>,
    events: Arc<BTreeMap<String, Value>>,
    sessions: Mutex<Vec<Arc<Session>>>,
}

#[derive(Deserialize)]
struct Open {
    case: String,
    #[serde(default)]
    variant: usize,
}

/// Serves the cases of `folder` on a free port of the loopback; gives the base URL.
pub async fn start(folder: &Path) -> Result<String, String> {
    let (cases, events) = cases::load(folder)?;
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    let base = format!("http://{}", listener.local_addr().map_err(|error| error.to_string())?);
    let mock = Arc::new(Mock {
        base: base.clone(),
        cases,
        events: Arc::new(events),
        sessions: Mutex::default(),
    });
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let _ = socket.set_nodelay(true);
            let mock = mock.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| handle(mock.clone(), request));
                // It fails where a case breaks the connection.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(socket), service)
                    .await;
            });
        }
    });
    Ok(base)
}

async fn handle(mock: Arc<Mock>, request: Request<Incoming>) -> Result<Response<Body>, Break> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Break)?.to_bytes();
    let path = parts.uri.path().to_owned();
    let answer =
        match path.strip_prefix('/').and_then(|rest| rest.split_once('/')).unwrap_or((&path, "")) {
            ("/cases", _) => Ok(json!({ "cases": mock.cases })),
            ("/sessions", _) => mock.open(&body),
            ("sessions", number) => match mock.session(number) {
                Some(session) => Ok(session.verdict().await),
                None => Err("no such session"),
            },
            ("s", rest) => {
                let (number, _) = rest.split_once('/').unwrap_or((rest, ""));
                let Some(session) = mock.session(number) else {
                    return Ok(reply(&Err("no such session")));
                };
                let below = rest.get(number.len()..).unwrap_or_default().to_owned();
                let last = parts
                    .headers
                    .get("last-event-id")
                    .and_then(|id| id.to_str().ok())
                    .map(str::to_owned);
                return match session.turn(parts, &below, &body) {
                    Some(turn) => play::answer(session, turn, mock.events.clone(), last).await,
                    // A status that no client tries again.
                    None => Ok(reply(&Err("the case has no answer to this"))),
                };
            }
            _ => Err("no such path"),
        };
    Ok(reply(&answer))
}

impl Mock {
    fn open(&self, body: &[u8]) -> Result<Value, &'static str> {
        let open: Open = serde_json::from_slice(body).map_err(|_| "expected {case, variant?}")?;
        let case = self.cases.iter().find(|case| case.name == open.case).ok_or("no such case")?;
        let mut sessions = self.sessions.lock();
        let number = sessions.len();
        sessions.push(Arc::new(Session::new(case.clone(), open.variant)));
        Ok(json!({ "session": number, "base": format!("{}/s/{number}", self.base) }))
    }

    fn session(&self, number: &str) -> Option<Arc<Session>> {
        self.sessions.lock().get(number.parse::<usize>().ok()?).cloned()
    }
}

fn reply(answer: &Result<Value, &'static str>) -> Response<Body> {
    let (status, body) = match answer {
        Ok(value) => (StatusCode::OK, value.clone()),
        Err(message) => (
            StatusCode::BAD_REQUEST,
            json!({ "message": message, "code": "BAD_REQUEST", "requestId": "req_mock" }),
        ),
    };
    let mut response = Response::new(play::full(body.to_string()));
    *response.status_mut() = status;
    response
}
