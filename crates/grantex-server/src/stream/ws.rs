//! A stream of WebSocket messages, once it has its socket.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::close_code;
use bytes::Bytes;
use futures_util::FutureExt as _;
use grantex_types::{EventType, TypeSet};
use serde::Deserialize;
use tokio::time::timeout;

use super::end::EndReason;
use super::membership::{Membership, Wakeup};
use super::outlet::Outlet;
use super::pipe::Pipe;
use super::subscriber::Subscriber;
use super::ws_frame::{self, FrameReader, Message};
use crate::net::connection::Connection;
use crate::net::socket::Duplex;

/// The close code of a stream whose undelivered events retention removed: the application's own,
/// after HTTP's 410, which is what a reconnection gets.
const TRIMMED: u16 = 4410;

/// The close code of a stream whose ticket has expired: after HTTP's 401, which is what a
/// reconnection with it gets.
const TICKET_EXPIRED: u16 = 4401;

/// The close code of a stream whose developer is suspended: after HTTP's 403, which is what a
/// reconnection gets.
const SUSPENDED: u16 = 4403;

/// The close code of a stream whose next event is damaged: after the 500 that a reconnection gets.
const DAMAGED: u16 = 4500;

/// How long a client may take to accept a close frame, at least, and to answer it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A message that changes the filter.
#[derive(Deserialize)]
struct FilterUpdate {
    types: Vec<EventType>,
}

/// What a client may do.
pub(crate) struct Terms {
    /// The types that it may set its filter to at most.
    widest: TypeSet,
    /// How long it may accept no byte.
    patience: Duration,
    /// How long the closing may take after that.
    grace: Duration,
}

impl Terms {
    /// The socket itself fails after the whole `stall_timeout`. The last quarter is for a close
    /// frame with the reason, for a client that reads again.
    pub(crate) fn new(widest: TypeSet, stall_timeout: Duration) -> Self {
        let patience = stall_timeout.saturating_mul(3).checked_div(4).unwrap_or(stall_timeout);
        let grace = stall_timeout.saturating_sub(patience).max(CLOSE_TIMEOUT);
        Self { widest, patience, grace }
    }
}

/// Writes the answer's head and then the subscriber's events, until either side ends the stream.
pub(super) fn run<S: Duplex>(
    socket: S,
    connection: Arc<Connection>,
    head: Bytes,
    early: Bytes,
    subscriber: Box<Subscriber>,
    terms: Terms,
) -> impl Future<Output = ()> + Send {
    let mut outlet = Outlet::new(socket);
    outlet.push(head);
    let pipe = Box::new(Pipe::new(*subscriber, outlet));
    let mut reader = FrameReader::default();
    reader.feed(&early);
    drop(early);
    // A block, not an async function, which would keep room for its arguments besides.
    async move {
        tokio::select! {
            biased;
            () = connection.cut.wait() => {}
            ended = terms.follow(pipe, &mut reader) => if let Err(error) = ended {
                tracing::debug!(%error, "a stream ended early");
            },
        }
    }
}

impl Terms {
    /// Sends events until either side ends the stream.
    async fn follow<S: Duplex>(
        &self,
        mut pipe: Box<Pipe<S>>,
        reader: &mut FrameReader,
    ) -> io::Result<()> {
        let membership = Membership::join(&pipe);
        let mut close = self.receive(reader, &[], &mut pipe);
        let close = loop {
            if let Some(close) = close {
                break close;
            }
            if let Some(close) = self.flush(&mut pipe).await? {
                break close;
            }
            let wakeup;
            (pipe, wakeup) = membership.attend(pipe).await?;
            close = match wakeup {
                Wakeup::Unsent => None,
                Wakeup::Received(bytes) if bytes.is_empty() => return Ok(()),
                Wakeup::Received(bytes) => self.receive(reader, &bytes, &mut pipe),
                Wakeup::End(reason) => break reason.into(),
            };
        };
        Box::pin(self.close(&mut pipe.outlet, close)).await
    }

    /// Sends what waits. Returns a close frame for a client that accepts no byte for too long.
    async fn flush<S: Duplex>(&self, pipe: &mut Pipe<S>) -> io::Result<Option<CloseFrame>> {
        // Hardly ever is there anything to wait for, and a timer is large.
        match pipe.flush().now_or_never() {
            Some(sent) => sent.map(|()| None),
            None => Box::pin(self.flush_patiently(pipe)).await,
        }
    }

