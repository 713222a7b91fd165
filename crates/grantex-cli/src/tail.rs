//! Following a log over SSE: reconnects by itself and resumes where it was.

use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use grantex_types::sse::{Decoder, Item};
use reqwest::{Method, StatusCode};
use tokio::sync::mpsc;

use crate::Failure;
use crate::api::{Api, query_text, refusal};

/// A service is never silent for 5 s; three times that is a dead connection.
const SILENCE: Duration = Duration::from_secs(15);
/// The longest delay between two tries.
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// The longest event that is accepted.
const LONGEST_EVENT: usize = 4 << 20;
/// Events that may wait for the printer before the connection is held back.
const WAITING: usize = 256;

/// What to follow.
#[derive(Debug, Clone, Default)]
pub(crate) struct Follow {
    /// Query parameters of the first connection and of every later one.
    pub(crate) filter: Vec<(&'static str, String)>,
    /// Where to start, if not now.
    pub(crate) since: Option<String>,
    /// Go on after this event.
    pub(crate) after: Option<String>,
}

/// What happens while following.
pub(crate) enum Followed {
    /// An event's envelope.
    Event(String),
    /// The connection was lost and is tried again.
    Reconnecting(String),
    /// There is no way to go on.
    Ended(Failure),
}

/// Follows in the background, until the receiver is dropped.
pub(crate) fn follow(api: Api, what: Follow) -> mpsc::Receiver<Followed> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let mut follower = Follower { api, what, cursor: None, delay: Duration::from_secs(1), failures: 0 };
        follower.cursor.clone_from(&follower.what.after);
        while let Err(reason) = follower.connect(&sender).await {
            let message = match reason {
                Broken::Fatal(failure) => Followed::Ended(failure),
                Broken::Passing(reason) => Followed::Reconnecting(reason),
            };
            let fatal = matches!(message, Followed::Ended(_));
            if sender.send(message).await.is_err() || fatal {
                return;
            }
            tokio::time::sleep(follower.next_delay()).await;
        }
    });
    receiver
}

struct Follower {
    api: Api,
    what: Follow,
    cursor: Option<String>,
    delay: Duration,
    failures: u32,
}

enum Broken {
    Passing(String),
    Fatal(Failure),
}

impl Follower {
    /// Reads one connection until it breaks. `Ok` when nobody listens any more.
    async fn connect(&mut self, sender: &mpsc::Sender<Followed>) -> Result<(), Broken> {
        let passing = |reason: &dyn std::fmt::Display| Broken::Passing(reason.to_string());
        let mut query = self.what.filter.clone();
        if self.cursor.is_none()
            && let Some(since) = &self.what.since
        {
            query.push(("since", since.clone()));
        }
        let mut request = self.api.request(Method::GET, &format!("/v1/events/stream{}", query_text(&query)));
        if let Some(cursor) = &self.cursor {
            request = request.header("Last-Event-ID", cursor);
        }
        let response = tokio::time::timeout(SILENCE, request.send()).await;
        let response = response.map_err(|_| passing(&"no answer"))?;
        let response = response.map_err(|error| Broken::Passing(self.api.unreachable(&error)))?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_server_error() || matches!(status.as_u16(), 408 | 429) => {
                return Err(Broken::Passing(refusal(response).await.to_string()));
            }
            _ => return Err(Broken::Fatal(refusal(response).await)),
        }
        let mut decoder = Decoder::new(LONGEST_EVENT);
        let mut bytes = response.bytes_stream();
        let mut items = Vec::new();
        loop {
            let chunk = match tokio::time::timeout(SILENCE, bytes.next()).await {
                Err(_) => return Err(passing(&"the connection went silent")),
                Ok(None) => return Err(passing(&"the service ended the stream")),
                Ok(Some(Err(error))) => return Err(passing(&error)),
                Ok(Some(Ok(chunk))) => chunk,
            };
            self.failures = 0;
            decoder.feed(&chunk, &mut items).map_err(|error| passing(&error))?;
            for item in items.drain(..) {
                match item {
                    Item::Cursor(id) => self.cursor = Some(id),
                    Item::Retry(delay) => self.delay = delay,
                    Item::Comment => {}
                    Item::Message { data, .. } => {
                        if sender.send(Followed::Event(data)).await.is_err() {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// Exponential with full jitter, so that many clients do not come back at once.
    fn next_delay(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let longest = self.delay.saturating_mul(1 << self.failures.min(5)).min(LONGEST_DELAY);
        let nanos =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
        longest.mul_f64(f64::from(nanos) / 1e9)
    }
}
