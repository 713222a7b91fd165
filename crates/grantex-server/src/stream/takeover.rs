//! Streams take their socket from HTTP.
//!
//! A stream lives for hours and does nothing but write. What HTTP keeps for a connection – buffers,
//! the state of a request, a body behind a trait – is many times what that needs. So once the
//! answer's head is decided, the socket leaves hyper: the head is written here, and then a task of
//! its own writes events.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::subscriber::Subscriber;
use super::transport::Transport;
use super::{sse, ws};
use crate::net::connection::Connection;
use crate::net::socket::Duplex;

/// A stream that waits for its socket.
pub(crate) enum Stream {
    Sse(Box<Subscriber>),
    WebSocket(Box<Subscriber>, ws::Terms),
}

/// A stream in its answer's extensions, which have to be `Clone`.
type Offered = Arc<Mutex<Option<Stream>>>;

/// The answer that begins a stream of Server-Sent Events.
pub(crate) fn sse(subscriber: Subscriber) -> Response {
    let mut response = Response::new(Body::empty());
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    offer(response, Stream::Sse(Box::new(subscriber)))
}

/// The answer that agrees to the upgrade to a WebSocket.
pub(crate) fn websocket(
    subscriber: Subscriber,
    terms: ws::Terms,
    upgrade: WebSocketUpgrade,
) -> Response {
    // The upgrade itself never happens: only the answer's head is needed.
    let response = upgrade.on_upgrade(|_| std::future::ready(()));
    offer(response, Stream::WebSocket(Box::new(subscriber), terms))
}

fn offer(mut response: Response, stream: Stream) -> Response {
    response.extensions_mut().insert::<Offered>(Arc::new(Mutex::new(Some(stream))));
    response
}

/// Takes the stream that an answer begins, if it begins one, with the answer's head as it goes onto
/// the wire.
pub(crate) fn take(method: &Method, response: &mut Response) -> Option<(Bytes, Stream)> {
    let stream = response.extensions_mut().remove::<Offered>()?.lock().take()?;
    // An answer to HEAD has the same head, and ends with it.
    (method == Method::GET).then(|| (head(response, stream.is_chunked()).into(), stream))
}

#[expect(clippy::disallowed_methods, reason = "HTTP wants the date; no rule depends on it")]
fn head(response: &Response, is_chunked: bool) -> String {
    let mut head = format!("HTTP/1.1 {}\r\n", response.status());
    let mut line = |name: &HeaderName, value: &str| {
        // Writing to a string cannot fail.
        let _ = write!(head, "{name}: {value}\r\n");
    };
    for (name, value) in response.headers() {
        // Those that the service sets are ASCII.
        if let Ok(value) = value.to_str()
            && name != header::CONTENT_LENGTH
        {
            line(name, value);
        }
    }
    line(&header::DATE, &httpdate::fmt_http_date(SystemTime::now()));
    if is_chunked {
        line(&header::TRANSFER_ENCODING, "chunked");
    }
    if !response.headers().contains_key(header::UPGRADE) {
        line(&header::CONNECTION, "close");
    }
    head.push_str("\r\n");
    head
}

impl Stream {
    /// What follows the answer's head comes in chunks of HTTP.
    fn is_chunked(&self) -> bool {
        let Self::Sse(subscriber) = self else { return false };
        subscriber.transport() == Transport::Sse { is_chunked: true }
    }

    /// Writes the answer's head and the stream, in a task of its own on the threads of streams,
    /// until one side ends the stream or the connection is cut. `early` is what the client sent
    /// after its request.
    pub(crate) fn spawn<S: Duplex>(
        self,
        socket: S,
        head: Bytes,
        early: Bytes,
        connection: Arc<Connection>,
        (tasks, threads): (&TaskTracker, &Handle),
    ) {
        // Two kinds of tasks: one that could be either would be as large as the larger.
        match self {
            Self::Sse(subscriber) => {
                tasks.spawn_on(sse::run(socket, connection, head, subscriber), threads);
            }
            Self::WebSocket(subscriber, terms) => {
                let run = ws::run(socket, connection, head, early, subscriber, terms);
                tasks.spawn_on(run, threads);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;
    use crate::net::stall::StallGuard;

    type Socket = StallGuard<TcpStream>;

    /// What every idle stream takes, thousands of times: look twice before one of these grows.
    #[test]
    fn streams_are_small() {
        fn sse<F>(_: impl FnOnce(Socket, Arc<Connection>, Bytes, Box<Subscriber>) -> F) -> usize {
            size_of::<F>()
        }
        fn ws<F>(
            _: impl FnOnce(Socket, Arc<Connection>, Bytes, Bytes, Box<Subscriber>, ws::Terms) -> F,
        ) -> usize {
            size_of::<F>()
        }
        let sizes = (sse(sse::run), ws(ws::run));
        assert!(sizes.0 <= 560 && sizes.1 <= 592, "{sizes:?}");
        let subscriber = size_of::<Subscriber>();
        assert!(subscriber <= 336, "{subscriber}");
    }
}
