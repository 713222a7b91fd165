//! A session as a WebSocket.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{WebSocketUpgrade, close_code};
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt as _;
use grantex_types::{EventType, TypeSet};
use serde::Deserialize;
use tokio::time::timeout;

use super::lane::Place;
use super::outlet::Outlet;
use super::pipe::{Framing, Heard, Pipe};
use super::takeover::Streaming;
use super::ws_frame::{self, Incoming, Said};
use super::{End, Session};
use crate::net::connection::Connection;
use crate::net::socket::Duplex;

/// The close code of a stream that retention overtook: the application's own, after HTTP's 410,
/// which is what a reconnection gets.
const EXPIRED: u16 = 4410;

/// The close code of a stream whose ticket has expired: after HTTP's 401, which is what a
/// reconnection with it gets.
const TICKET_EXPIRED: u16 = 4401;

/// The close code of a stream whose developer is suspended: after HTTP's 403, which is what a
/// reconnection gets.
const SUSPENDED: u16 = 4403;

/// The close code of a stream whose next event is damaged: after the 500 that a reconnection gets.
const DAMAGED: u16 = 4500;

/// How long a client may take to take a farewell, at least, and to answer it.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a client may say.
#[derive(Deserialize)]
struct Wish {
    types: Vec<EventType>,
}

/// A session that becomes a WebSocket.
pub(crate) struct Socket {
    /// Its keep-alive is a ping.
    session: Session,
    terms: Terms,
}

/// What a client may do.
struct Terms {
    /// What it may set its filter to at most.
    widest: TypeSet,
    /// How long it may take no byte.
    patience: Duration,
    /// How long the closing may take after that.
    grace: Duration,
}

impl Socket {
    /// The socket itself gives up after the whole `stall_timeout`. The last quarter is for saying
    /// why to a client that reads again.
    pub(crate) fn new(session: Session, widest: TypeSet, stall_timeout: Duration) -> Self {
        let patience = stall_timeout.saturating_mul(3).checked_div(4).unwrap_or(stall_timeout);
        let grace = stall_timeout.saturating_sub(patience).max(FAREWELL);
        Self { session, terms: Terms { widest, patience, grace } }
    }

    /// Agrees to the upgrade; the socket is taken over by [`run`].
    pub(crate) fn respond(self, upgrade: WebSocketUpgrade) -> Response {
        // Its own upgrade never comes: it is the answer's head that is wanted.
        let mut response = upgrade.on_upgrade(|_| std::future::ready(()));
        response.extensions_mut().insert(Streaming::websocket(self));
        response
    }
}

/// Writes the answer's head and then the session, until either side ends it.
pub(super) fn run<S: Duplex>(
    ws: Box<Socket>,
    socket: S,
    connection: Arc<Connection>,
    head: Bytes,
    early: Bytes,
) -> impl Future<Output = ()> + Send {
    let mut outlet = Outlet::new(socket);
    outlet.push(head);
    let Socket { session, terms } = *ws;
    let pipe = Box::new(Pipe::new(session, outlet, Framing::WebSocket));
    let mut incoming = Incoming::default();
    incoming.feed(&early);
    drop(early);
    // A block, not an async function: that would keep room for what it was called with besides.
    async move {
        tokio::select! {
            biased;
            () = connection.cut.wait() => {}
            ended = terms.follow(pipe, &mut incoming) => if let Err(error) = ended {
                tracing::debug!(%error, "a stream ended early");
            },
        }
    }
}

impl Terms {
    /// Sends events until either side has had enough.
    async fn follow<S: Duplex>(
        &self,
        mut pipe: Box<Pipe<S>>,
        incoming: &mut Incoming,
    ) -> io::Result<()> {
        let place = Place::join(&pipe);
        let mut said = self.hear(incoming, &[], &mut pipe);
        let farewell = loop {
            if let Some(farewell) = said {
                break farewell;
            }
            if let Some(farewell) = self.flush(&mut pipe).await? {
                break farewell;
            }
            let heard;
            (pipe, heard) = place.attend(pipe).await?;
            said = match heard {
                Heard::Due => None,
                Heard::Said(said) if said.is_empty() => return Ok(()),
                Heard::Said(said) => self.hear(incoming, &said, &mut pipe),
                Heard::End(end) => break end.into(),
            };
        };
        Box::pin(self.close(&mut pipe.outlet, farewell)).await
    }

