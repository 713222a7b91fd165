//! Answers that take their socket with them.
//!
//! A stream lives for hours and does nothing but write. What HTTP keeps for a connection – buffers,
//! the state of a request, a body behind a trait – is many times what that needs. So once the
//! answer's head is decided, the socket leaves hyper: the head is written here, and then a task of
//! its own writes events.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderName, Method, Version, header};
use parking_lot::Mutex;

use super::{Session, Stream, ws};

/// In an answer's extensions: what the socket is for.
#[derive(Clone)]
pub(crate) struct Streaming(Arc<Mutex<Option<Stream>>>);

impl Streaming {
    pub(crate) fn sse(session: Session) -> Self {
        Self(Arc::new(Mutex::new(Some(Stream::Sse(Box::new(session))))))
    }

    pub(crate) fn websocket(socket: ws::Socket) -> Self {
        Self(Arc::new(Mutex::new(Some(Stream::WebSocket(Box::new(socket))))))
    }
}

/// A stream that waits for its socket.
pub(crate) struct TakenOver {
    /// The answer's head, as it goes onto the wire.
    pub(crate) head: Bytes,
    /// What follows comes in chunks; otherwise the end of the connection is the end.
    pub(crate) is_chunked: bool,
    pub(crate) stream: Stream,
}

/// The stream that an answer begins, if it begins one.
pub(crate) fn take(
    method: &Method,
    version: Version,
    response: &mut Response,
) -> Option<Box<TakenOver>> {
    let Streaming(streaming) = response.extensions_mut().remove()?;
    let stream = streaming.lock().take()?;
    if method != Method::GET {
        return None;
    }
    let is_chunked = version >= Version::HTTP_11 && matches!(stream, Stream::Sse(_));
    Some(Box::new(TakenOver { head: head(response, is_chunked).into(), is_chunked, stream }))
}

#[expect(clippy::disallowed_methods, reason = "HTTP wants the date; no rule depends on it")]
fn head(response: &Response, is_chunked: bool) -> String {
    let mut head = format!("HTTP/1.1 {}\r\n", response.status());
    let mut line = |name: &HeaderName, value: &str| {
        // Writing to a string cannot fail.
        let _ = write!(head, "{name}: {value}\r\n");
    };
    for (name, value) in response.headers() {
        // Ours are ASCII.
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
