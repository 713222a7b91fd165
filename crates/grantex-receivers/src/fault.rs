use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// What a receiver does wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Refuses it with this status.
    Status(u16),
    /// Refuses it with 429 and asks to wait for so many seconds.
    Throttle(u64),
    /// Takes it, and then answers with this status: the sender cannot know.
    TakenButStatus(u16),
    /// Takes it, and breaks the connection off in the answer.
    TakenButReset,
    /// Breaks the connection off.
    Reset,
    /// Says nothing for so many milliseconds, and then refuses with 503.
    Hang(u64),
}

/// What a receiver will do wrong, request by request; then it does nothing wrong any more. Clones
/// are the same list.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    next: Arc<Mutex<VecDeque<Fault>>>,
}

impl Faults {
    /// One fault for each of the next requests.
    pub fn add(&self, faults: impl IntoIterator<Item = Fault>) {
        self.next.lock().extend(faults);
    }

    /// Does nothing wrong any more.
    pub fn clear(&self) {
        self.next.lock().clear();
    }

    /// How many are to come.
    pub fn left(&self) -> usize {
        self.next.lock().len()
    }
}

pub(crate) async fn inject(State(faults): State<Faults>, request: Request, next: Next) -> Response {
    let fault = faults.next.lock().pop_front();
    match fault {
        None => next.run(request).await,
        Some(Fault::Status(status)) => answer(status, None),
        Some(Fault::Throttle(seconds)) => answer(429, Some(seconds)),
        Some(Fault::TakenButStatus(status)) => {
            next.run(request).await;
            answer(status, None)
        }
        Some(Fault::TakenButReset) => {
            next.run(request).await;
            broken()
        }
        Some(Fault::Reset) => broken(),
        Some(Fault::Hang(millis)) => {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            answer(503, None)
        }
    }
}

fn answer(status: u16, retry_after: Option<u64>) -> Response {
    let mut response = Response::new(Body::from("a fault of the test"));
    *response.status_mut() = axum::http::StatusCode::from_u16(status).unwrap_or_default();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert("retry-after", seconds.into());
    }
    response
}

/// An answer whose body fails: the connection is closed in the middle of it.
fn broken() -> Response {
    let failing = futures_util::stream::once(async {
        Err::<bytes::Bytes, _>(std::io::Error::other("reset"))
    });
    Response::new(Body::from_stream(failing))
}
