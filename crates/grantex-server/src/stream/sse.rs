//! A session as Server-Sent Events.

use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use grantex_types::sse;
use http::{HeaderValue, header};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Session;
use super::outlet::Outlet;
use super::session::{Next, Run};
use crate::http::connection::Connection;
use crate::http::takeover::Streaming;

/// The delay that clients are asked to reconnect with, in milliseconds.
const RETRY_MILLIS: u32 = 2000;

/// The answer that a session's stream begins with. Its socket is taken over by [`run`].
pub(crate) fn respond(session: Session) -> Response {
    let mut response = Response::new(Body::empty());
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.extensions_mut().insert(Streaming::sse(session));
    response
}

/// Writes the answer's head and then the session, until either side ends it. What follows the head comes in
/// chunks, or ends with the connection.
pub(super) fn run<S>(
    socket: S,
    connection: Arc<Connection>,
    head: Bytes,
    is_chunked: bool,
    mut session: Box<Session>,
) -> impl Future<Output = ()> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut outlet = Outlet::new(socket);
    outlet.push(head);
    let mut stream = Stream { outlet, is_chunked };
    stream.push_one(opening(&session));
    // A block, not an async function: that would keep room for what it was called with besides.
    async move {
        tokio::select! {
            biased;
            () = connection.cut.heard() => {}
            ended = stream.follow(&mut session) => if let Err(error) = ended {
                tracing::debug!(%error, "a stream ended early");
            },
        }
    }
}

struct Stream<S> {
    outlet: Outlet<S>,
    is_chunked: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    async fn follow(&mut self, session: &mut Session) -> io::Result<()> {
        self.outlet.flush().await?;
        loop {
            let next = tokio::select! {
                biased;
                // What the client says is not listened to; that it goes away is.
                closed = self.outlet.closed() => return closed,
                next = session.next() => next,
            };
            match next {
                Next::Events(runs) => {
                    let length = runs.iter().map(Run::bytes).sum();
                    self.push(length, runs.iter().map(Run::sse));
                }
                Next::Cursor(id) => {
                    let mut block = BytesMut::new();
                    sse::write_cursor(&mut block, id);
                    self.push_one(block.freeze());
                }
                Next::Idle => self.push_one(Bytes::from_static(sse::KEEP_ALIVE)),
                Next::End(_) => {
                    if self.is_chunked {
                        self.outlet.push(Bytes::from_static(b"0\r\n\r\n"));
                    }
                    self.outlet.flush().await?;
                    return self.outlet.close().await;
                }
            }
            self.outlet.flush().await?;
        }
    }

    /// Puts whole blocks, of `length` bytes in all, behind what waits, as one chunk.
    fn push(&mut self, length: usize, blocks: impl ExactSizeIterator<Item = Bytes>) {
        self.outlet.reserve(blocks.len().saturating_add(2));
        if self.is_chunked {
            self.outlet.push(format!("{length:x}\r\n").into());
        }
        blocks.for_each(|block| self.outlet.push(block));
        if self.is_chunked {
            self.outlet.push(Bytes::from_static(b"\r\n"));
        }
    }

    fn push_one(&mut self, block: Bytes) {
        self.push(block.len(), std::iter::once(block));
    }
}

/// The first block has the delay and the starting cursor, so that a client which was cut before the first
/// event can resume too.
fn opening(session: &Session) -> Bytes {
    let mut block = BytesMut::new();
    block.put_slice(format!("retry: {RETRY_MILLIS}\n").as_bytes());
    sse::write_cursor(&mut block, session.cursor());
    block.freeze()
}