    /// Waits until the client has accepted what waits for it, as long as it accepts a byte now and
    /// then.
    async fn flush_patiently<S: Duplex>(
        &self,
        pipe: &mut Pipe<S>,
    ) -> io::Result<Option<CloseFrame>> {
        loop {
            pipe.outlet.take_progress();
            if let Ok(sent) = timeout(self.patience, pipe.flush()).await {
                return sent.map(|()| None);
            }
            if !pipe.outlet.take_progress() {
                metrics::counter!("grantex_readers_cut_total", "at" => "websocket").increment(1);
                tracing::info!("a WebSocket was closed: its client accepted no bytes");
                return Ok(Some(CloseFrame::new(
                    close_code::AGAIN,
                    "too slow; reconnect and resume",
                )));
            }
        }
    }

    /// Handles what the client sent. Returns a close frame where that ends the stream.
    fn receive<S: Duplex>(
        &self,
        reader: &mut FrameReader,
        bytes: &[u8],
        pipe: &mut Pipe<S>,
    ) -> Option<CloseFrame> {
        reader.feed(bytes);
        loop {
            match reader.next() {
                None | Some(Message::Pong) => return None,
                Some(Message::Text(text)) => match updated_types(&text, self.widest) {
                    Ok(types) => pipe.subscriber.set_types(types),
                    Err(reason) => return Some(CloseFrame { code: close_code::INVALID, reason }),
                },
                Some(Message::Binary) => {
                    return Some(CloseFrame::new(
                        close_code::UNSUPPORTED,
                        "send text messages only",
                    ));
                }
                Some(Message::Ping(payload)) => pipe.outlet.push(ws_frame::pong(&payload)),
                Some(Message::Close(code)) => {
                    return Some(CloseFrame { code, reason: String::new() });
                }
                Some(Message::Violation(code, reason)) => {
                    return Some(CloseFrame::new(code, reason));
                }
            }
        }
    }

    /// Sends what waits and the close frame, and gives the client some time to answer. Many clients
    /// neither answer nor close.
    async fn close<S: Duplex>(&self, outlet: &mut Outlet<S>, close: CloseFrame) -> io::Result<()> {
        outlet.push(ws_frame::close(close.code, &close.reason));
        let sending = async {
            outlet.flush().await?;
            outlet.close().await
        };
        let Ok(sent) = timeout(self.grace, sending).await else {
            tracing::debug!("a WebSocket client did not accept the close frame");
            return Ok(());
        };
        sent?;
        // Closing while the client still sends would discard the frame. A slow client has yet to
        // read it.
        let patience = if close.code == close_code::AGAIN { self.grace } else { CLOSE_TIMEOUT };
        timeout(patience, outlet.closed()).await.unwrap_or(Ok(()))
    }
}

impl From<EndReason> for CloseFrame {
    fn from(reason: EndReason) -> Self {
        match reason {
            EndReason::GoingAway => {
                Self::new(close_code::AWAY, "the service is restarting; reconnect")
            }
            EndReason::Damaged(position) => Self {
                code: DAMAGED,
                reason: format!(
                    "the event at position {position} is damaged; reconnect to get the cursor \
                     that leads past it"
                ),
            },
            EndReason::Trimmed => {
                Self::new(TRIMMED, "events that were not delivered yet are no longer retained")
            }
            EndReason::KeyRevoked => Self::new(close_code::POLICY, "the API key was revoked"),
            EndReason::TicketExpired => {
                Self::new(TICKET_EXPIRED, "the ticket has expired; get a new one and resume")
            }
            EndReason::Suspended => {
                Self::new(SUSPENDED, "the operator has suspended this developer")
            }
        }
    }
}

/// How a stream is closed.
struct CloseFrame {
    code: u16,
    reason: String,
}

impl CloseFrame {
    fn new(code: u16, reason: &str) -> Self {
        Self { code, reason: reason.to_owned() }
    }
}

/// The types that a message sets the filter to, or what is wrong with it.
fn updated_types(text: &str, widest: TypeSet) -> Result<TypeSet, String> {
    let update: FilterUpdate = serde_json::from_str(text)
        .map_err(|_| "expected {\"types\":[…]} with known event types".to_owned())?;
    let types: TypeSet =
        if update.types.is_empty() { widest } else { update.types.into_iter().collect() };
    if types.is_subset_of(widest) {
        Ok(types)
    } else {
        Err("the ticket does not cover these types".into())
    }
}
