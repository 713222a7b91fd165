//! A session as Server-Sent Events.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream;
use grantex_types::sse;
use http::{HeaderValue, header};

use super::Session;
use super::session::Next;

/// The delay that clients are asked to reconnect with, in milliseconds.
const RETRY_MILLIS: u32 = 2000;

/// The answer that carries a session. Its first block has the delay and the starting cursor, so
/// that a client which was cut before the first event can resume too.
pub(crate) fn respond(session: Session) -> Response {
    let first = opening(&session);
    let body = stream::unfold((Some(first), session), |(first, mut session)| async move {
        if let Some(first) = first {
            return Some((Ok::<_, Infallible>(first), (None, session)));
        }
        let bytes = match session.next().await {
            Next::Events(run) => run.sse(),
            Next::Cursor(id) => {
                let mut block = BytesMut::new();
                sse::write_cursor(&mut block, id);
                block.freeze()
            }
            Next::Idle => Bytes::from_static(sse::KEEP_ALIVE),
            Next::End(_) => return None,
        };
        Some((Ok(bytes), (None, session)))
    });
    let mut response = Response::new(Body::from_stream(body));
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn opening(session: &Session) -> Bytes {
    let mut block = BytesMut::new();
    block.put_slice(format!("retry: {RETRY_MILLIS}\n").as_bytes());
    sse::write_cursor(&mut block, session.cursor());
    block.freeze()
}
