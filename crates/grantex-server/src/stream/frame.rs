//! Events as ready-to-send bytes, made once for all subscribers.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use grantex_core::log::{Position, StoredEvent, Subject};
use grantex_types::{EventId, EventType, Timestamp, sse};

use super::{Filter, ws_frame};

/// Bytes in a chunk at most, unless a single event is larger. A subscriber in the middle of a
/// write keeps the chunks alive that the write's events lie in: see `session`'s limits.
const LARGEST_CHUNK: usize = 64 << 10;

/// Consecutive events of one log in one buffer: their SSE blocks, one after the other. Their
/// WebSocket messages lie in another, made of the envelopes in the blocks.
#[derive(Debug)]
pub(super) struct Chunk {
    first: Position,
    frames: Vec<Frame>,
    bytes: Bytes,
    /// The same events as WebSocket messages, from when the first WebSocket asks, and where each begins.
    messages: OnceLock<Messages>,
}

#[derive(Debug)]
struct Messages {
    bytes: Bytes,
    starts: Vec<usize>,
}

/// Where one event lies in its chunk, and what filters ask about it.
#[derive(Debug)]
struct Frame {
    id: EventId,
    created_at: Timestamp,
    kind: EventType,
    subject: Subject,
    start: usize,
    end: usize,
}

impl Frame {
    /// Where its envelope lies.
    fn envelope(&self) -> Range<usize> {
        let start = self.start.saturating_add(BLOCK_HEAD);
        start..self.end.saturating_sub(BLOCK_END).max(start)
    }
}

/// `id: evt_…\ndata: ` before an envelope.
const BLOCK_HEAD: usize = 4 + EventId::CHARS + 7;
/// `\n\n` after an envelope.
const BLOCK_END: usize = 2;

impl Chunk {
    /// Frames consecutive events, in as few chunks as the limit allows.
    pub(super) fn encode(events: Vec<StoredEvent>) -> Vec<Arc<Self>> {
        let mut chunks = Vec::new();
        let mut frames: Vec<Frame> = Vec::new();
        let mut buffer = BytesMut::new();
        let mut first = 0;
        for event in events {
            if buffer.len().saturating_add(event.envelope.len()) > LARGEST_CHUNK && !frames.is_empty() {
                chunks.push(Arc::new(Self {
                    first,
                    frames: std::mem::take(&mut frames),
                    bytes: buffer.split().freeze(),
                    messages: OnceLock::new(),
                }));
            }
            if frames.is_empty() {
                first = event.position;
            }
            let start = buffer.len();
            sse::write_event(&mut buffer, event.id, &event.envelope);
            frames.push(Frame {
                id: event.id,
                created_at: event.created_at,
                kind: event.kind,
                subject: event.subject,
                start,
                end: buffer.len(),
            });
        }
        if !frames.is_empty() {
            chunks.push(Arc::new(Self { first, frames, bytes: buffer.freeze(), messages: OnceLock::new() }));
        }
        chunks
    }

    /// The position of its first event.
    pub(super) fn first(&self) -> Position {
        self.first
    }

    /// The position of its last event.
    pub(super) fn last(&self) -> Position {
        self.first.saturating_add(self.frames.len() as u64).saturating_sub(1)
    }

    /// Memory it holds, about, once a WebSocket has asked for it.
    pub(super) fn size(&self) -> usize {
        let frames = self.frames.len().saturating_mul(size_of::<Frame>());
        let principals: usize = self.frames.iter().map(|frame| frame.subject.principal_id.capacity()).sum();
        self.bytes.len().saturating_mul(2).saturating_add(frames).saturating_add(principals)
    }

    fn messages(&self) -> &Messages {
        self.messages.get_or_init(|| {
            let mut starts = Vec::with_capacity(self.frames.len().saturating_add(1));
            let mut bytes = BytesMut::with_capacity(self.bytes.len());
            for frame in &self.frames {
                starts.push(bytes.len());
                ws_frame::write_text(&mut bytes, self.bytes.get(frame.envelope()).unwrap_or_default());
            }
            starts.push(bytes.len());
            Messages { bytes: bytes.freeze(), starts }
        })
    }

    /// The next run of consecutive events after `after` that the filter shows, or the last event
    /// passed over when there is none left.
    pub(super) fn next_run(self: &Arc<Self>, after: Position, filter: &Filter) -> Result<Run, Passed> {
        let from = usize::try_from(after.saturating_add(1).saturating_sub(self.first)).unwrap_or(usize::MAX);
        let rest = self.frames.get(from..).unwrap_or_default();
        if filter.is_open() && !rest.is_empty() {
            return Ok(Run { chunk: Arc::clone(self), frames: from..self.frames.len() });
        }
        let shown = |frame: &Frame| filter.shows(frame.kind, &frame.subject);
        let Some(skipped) = rest.iter().position(shown) else {
            let id = self.frames.last().map_or(EventId::ZERO, |frame| frame.id);
            return Err(Passed { position: self.last(), id });
        };
        let length = rest.iter().skip(skipped).take_while(|frame| shown(frame)).count();
        let start = from.saturating_add(skipped);
        Ok(Run { chunk: Arc::clone(self), frames: start..start.saturating_add(length) })
    }
}

