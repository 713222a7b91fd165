//! Events as ready-to-send bytes, made once for all subscribers.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use grantex_core::log::{EventRef, Position, Subject};
use grantex_types::{EventId, EventType, Timestamp, sse};

use super::ws_frame;

/// Bytes in a chunk at most, unless a single event is larger. A subscriber in the middle of a write
/// keeps the chunks alive that the write's events lie in: see the limits in `subscriber`.
const LARGEST_CHUNK: usize = 64 << 10;

/// Bytes of most events' blocks, approximately.
const USUAL_BLOCK: usize = 256;

/// Consecutive events of one log as blocks of Server-Sent Events, one after the other in one
/// buffer. Their WebSocket messages lie in another buffer, made from the envelopes in the blocks.
#[derive(Debug)]
pub(super) struct Chunk {
    first: Position,
    entries: Vec<Entry>,
    bytes: Bytes,
    /// Made when the first WebSocket asks for them.
    messages: OnceLock<Messages>,
    /// Approximate memory in bytes, with the messages.
    size: usize,
}

/// Events as WebSocket messages, and where each begins.
#[derive(Debug)]
struct Messages {
    bytes: Bytes,
    starts: Vec<usize>,
}

/// Where one event lies in its chunk, and what filters ask about it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) id: EventId,
    pub(super) created_at: Timestamp,
    pub(super) kind: EventType,
    /// Shared with the entry before, where it is the same; `None` where no filter asks for it.
    pub(super) subject: Option<Arc<Subject>>,
    start: usize,
    end: usize,
}

impl Entry {
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
    fn new(
        first: Position,
        entries: Vec<Entry>,
        bytes: Bytes,
        messages: OnceLock<Messages>,
    ) -> Self {
        let held = |subject: &Arc<Subject>| {
            size_of::<Subject>().saturating_add(subject.principal_id.len())
        };
        let subjects: usize =
            entries.iter().filter_map(|entry| entry.subject.as_ref().map(held)).sum();
        let index = entries.len().saturating_mul(size_of::<Entry>());
        let size = bytes.len().saturating_mul(2).saturating_add(index).saturating_add(subjects);
        Self { first, entries, bytes, messages, size }
    }

    /// The position of its first event.
    pub(super) fn first(&self) -> Position {
        self.first
    }

    /// The position of its last event.
    pub(super) fn last(&self) -> Position {
        self.first.saturating_add(self.entries.len() as u64).saturating_sub(1)
    }

    /// Approximate memory in bytes, with the messages.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Whether to join the next chunk to this one. If the next is not smaller, an event is copied
    /// no more often than a chunk can double.
    pub(super) fn should_join(&self, next: &Self) -> bool {
        let (length, next_length) = (self.bytes.len(), next.bytes.len());
        length <= next_length
            && length.saturating_add(next_length) <= LARGEST_CHUNK
            && self.last().saturating_add(1) == next.first
    }

    /// This chunk and the next as one: a subscriber that lacks both finds them in one place.
    pub(super) fn join(&self, next: &Self) -> Self {
        let shift = self.bytes.len();
        let moved = next.entries.iter().map(|entry| Entry {
            start: entry.start.saturating_add(shift),
            end: entry.end.saturating_add(shift),
            ..entry.clone()
        });
        let messages =
            self.messages.get().zip(next.messages.get()).map(|(own, next)| own.join(next));
        let entries = self.entries.iter().cloned().chain(moved).collect();
        let bytes = [&self.bytes[..], &next.bytes[..]].concat();
        Self::new(
            self.first,
            entries,
            bytes.into(),
            messages.map_or_else(OnceLock::new, OnceLock::from),
        )
    }

    /// Its events, in log order.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// A run of its events as Server-Sent Events.
    pub(super) fn blocks(&self, run: &Range<usize>) -> Part<'_> {
        let entries = self.entries.get(run.clone()).unwrap_or_default();
        let start = entries.first().map_or(0, |entry| entry.start);
        let end = entries.last().map_or(start, |entry| entry.end);
        Part { of: &self.bytes, range: start..end }
    }

    /// A run of its events as WebSocket messages.
    pub(super) fn messages_of(&self, run: &Range<usize>) -> Part<'_> {
        let messages = self.messages();
        let start =
            |index: usize| messages.starts.get(index).copied().unwrap_or(messages.bytes.len());
        Part { of: &messages.bytes, range: start(run.start)..start(run.end) }
    }

    fn messages(&self) -> &Messages {
        self.messages.get_or_init(|| {
            let mut starts = Vec::with_capacity(self.entries.len().saturating_add(1));
            let mut bytes = BytesMut::with_capacity(self.bytes.len());
            for entry in &self.entries {
                starts.push(bytes.len());
                ws_frame::write_text(
                    &mut bytes,
                    self.bytes.get(entry.envelope()).unwrap_or_default(),
                );
            }
            starts.push(bytes.len());
            Messages { bytes: bytes.freeze(), starts }
        })
    }

    /// The id of its last event.
    pub(super) fn last_id(&self) -> EventId {
        self.entries.last().map_or(EventId::ZERO, |entry| entry.id)
    }
}

