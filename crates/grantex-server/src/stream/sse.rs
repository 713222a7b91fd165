//! A session as Server-Sent Events.

use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, header};

use super::lane::Place;
use super::outlet::Outlet;
use super::pipe::{Framing, Heard, Pipe};
use super::takeover::Streaming;
use super::{End, Session};
use crate::net::connection::Connection;
use crate::net::socket::Duplex;

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

/// Writes the answer's head and then the session, until either side ends it. What follows the head
/// comes in chunks, or ends with the connection.
pub(super) fn run<S>(
    socket: S,
    connection: Arc<Connection>,
    head: Bytes,
    is_chunked: bool,
    session: Box<Session>,
) -> impl Future<Output = ()> + Send
where
    S: Duplex,
{
    let mut outlet = Outlet::new(socket);
    outlet.push(head);
    let mut pipe = Box::new(Pipe::new(*session, outlet, Framing::Sse { is_chunked }));
    pipe.push_opening(RETRY_MILLIS);
    // A block, not an async function: that would keep room for what it was called with besides.
    async move {
        tokio::select! {
            biased;
            () = connection.cut.wait() => {}
            ended = follow(pipe) => if let Err(error) = ended {
                tracing::debug!(%error, "a stream ended early");
            },
        }
    }
}

async fn follow<S: Duplex>(mut pipe: Box<Pipe<S>>) -> io::Result<()> {
    let place = Place::join(&pipe);
    loop {
        pipe.flush().await?;
        let heard;
        (pipe, heard) = place.attend(pipe).await?;
        match heard {
            // What the client says is not listened to; that it goes away is.
            Heard::Said(said) if said.is_empty() => return Ok(()),
            Heard::Said(_) | Heard::Due => {}
            Heard::End(end) => {
                match end {
                    End::Damaged(position) => pipe.push_comment(&format!(
                        "EVENT_DAMAGED at position {position}; reconnect to learn how to go on"
                    )),
                    End::TicketExpired => {
                        pipe.push_comment(
                            "the ticket has expired; get another and go on with lastEventId",
                        );
                    }
                    _ => {}
                }
                pipe.push_end();
                pipe.outlet.flush().await?;
                return pipe.outlet.close().await;
            }
        }
    }
}
