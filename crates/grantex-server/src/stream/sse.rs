//! A stream of Server-Sent Events, once it has its socket.

use std::future::Future;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::end::EndReason;
use super::membership::{Membership, Wakeup};
use super::outlet::Outlet;
use super::pipe::Pipe;
use super::subscriber::Subscriber;
use crate::net::connection::Connection;
use crate::net::socket::Duplex;

/// The delay before a reconnection that clients are asked for, in milliseconds.
const RETRY_MILLIS: u32 = 2000;

/// Writes the answer's head and then the subscriber's events, until either side ends the stream.
pub(super) fn run<S: Duplex>(
    socket: S,
    connection: Arc<Connection>,
    head: Bytes,
    subscriber: Box<Subscriber>,
) -> impl Future<Output = ()> + Send {
    let mut outlet = Outlet::new(socket);
    outlet.push(head);
    let mut pipe = Box::new(Pipe::new(*subscriber, outlet));
    pipe.push_opening(RETRY_MILLIS);
    // A block, not an async function, which would keep room for its arguments besides.
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
    let membership = Membership::join(&pipe);
    loop {
        pipe.flush().await?;
        let wakeup;
        (pipe, wakeup) = membership.attend(pipe).await?;
        match wakeup {
            Wakeup::Received(bytes) if bytes.is_empty() => return Ok(()),
            // What the client sends is ignored.
            Wakeup::Received(_) | Wakeup::Unsent => {}
            Wakeup::End(reason) => {
                match reason {
                    EndReason::Damaged(position) => pipe.push_comment(&format!(
                        "EVENT_DAMAGED at position {position}; reconnect to get the cursor that \
                         leads past it"
                    )),
                    EndReason::TicketExpired => pipe.push_comment(
                        "the ticket has expired; get a new one and resume with lastEventId",
                    ),
                    _ => {}
                }
                pipe.push_end();
                pipe.outlet.flush().await?;
                return pipe.outlet.close().await;
            }
        }
    }
}