    /// Sends what waits; gives a farewell for a client that takes nothing for too long.
    async fn flush<S: Duplex>(&self, pipe: &mut Pipe<S>) -> io::Result<Option<Farewell>> {
        // Hardly ever is there anything to wait for, and a timer is large.
        match pipe.flush().now_or_never() {
            Some(sent) => sent.map(|()| None),
            None => Box::pin(self.flush_patiently(pipe)).await,
        }
    }

    /// Waits until the client has taken what waits for it, as long as it takes something now and
    /// then.
    async fn flush_patiently<S: Duplex>(&self, pipe: &mut Pipe<S>) -> io::Result<Option<Farewell>> {
        loop {
            pipe.outlet.take_progress();
            if let Ok(sent) = timeout(self.patience, pipe.flush()).await {
                return sent.map(|()| None);
            }
            if !pipe.outlet.take_progress() {
                metrics::counter!("grantex_readers_cut_total", "at" => "websocket").increment(1);
                tracing::info!("a WebSocket reader that took no bytes was cut");
                return Ok(Some(Farewell::new(
                    close_code::AGAIN,
                    "too slow; reconnect and resume",
                )));
            }
        }
    }

    /// What the client says; gives a farewell where that ends the stream.
    fn hear<S: Duplex>(
        &self,
        incoming: &mut Incoming,
        bytes: &[u8],
        pipe: &mut Pipe<S>,
    ) -> Option<Farewell> {
        incoming.feed(bytes);
        loop {
            match incoming.next() {
                None | Some(Said::Pong) => return None,
                Some(Said::Text(text)) => match wish(&text, self.widest) {
                    Ok(types) => pipe.session.set_types(types),
                    Err(reason) => return Some(Farewell { code: close_code::INVALID, reason }),
                },
                Some(Said::Binary) => {
                    return Some(Farewell::new(close_code::UNSUPPORTED, "send text"));
                }
                Some(Said::Ping(payload)) => pipe.outlet.push(ws_frame::pong(&payload)),
                Some(Said::Close(code)) => return Some(Farewell { code, reason: String::new() }),
                Some(Said::Nonsense(code, reason)) => return Some(Farewell::new(code, reason)),
            }
        }
    }

    /// Sends what waits and the farewell, and gives the client some time to answer. Many never do,
    /// nor close.
    async fn close<S: Duplex>(&self, outlet: &mut Outlet<S>, farewell: Farewell) -> io::Result<()> {
        outlet.push(ws_frame::close(farewell.code, &farewell.reason));
        let sending = async {
            outlet.flush().await?;
            outlet.close().await
        };
        let Ok(sent) = timeout(self.grace, sending).await else {
            tracing::debug!("a WebSocket client did not take the closing frame");
            return Ok(());
        };
        sent?;
        // Closing on what it still says would take the frame from it. Who is known to be slow has
        // yet to read.
        let patience = if farewell.code == close_code::AGAIN { self.grace } else { FAREWELL };
        timeout(patience, outlet.closed()).await.unwrap_or(Ok(()))
    }
}

impl From<End> for Farewell {
    fn from(end: End) -> Self {
        match end {
            End::GoingAway => Self::new(close_code::AWAY, "the service is restarting; reconnect"),
            End::Damaged(position) => Self {
                code: DAMAGED,
                reason: format!(
                    "the event at position {position} is damaged; reconnect to learn how to go on"
                ),
            },
            End::Expired => Self::new(EXPIRED, "undelivered events are no longer retained"),
            End::KeyRevoked => Self::new(close_code::POLICY, "the API key was revoked"),
            End::TicketExpired => {
                Self::new(TICKET_EXPIRED, "the ticket has expired; get another and go on")
            }
            End::Suspended => Self::new(SUSPENDED, "the operator has suspended this developer"),
        }
    }
}

struct Farewell {
    code: u16,
    reason: String,
}

impl Farewell {
    fn new(code: u16, reason: &str) -> Self {
        Self { code, reason: reason.to_owned() }
    }
}

fn wish(text: &str, widest: TypeSet) -> Result<TypeSet, String> {
    let wish: Wish = serde_json::from_str(text)
        .map_err(|_| "expected {\"types\":[…]} with known event types".to_owned())?;
    let types: TypeSet =
        if wish.types.is_empty() { widest } else { wish.types.into_iter().collect() };
    if types.is_subset_of(widest) {
        Ok(types)
    } else {
        Err("the ticket does not cover these types".into())
    }
}
