//! A session as a WebSocket.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use grantex_types::{EventType, TypeSet};
use serde::Deserialize;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::session::Next;
use super::{End, Filter, Session};

/// Bytes read from the socket at once: clients say little.
const READ_BUFFER: usize = 4 << 10;
/// Bytes gathered before a write: a subscriber that is behind gets many events in one.
const WRITE_BUFFER: usize = 16 << 10;
/// The most that waits to be written, above the largest event.
const MOST_WAITING: usize = 1 << 20;
/// The longest message a client may send: a filter is much shorter.
const LONGEST_MESSAGE: usize = 16 << 10;

/// The close code of a stream that retention overtook: the application's own, after HTTP's 410, which
/// is what a reconnection gets.
const EXPIRED: u16 = 4410;

/// What a client may say.
#[derive(Deserialize)]
struct Wish {
    types: Vec<EventType>,
}

/// Upgrades and runs the session until one side ends it. `widest` is what the client may set its
/// filter to at most.
pub(crate) fn respond(
    upgrade: WebSocketUpgrade,
    session: Session,
    filter: Filter,
    widest: TypeSet,
    ping: Duration,
    stall_timeout: Duration,
) -> Response {
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MOST_WAITING)
        .max_message_size(LONGEST_MESSAGE)
        .max_frame_size(LONGEST_MESSAGE)
        .on_upgrade(move |socket| {
            // The socket itself gives up after the whole timeout. The last quarter is for saying
            // why to a client that reads again.
            let patience = stall_timeout.saturating_mul(3).checked_div(4).unwrap_or(stall_timeout);
            let (sink, incoming) = socket.split();
            let connection = Subscriber { sink, patience, grace: stall_timeout.saturating_sub(patience) };
            connection.run(incoming, session, filter, widest, ping)
        })
}

struct Subscriber {
    sink: SplitSink<WebSocket, Message>,
    /// How long one write may take.
    patience: Duration,
    /// How long the closing may take after that.
    grace: Duration,
}

/// The client took no bytes for too long, or is gone.
enum Failed {
    Slow,
    Gone,
}

impl Subscriber {
    async fn run(
        mut self,
        mut incoming: SplitStream<WebSocket>,
        mut session: Session,
        mut filter: Filter,
        widest: TypeSet,
        ping: Duration,
    ) {
        let mut pings = interval(ping);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.reset();
        loop {
            let sent = tokio::select! {
                message = incoming.next() => match message {
                    Some(Ok(Message::Text(text))) => match wish(&text, widest) {
                        Ok(types) => {
                            filter.types = types;
                            session.set_filter(filter.clone());
                            Ok(())
                        }
                        Err(reason) => return self.close(close_code::INVALID, &reason).await,
                    },
                    Some(Ok(Message::Binary(_))) => {
                        return self.close(close_code::UNSUPPORTED, "send text").await;
                    }
                    // Answered by the protocol layer with the next write.
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => self.flush().await,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                },
                next = session.next() => match next {
                    Next::Events(run) => {
                        let mut sent = Ok(());
                        for envelope in run.envelopes() {
                            let Ok(text) = Utf8Bytes::try_from(envelope) else { continue };
                            sent = self.feed(Message::Text(text)).await;
                            if sent.is_err() {
                                break;
                            }
                        }
                        match sent {
                            Ok(()) => self.flush().await,
                            failed => failed,
                        }
                    }
                    Next::Cursor(_) | Next::Idle => Ok(()),
                    Next::End(End::GoingAway) => {
                        return self.close(close_code::AWAY, "the service is restarting; reconnect").await;
                    }
                    Next::End(End::Expired) => {
                        return self.close(EXPIRED, "undelivered events are no longer retained").await;
                    }
                    Next::End(End::KeyRevoked) => {
                        return self.close(close_code::POLICY, "the API key was revoked").await;
                    }
                },
                _ = pings.tick() => match self.feed(Message::Ping(bytes::Bytes::new())).await {
                    Ok(()) => self.flush().await,
                    failed => failed,
                },
            };
            match sent {
                Ok(()) => {}
                Err(Failed::Gone) => return,
                Err(Failed::Slow) => {
                    metrics::counter!("grantex_readers_cut_total", "at" => "websocket").increment(1);
                    tracing::info!("a WebSocket reader that took no bytes was cut");
                    return self.close(close_code::AGAIN, "too slow; reconnect and resume").await;
                }
            }
        }
    }

    async fn feed(&mut self, message: Message) -> Result<(), Failed> {
        timeout(self.patience, self.sink.feed(message))
            .await
            .map_err(|_| Failed::Slow)?
            .map_err(|_| Failed::Gone)
    }

    async fn flush(&mut self) -> Result<(), Failed> {
        timeout(self.patience, self.sink.flush()).await.map_err(|_| Failed::Slow)?.map_err(|_| Failed::Gone)
    }

    async fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code, reason: reason.into() };
        let closing = async {
            // A client that is gone needs no farewell.
            let _ = self.sink.send(Message::Close(Some(frame))).await;
            let _ = self.sink.close().await;
        };
        if timeout(self.grace.max(Duration::from_secs(1)), closing).await.is_err() {
            tracing::debug!("a WebSocket client did not take the closing frame");
        }
    }
}

fn wish(text: &str, widest: TypeSet) -> Result<TypeSet, String> {
    let wish: Wish = serde_json::from_str(text)
        .map_err(|_| "expected {\"types\":[…]} with known event types".to_owned())?;
    let types: TypeSet = if wish.types.is_empty() { widest } else { wish.types.into_iter().collect() };
    if types.is_subset_of(widest) { Ok(types) } else { Err("the ticket does not cover these types".into()) }
}