/// Frames events into chunks.
#[derive(Debug, Default)]
pub(super) struct ChunkBuilder {
    chunks: Vec<Arc<Chunk>>,
    first: Position,
    entries: Vec<Entry>,
    buffer: BytesMut,
}

impl ChunkBuilder {
    /// Adds an event with a higher position than the one before. After a gap a new chunk begins.
    pub(super) fn push(&mut self, event: EventRef<'_>) {
        let follows = self.first.saturating_add(self.entries.len() as u64) == event.position;
        if !follows || self.buffer.len().saturating_add(event.envelope.len()) > LARGEST_CHUNK {
            self.cut();
        }
        if self.entries.is_empty() {
            self.first = event.position;
            // After one chunk there will be more: each gets all its room at once.
            if !self.chunks.is_empty() {
                self.buffer.reserve(LARGEST_CHUNK.saturating_add(LARGEST_CHUNK / 8));
                self.entries.reserve(LARGEST_CHUNK / USUAL_BLOCK);
            }
        }
        let start = self.buffer.len();
        sse::write_event(&mut self.buffer, event.id, event.envelope);
        let last = self.entries.last().and_then(|last| last.subject.as_ref());
        let subject = match (event.subject, last) {
            (Some(subject), Some(last)) if subject == last.as_ref().as_ref() => {
                Some(Arc::clone(last))
            }
            (subject, _) => subject.map(|subject| Arc::new(subject.to_owned())),
        };
        self.entries.push(Entry {
            id: event.id,
            created_at: event.created_at,
            kind: event.kind,
            subject,
            start,
            end: self.buffer.len(),
        });
    }

    /// All events, in as few chunks as the limit allows.
    pub(super) fn finish(mut self) -> Vec<Arc<Chunk>> {
        self.cut();
        self.chunks
    }

    fn cut(&mut self) {
        if !self.entries.is_empty() {
            let (entries, bytes) =
                (std::mem::take(&mut self.entries), self.buffer.split().freeze());
            self.chunks.push(Arc::new(Chunk::new(self.first, entries, bytes, OnceLock::new())));
        }
    }
}

impl Messages {
    fn join(&self, next: &Self) -> Self {
        let shift = self.bytes.len();
        let own = self.starts.iter().copied().filter(|start| *start < shift);
        let moved = next.starts.iter().map(|start| start.saturating_add(shift));
        Self {
            bytes: [&self.bytes[..], &next.bytes[..]].concat().into(),
            starts: own.chain(moved).collect(),
        }
    }
}

/// A part of a chunk's buffer.
pub(super) struct Part<'c> {
    of: &'c Bytes,
    range: Range<usize>,
}

impl Part<'_> {
    pub(super) fn len(&self) -> usize {
        self.range.len()
    }

    /// A reference to the shared buffer.
    pub(super) fn share(&self) -> Bytes {
        self.of.slice(self.range.clone())
    }
}

impl AsRef<[u8]> for Part<'_> {
    fn as_ref(&self) -> &[u8] {
        self.of.get(self.range.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use grantex_core::log::StoredEvent;
    use grantex_types::{AgentId, GrantId};

    use super::*;

    pub(in super::super) fn event(position: Position, kind: EventType, size: usize) -> StoredEvent {
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

    pub(in super::super) fn encode(events: &[StoredEvent]) -> Vec<Arc<Chunk>> {
        let mut builder = ChunkBuilder::default();
        for event in events {
            builder.push(event.as_ref());
        }
        builder.finish()
    }

    #[test]
    fn chunks_are_bounded_and_lose_nothing() {
        let events: Vec<_> = (1..=50).map(|n| event(n, EventType::GrantCreated, 5000)).collect();
        let chunks = encode(&events);
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
    fn joined_chunks_have_what_their_parts_had() {
        let events: Vec<_> = (1..=9).map(|n| event(n, EventType::GrantCreated, 10)).collect();
        let whole = encode(&events).remove(0);
        let [one, two] = [&events[..4], &events[4..]].map(|part| encode(part).remove(0));
        let all = |chunk: &Arc<Chunk>| {
            let rest = 2..chunk.entries().len();
            let (sse, ws) = (chunk.blocks(&rest).share(), chunk.messages_of(&rest).share());
            (sse, ws, chunk.last_id())
        };
        // Without messages, and with those of both parts.
        for _ in 0..2 {
            assert!(one.should_join(&two) && !two.should_join(&one));
            let joined = Arc::new(one.join(&two));
            assert_eq!((joined.first(), joined.last()), (1, 9));
            assert_eq!(all(&joined), all(&whole));
            one.messages();
            two.messages();
        }
    }
}
