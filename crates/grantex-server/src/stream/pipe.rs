//! A subscriber and its socket: what is due becomes bytes.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, Bytes, BytesMut};
use grantex_types::{EventId, sse};

use super::chunk::Part;
use super::outlet::Outlet;
use super::selection::Selection;
use super::subscriber::{Next, Subscriber};
use super::transport::Transport;
use super::ws_frame;
use crate::net::socket::Duplex;

/// Parts shorter than this, in bytes, are copied together. One more piece in a system call, and the
/// shared counter that keeps its buffer alive, cost more than copying so many bytes.
const COPIED_BELOW: usize = 1024;

/// Bytes that a stream writes in its turn only: the kernel takes longer for them than a stream
/// needs for everything else.
const MUCH: usize = 16 << 10;

/// A subscriber and its socket.
pub(super) struct Pipe<S> {
    pub(super) subscriber: Subscriber,
    pub(super) outlet: Outlet<S>,
}

impl<S: Duplex> Pipe<S> {
    pub(super) fn new(subscriber: Subscriber, outlet: Outlet<S>) -> Self {
        Self { subscriber, outlet }
    }

    /// Sends what waits. Where that is much, the streams of a developer take turns: a thousand that
    /// replay at once leave the threads of streams to other developers' streams in between.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.outlet.len() < MUCH {
            return self.outlet.flush().await;
        }
        // On the heap: an idle stream would keep the room for it in its task.
        Box::pin(self.outlet.flush_by_turns(&self.subscriber.lanes().turns)).await
    }

    /// Puts events behind what waits.
    pub(super) fn push_events(&mut self, selections: &[Selection]) {
        let blocks = || selections.iter().flat_map(Selection::sse);
        match self.subscriber.transport() {
            Transport::Sse { is_chunked: true } => {
                let length: usize = selections.iter().map(Selection::bytes).sum();
                let head = format!("{length:x}\r\n");
                gather(&mut self.outlet, head.as_bytes(), blocks, b"\r\n");
            }
            Transport::Sse { is_chunked: false } => gather(&mut self.outlet, b"", blocks, b""),
            Transport::WebSocket => {
                let messages = || selections.iter().flat_map(Selection::ws);
                gather(&mut self.outlet, b"", messages, b"");
            }
        }
    }

    /// Puts a keep-alive behind what waits.
    pub(super) fn push_keep_alive(&mut self, cursor: Option<EventId>) {
        match (self.subscriber.transport(), cursor) {
            (Transport::Sse { .. }, Some(id)) => {
                let mut block = BytesMut::new();
                sse::write_cursor(&mut block, id);
                self.push_block(&block);
            }
            (Transport::Sse { .. }, None) => self.push_block(sse::KEEP_ALIVE),
            (Transport::WebSocket, _) => self.outlet.push(Bytes::from_static(ws_frame::PING)),
        }
    }

    /// The first block of Server-Sent Events has the reconnection delay and the starting cursor, so
    /// that a client whose connection breaks before the first event can resume too.
    pub(super) fn push_opening(&mut self, retry_millis: u32) {
        let mut block = BytesMut::new();
        block.put_slice(format!("retry: {retry_millis}\n").as_bytes());
        sse::write_cursor(&mut block, self.subscriber.cursor());
        self.push_block(&block);
    }

    /// A comment of Server-Sent Events: clients ignore it, people read it.
    pub(super) fn push_comment(&mut self, text: &str) {
        if let Transport::Sse { .. } = self.subscriber.transport() {
            self.push_block(format!(": {text}\n").as_bytes());
        }
    }

    /// The end of an answer in chunks.
    pub(super) fn push_end(&mut self) {
        if let Transport::Sse { is_chunked: true } = self.subscriber.transport() {
            self.outlet.push(Bytes::from_static(b"0\r\n\r\n"));
        }
    }

    /// A short block of Server-Sent Events.
    fn push_block(&mut self, block: &[u8]) {
        self.outlet.push(match self.subscriber.transport() {
            Transport::Sse { is_chunked: true } => {
                let head = format!("{:x}\r\n", block.len());
                [head.as_bytes(), block, b"\r\n"].concat().into()
            }
            _ => Bytes::copy_from_slice(block),
        });
    }

    /// Delivers what is due without waiting, as far as memory has it and the socket accepts it.
    /// Wakes the stream's task for the rest. Returns whether more is due already.
    pub(super) fn serve(&mut self, context: &mut Context<'_>) -> bool {
        // Where bytes wait, the task was woken before, and has not run yet.
        if self.outlet.is_empty() {
            match self.subscriber.due() {
                Some(Next::CaughtUp) => return false,
                Some(Next::Events(selections)) => self.push_events(&selections),
                Some(Next::KeepAlive(cursor)) => self.push_keep_alive(cursor),
                Some(Next::End(_)) | None => {
                    context.waker().wake_by_ref();
                    return false;
                }
            }
            if let Poll::Ready(Ok(())) = self.outlet.poll_flush(context) {
                return self.subscriber.is_behind();
            }
        }
        context.waker().wake_by_ref();
        false
    }

    /// Ready when the stream's task is needed: for what the client sent, or for what a lane cannot
    /// do.
    pub(super) fn poll_attention(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Bytes>>> {
        if !self.outlet.is_empty()
            || self.subscriber.is_behind()
            || self.subscriber.poll_end(context).is_ready()
        {
            return Poll::Ready(Ok(None));
        }
        Poll::Ready(ready!(self.outlet.poll_read(context)).map(Some))
    }
}

/// Puts parts behind what waits, between `head` and `end`: short ones copied together, long ones as
/// they lie in memory.
fn gather<'c, S, P>(outlet: &mut Outlet<S>, head: &[u8], parts: impl Fn() -> P, end: &[u8])
where
    S: Duplex,
    P: Iterator<Item = Part<'c>>,
{
    let short: usize = parts().map(|part| part.len()).filter(|length| *length < COPIED_BELOW).sum();
    let around = head.len().saturating_add(end.len());
    let mut copied = Vec::with_capacity(short.saturating_add(around));
    copied.extend_from_slice(head);
    for part in parts() {
        if part.len() < COPIED_BELOW {
            copied.extend_from_slice(part.as_ref());
        } else {
            if !copied.is_empty() {
                outlet.push(std::mem::take(&mut copied).into());
            }
            outlet.push(part.share());
        }
    }
    copied.extend_from_slice(end);
    if !copied.is_empty() {
        outlet.push(copied.into());
    }
}