/// The end of a chunk whose rest is hidden from a subscriber.
pub(super) struct Passed {
    pub(super) position: Position,
    pub(super) id: EventId,
}

/// A part of a shared buffer.
pub(super) struct Part<'c> {
    of: &'c Bytes,
    place: Range<usize>,
}

impl Part<'_> {
    pub(super) fn len(&self) -> usize {
        self.place.len()
    }

    /// Shares it.
    pub(super) fn share(&self) -> Bytes {
        self.of.slice(self.place.clone())
    }
}

impl AsRef<[u8]> for Part<'_> {
    fn as_ref(&self) -> &[u8] {
        self.of.get(self.place.clone()).unwrap_or_default()
    }
}

/// Consecutive events that a subscriber gets: at least one.
pub(crate) struct Run {
    chunk: Arc<Chunk>,
    frames: Range<usize>,
}

impl Run {
    fn frames(&self) -> &[Frame] {
        self.chunk.frames.get(self.frames.clone()).unwrap_or_default()
    }

    /// All events as Server-Sent Events: one slice of the shared buffer, ending where an event
    /// ends.
    pub(super) fn sse(&self) -> Part<'_> {
        let start = self.frames().first().map_or(0, |frame| frame.start);
        let end = self.frames().last().map_or(0, |frame| frame.end);
        Part { of: &self.chunk.bytes, place: start..end }
    }

    /// All events as WebSocket messages, one each: one slice of a shared buffer.
    pub(super) fn ws(&self) -> Part<'_> {
        let messages = self.chunk.messages();
        let place = |index: usize| messages.starts.get(index).copied().unwrap_or(messages.bytes.len());
        Part { of: &messages.bytes, place: place(self.frames.start)..place(self.frames.end) }
    }

    /// Memory that it keeps alive.
    pub(super) fn held(&self) -> usize {
        self.chunk.size()
    }

    pub(super) fn shares_memory_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chunk, &other.chunk)
    }

    pub(super) fn bytes(&self) -> usize {
        let (first, last) = (self.frames().first(), self.frames().last());
        last.map_or(0, |frame| frame.end).saturating_sub(first.map_or(0, |frame| frame.start))
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn last_position(&self) -> Position {
        self.chunk.first.saturating_add(self.frames.end as u64).saturating_sub(1)
    }

    pub(super) fn last_id(&self) -> EventId {
        self.frames().last().map_or(EventId::ZERO, |frame| frame.id)
    }

    pub(super) fn last_created_at(&self) -> Timestamp {
        self.frames().last().map_or(Timestamp::EPOCH, |frame| frame.created_at)
    }
}

#[cfg(test)]
mod tests {
    use grantex_types::{AgentId, GrantId};

    use super::*;

    pub(crate) fn event(position: Position, kind: EventType, size: usize) -> StoredEvent {
        StoredEvent {
            position,
            id: EventId::from_parts(position, 0),
            created_at: Timestamp::from_millis(position),
            kind,
            subject: Subject {
                grant_id: GrantId::from_parts(0, 1),
                agent_id: AgentId::from_parts(0, 2),
                principal_id: "user".into(),
            },
            envelope: format!("{{\"n\":{position},\"pad\":\"{}\"}}", "x".repeat(size)).into_bytes(),
        }
    }

    #[test]
    fn chunks_are_bounded_and_lose_nothing() {
        let events: Vec<_> = (1..=50).map(|n| event(n, EventType::GrantCreated, 5000)).collect();
        let chunks = Chunk::encode(events);
        assert!(chunks.len() > 1);
        let mut next = 1;
        for chunk in &chunks {
            assert_eq!(chunk.first(), next);
            assert!(chunk.bytes.len() <= LARGEST_CHUNK + 128);
            assert!(chunk.bytes.ends_with(b"\n\n"));
            next = chunk.last() + 1;
        }
        assert_eq!(next, 51);
    }

    #[test]
    fn runs_are_what_the_filter_shows() {
        use EventType::{GrantCreated as C, TokenIssued as T};
        let events = [C, T, T, C, T].into_iter().enumerate().map(|(i, kind)| event(i as u64 + 1, kind, 1));
        let chunk = Chunk::encode(events.collect()).remove(0);
        let tokens = Filter::new("token.issued".parse().unwrap(), None, None, None).unwrap();
        let run = chunk.next_run(0, &tokens).ok().unwrap();
        assert_eq!((run.len(), run.last_position()), (2, 3));
        assert_eq!(run.ws().as_ref(), b"\x81\x11{\"n\":2,\"pad\":\"x\"}\x81\x11{\"n\":3,\"pad\":\"x\"}");
        let block = run.sse().share();
        assert!(block.starts_with(b"id: evt_") && block.ends_with(b"\n\n"));
        let run = chunk.next_run(3, &tokens).ok().unwrap();
        assert_eq!((run.len(), run.last_position()), (1, 5));
        let open = Filter::new(grantex_types::TypeSet::ALL, None, None, None).unwrap();
        assert_eq!(chunk.next_run(1, &open).ok().unwrap().len(), 4);
        let none = Filter::new("budget.exhausted".parse().unwrap(), None, None, None).unwrap();
        assert_eq!(chunk.next_run(0, &none).err().unwrap().position, 5);
    }
}
