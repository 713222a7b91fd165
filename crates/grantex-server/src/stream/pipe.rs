//! A session and the socket that its events go to.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, Bytes, BytesMut};
use grantex_types::sse;

use super::frame::{Part, Selection};
use super::outlet::Outlet;
use super::session::{Item, Next};
use super::{End, Session, ws_frame};
use crate::net::socket::Duplex;

/// How items become bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Framing {
    /// As Server-Sent Events; in chunks, or up to the connection's end.
    Sse { is_chunked: bool },
    /// As WebSocket messages.
    WebSocket,
}

/// Parts shorter than this are copied together. One more piece in a call of the system, and the
/// shared counter that keeps its buffer alive, cost more than copying so many bytes.
const COPIED_BELOW: usize = 1024;

/// Bytes that are written in a turn: the kernel takes longer for them than a stream needs for
/// everything else.
const MUCH: usize = 16 << 10;

/// Parts on their way to an outlet.
struct Gather {
    copied: Vec<u8>,
}

impl Gather {
    fn with_room_for<'c>(parts: impl Iterator<Item = Part<'c>>) -> Self {
        const CHUNK_FRAMING: usize = 16;
        let short: usize =
            parts.map(|part| part.len()).filter(|length| *length < COPIED_BELOW).sum();
        Self { copied: Vec::with_capacity(short.saturating_add(CHUNK_FRAMING)) }
    }

    fn copy(&mut self, bytes: &[u8]) {
        self.copied.extend_from_slice(bytes);
    }

    fn part<S: Duplex>(&mut self, part: &Part<'_>, outlet: &mut Outlet<S>) {
        if part.len() < COPIED_BELOW {
            self.copy(part.as_ref());
        } else {
            self.pass(outlet);
            outlet.push(part.share());
        }
    }

    fn finish<S: Duplex>(mut self, outlet: &mut Outlet<S>) {
        self.pass(outlet);
    }

    fn pass<S: Duplex>(&mut self, outlet: &mut Outlet<S>) {
        if !self.copied.is_empty() {
            outlet.push(std::mem::take(&mut self.copied).into());
        }
    }
}

/// A session and where it goes.
pub(super) struct Pipe<S> {
    pub(super) session: Session,
    pub(super) outlet: Outlet<S>,
    framing: Framing,
}

/// What a stream's task has to do with its pipe.
pub(super) enum Heard {
    /// The client said this; nothing when it says nothing more.
    Said(Bytes),
    /// Bytes wait to be sent.
    Due,
    /// The stream has to end.
    End(End),
}

/// How far serving a pipe came, without waiting.
pub(super) enum Served {
    /// It has all there is.
    All,
    /// It got some, and there is more.
    Some,
    /// Its socket is full or broken, what it lacks is in the store only, or it has to end.
    NotByLane,
}

impl<S: Duplex> Pipe<S> {
    pub(super) fn new(session: Session, outlet: Outlet<S>, framing: Framing) -> Self {
        Self { session, outlet, framing }
    }

    /// Sends what waits. Where that is much, the streams of a developer take turns: a thousand that
    /// replay at once leave the threads of streams to other developers' streams in between.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.outlet.len() < MUCH {
            return self.outlet.flush().await;
        }
        // On the heap: an idle stream would keep the room for it in its task.
        Box::pin(self.outlet.flush_by_turns(&self.session.tail().turns)).await
    }

    /// Puts an item behind what waits.
    pub(super) fn push(&mut self, item: Item) {
        match (self.framing, item) {
            (Framing::Sse { is_chunked }, Item::Events(selections)) => {
                let parts = || selections.iter().flat_map(Selection::sse);
                let mut gather = Gather::with_room_for(parts());
                if is_chunked {
                    let length: usize = selections.iter().map(Selection::bytes).sum();
                    gather.copy(format!("{length:x}\r\n").as_bytes());
                }
                parts().for_each(|part| gather.part(&part, &mut self.outlet));
                if is_chunked {
                    gather.copy(b"\r\n");
                }
                gather.finish(&mut self.outlet);
            }
            (Framing::Sse { .. }, Item::Cursor(id)) => {
                let mut block = BytesMut::new();
                sse::write_cursor(&mut block, id);
                self.push_block(&block);
            }
            (Framing::Sse { .. }, Item::Idle) => self.push_block(sse::KEEP_ALIVE),
            (Framing::WebSocket, Item::Events(selections)) => {
                let parts = || selections.iter().flat_map(Selection::ws);
                let mut gather = Gather::with_room_for(parts());
                parts().for_each(|part| gather.part(&part, &mut self.outlet));
                gather.finish(&mut self.outlet);
            }
            (Framing::WebSocket, Item::Cursor(_) | Item::Idle) => {
                self.outlet.push(Bytes::from_static(ws_frame::PING));
            }
        }
    }

    /// The first block of Server-Sent Events has the delay and the starting cursor, so that a
    /// client which was cut before the first event can resume too.
    pub(super) fn push_opening(&mut self, retry_millis: u32) {
        let mut block = BytesMut::new();
        block.put_slice(format!("retry: {retry_millis}\n").as_bytes());
        sse::write_cursor(&mut block, self.session.cursor());
        self.push_block(&block);
    }

    /// What clients pass over and people read.
    pub(super) fn push_comment(&mut self, text: &str) {
        if let Framing::Sse { .. } = self.framing {
            self.push_block(format!(": {text}\n").as_bytes());
        }
    }

    /// The end of an answer in chunks.
    pub(super) fn push_end(&mut self) {
        if let Framing::Sse { is_chunked: true } = self.framing {
            self.outlet.push(Bytes::from_static(b"0\r\n\r\n"));
        }
    }

    /// A short block of Server-Sent Events.
    fn push_block(&mut self, block: &[u8]) {
        self.outlet.push(match self.framing {
            Framing::Sse { is_chunked: true } => {
                let head = format!("{:x}\r\n", block.len());
                [head.as_bytes(), block, b"\r\n"].concat().into()
            }
            _ => Bytes::copy_from_slice(block),
        });
    }

    /// Delivers what is due, as far as memory has it and the socket takes it.
    pub(super) fn serve(&mut self, context: &mut Context<'_>) -> Served {
        // Its task was woken before, and has not come yet.
        if !self.outlet.is_empty() {
            return Served::NotByLane;
        }
        match self.session.due() {
            Some(Next::Nothing) => Served::All,
            Some(Next::Item(item)) => {
                self.push(item);
                match self.outlet.poll_flush(context) {
                    Poll::Ready(Ok(())) if self.session.is_behind() => Served::Some,
                    Poll::Ready(Ok(())) => Served::All,
                    Poll::Ready(Err(_)) | Poll::Pending => Served::NotByLane,
                }
            }
            Some(Next::End(_)) | None => Served::NotByLane,
        }
    }

    /// Whether the stream's task is wanted: for what the client says, or for something that a lane
    /// cannot do.
    pub(super) fn poll_attention(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Bytes>>> {
        if !self.outlet.is_empty()
            || self.session.is_behind()
            || self.session.poll_ended(context).is_ready()
        {
            return Poll::Ready(Ok(None));
        }
        Poll::Ready(ready!(self.outlet.poll_read(context)).map(Some))
    }
}
