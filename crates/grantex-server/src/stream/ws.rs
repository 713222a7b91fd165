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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::outlet::Outlet;
use super::session::{Next, Run};
use super::ws_frame::{self, Incoming, Said};
use super::{End, Session};
use crate::http::connection::Connection;
use crate::http::takeover::Streaming;

/// The close code of a stream that retention overtook: the application's own, after HTTP's 410, which
/// is what a reconnection gets.
const EXPIRED: u16 = 4410;

/// How long a client may take to answer a farewell, at least.
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
    /// What the client may set its filter to at most.
    widest: TypeSet,
    /// How long one write may take.
    patience: Duration,
    /// How long the closing may take after that.
    grace: Duration,
}

impl Socket {
    /// The socket itself gives up after the whole `stall_timeout`. The last quarter is for saying why to a client
    /// that reads again.
    pub(crate) fn new(session: Session, widest: TypeSet, stall_timeout: Duration) -> Self {
        let patience = stall_timeout.saturating_mul(3).checked_div(4).unwrap_or(stall_timeout);
        let grace = stall_timeout.saturating_sub(patience).max(FAREWELL);
        Self { session, widest, patience, grace }
    }

    /// Agrees to the upgrade; the socket is taken over by [`run`].
    pub(crate) fn respond(self, upgrade: WebSocketUpgrade) -> Response {
        // Its own upgrade never comes: it is the answer's head that is wanted.
        let mut response = upgrade.on_upgrade(|_| std::future::ready(()));
        response.extensions_mut().insert(Streaming::websocket(self));
        response
    }

    /// Sends events until there is a farewell to say; without one the client has gone.
    async fn follow<S>(
        &mut self,
        incoming: &mut Incoming,
        outlet: &mut Outlet<S>,
    ) -> io::Result<Option<Farewell>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        outlet.flush().await?;
        if let Some(farewell) = self.hear(incoming, &[], outlet) {
            return Ok(Some(farewell));
        }
        loop {
            let end = tokio::select! {
                biased;
                read = outlet.read() => {
                    let said = read?;
                    if said.is_empty() {
                        return Ok(None);
                    }
                    self.hear(incoming, &said, outlet)
                }
                next = self.session.next() => match next {
                    Next::Events(runs) => {
                        for run in &runs {
                            outlet.push(Run::ws(run));
                        }
                        None
                    }
                    Next::Cursor(_) | Next::Idle => {
                        outlet.push(Bytes::from_static(ws_frame::PING));
                        None
                    }
                    Next::End(End::GoingAway) => {
                        Some(Farewell::new(close_code::AWAY, "the service is restarting; reconnect"))
                    }
                    Next::End(End::Expired) => {
                        Some(Farewell::new(EXPIRED, "undelivered events are no longer retained"))
                    }
                    Next::End(End::KeyRevoked) => {
                        Some(Farewell::new(close_code::POLICY, "the API key was revoked"))
                    }
                },
            };
            if end.is_some() {
                return Ok(end);
            }
            // Hardly ever is there anything to wait for, and a timer is large.
            match outlet.flush().now_or_never() {
                Some(sent) => sent?,
                None => {
                    if let Some(farewell) = Box::pin(self.flush(outlet)).await? {
                        return Ok(Some(farewell));
                    }
                }
            }
        }
    }

    /// Waits until the client has taken what waits for it, as long as it takes something now and then.
    async fn flush<S>(&self, outlet: &mut Outlet<S>) -> io::Result<Option<Farewell>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            outlet.take_progress();
            if let Ok(sent) = timeout(self.patience, outlet.flush()).await {
                return sent.map(|()| None);
            }
            if !outlet.take_progress() {
                metrics::counter!("grantex_readers_cut_total", "at" => "websocket").increment(1);
                tracing::info!("a WebSocket reader that took no bytes was cut");
                return Ok(Some(Farewell::new(close_code::AGAIN, "too slow; reconnect and resume")));
            }
        }
    }

    /// What the client says; gives a farewell where that ends the stream.
    fn hear<S>(&mut self, incoming: &mut Incoming, bytes: &[u8], outlet: &mut Outlet<S>) -> Option<Farewell>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        incoming.feed(bytes);
        loop {
            match incoming.next() {
                None | Some(Said::Pong) => return None,
                Some(Said::Text(text)) => match wish(&text, self.widest) {
                    Ok(types) => self.session.set_types(types),
                    Err(reason) => return Some(Farewell { code: close_code::INVALID, reason }),
                },
                Some(Said::Binary) => return Some(Farewell::new(close_code::UNSUPPORTED, "send text")),
                Some(Said::Ping(payload)) => outlet.push(ws_frame::pong(&payload)),
                Some(Said::Close(code)) => return Some(Farewell { code, reason: String::new() }),
                Some(Said::Nonsense(code, reason)) => return Some(Farewell::new(code, reason)),
            }
        }
    }

    /// Sends what waits and the farewell, and gives the client some time to answer.
    async fn close<S>(&self, outlet: &mut Outlet<S>, farewell: Farewell) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        outlet.push(ws_frame::close(farewell.code, &farewell.reason));
        let closing = async {
            outlet.flush().await?;
            outlet.close().await?;
            outlet.closed().await
        };
        let closed = timeout(self.grace, closing).await;
        closed.unwrap_or_else(|_| {
            tracing::debug!("a WebSocket client did not take the closing frame");
            Ok(())
        })
    }
}

/// Writes the answer's head and then the session, until either side ends it.
pub(super) fn run<S>(
    mut ws: Box<Socket>,
    socket: S,
    connection: Arc<Connection>,
    head: Bytes,
    early: Bytes,
) -> impl Future<Output = ()> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut outlet = Outlet::new(socket);
    outlet.push(head);
    let mut incoming = Incoming::default();
    incoming.feed(&early);
    drop(early);
    // A block, not an async function: that would keep room for what it was called with besides.
    async move {
        let running = async {
            match ws.follow(&mut incoming, &mut outlet).await? {
                Some(farewell) => Box::pin(ws.close(&mut outlet, farewell)).await,
                None => Ok(()),
            }
        };
        tokio::select! {
            biased;
            () = connection.cut.heard() => {}
            ended = running => if let Err(error) = ended {
                tracing::debug!(%error, "a stream ended early");
            },
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
    let types: TypeSet = if wish.types.is_empty() { widest } else { wish.types.into_iter().collect() };
    if types.is_subset_of(widest) { Ok(types) } else { Err("the ticket does not cover these types".into()) }
}
