//! Events as ready-to-send bytes, made once for all subscribers.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use grantex_core::log::{EventRef, Position, Subject};
use grantex_types::{EventId, EventType, Timestamp, sse};

use super::filter::EventFilter;
use super::ws_frame;

/// Bytes in a chunk at most, unless a single event is larger. A subscriber in the middle of a
/// write keeps the chunks alive that the write's events lie in: see `session`'s limits.
const LARGEST_CHUNK: usize = 64 << 10;

/// Bytes of most events' blocks, about.
const USUAL_BLOCK: usize = 256;

/// Consecutive events of one log in one buffer: their SSE blocks, one after the other. Their
/// WebSocket messages lie in another, made of the envelopes in the blocks.
#[derive(Debug)]
pub(super) struct Chunk {
    first: Position,
    entries: Vec<Entry>,
    bytes: Bytes,
    /// The same events as WebSocket messages, from when the first WebSocket asks, and where each
    /// begins.
    messages: OnceLock<Messages>,
    /// Memory it holds, about, once a WebSocket has asked for it.
    size: usize,
}

#[derive(Debug)]
struct Messages {
    bytes: Bytes,
    starts: Vec<usize>,
}

/// Where one event lies in its chunk, and what filters ask about it.
#[derive(Debug, Clone)]
struct Entry {
    id: EventId,
    created_at: Timestamp,
    kind: EventType,
    /// Shared with the entry before, where it is the same; left out where nobody asks for it.
    subject: Option<Arc<Subject>>,
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
        let places = entries.len().saturating_mul(size_of::<Entry>());
        let size = bytes.len().saturating_mul(2).saturating_add(places).saturating_add(subjects);
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

    /// Memory it holds, about, once a WebSocket has asked for it.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Whether joining the next chunk to this one is worth what it copies: if the next is not
    /// smaller, an event is copied no more often than the number of times that a chunk can double.
    pub(super) fn should_join(&self, next: &Self) -> bool {
        let (length, next_length) = (self.bytes.len(), next.bytes.len());
        length <= next_length
            && length.saturating_add(next_length) <= LARGEST_CHUNK
            && self.last().saturating_add(1) == next.first
    }

    /// This chunk and the next as one: whoever lacks both finds them in one place.
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

    /// What the filter shows of the events after `after`.
    pub(super) fn select(
        self: &Arc<Self>,
        after: Position,
        filter: &EventFilter,
    ) -> Option<Selection> {
        let from = usize::try_from(after.saturating_add(1).saturating_sub(self.first))
            .unwrap_or(usize::MAX);
        let mut selection = Selection {
            chunk: Arc::clone(self),
            first: 0..0,
            rest: Vec::new(),
            events: 0,
            bytes: 0,
        };
        if filter.is_open() {
            selection.add(from..self.entries.len());
        } else {
            let mut run = from..from;
            for (index, entry) in self.entries.iter().enumerate().skip(from) {
                if filter.shows(entry.kind, entry.subject.as_deref().map(Subject::as_ref)) {
                    run.end = index.saturating_add(1);
                } else {
                    selection.add(run);
                    run = index.saturating_add(1)..index.saturating_add(1);
                }
            }
            selection.add(run);
        }
        (selection.events > 0).then_some(selection)
    }

    /// The id of its last event.
    pub(super) fn last_id(&self) -> EventId {
        self.entries.last().map_or(EventId::ZERO, |entry| entry.id)
    }
}

/// Frames events.
#[derive(Debug, Default)]
pub(super) struct ChunkBuilder {
    chunks: Vec<Arc<Chunk>>,
    first: Position,
    entries: Vec<Entry>,
    buffer: BytesMut,
}

impl ChunkBuilder {
    /// Adds an event that comes after the one before. A chunk has no gap: behind one, another
    /// begins.
    pub(super) fn push(&mut self, event: EventRef<'_>) {
        let follows = self.first.saturating_add(self.entries.len() as u64) == event.position;
        if !follows || self.buffer.len().saturating_add(event.envelope.len()) > LARGEST_CHUNK {
            self.cut();
        }
        if self.entries.is_empty() {
            self.first = event.position;
            // Where there was one chunk there will be more: they get all their room at once.
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

    /// All of them, in as few chunks as the limit allows.
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

/// What a subscriber gets of a chunk: at least one event.
pub(super) struct Selection {
    chunk: Arc<Chunk>,
    /// Runs of consecutive entries: the first, which is hardly ever followed by others unless there
    /// is a filter.
    first: Range<usize>,
    rest: Vec<Range<usize>>,
    events: usize,
    bytes: usize,
}

impl Selection {
    fn add(&mut self, run: Range<usize>) {
        if run.is_empty() {
            return;
        }
        self.bytes = self.bytes.saturating_add(self.blocks(&run).len());
        self.events = self.events.saturating_add(run.len());
        if self.first.is_empty() {
            self.first = run;
        } else {
            self.rest.push(run);
        }
    }

    fn runs(&self) -> impl Iterator<Item = &Range<usize>> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    fn blocks(&self, run: &Range<usize>) -> Part<'_> {
        let entries = self.chunk.entries.get(run.clone()).unwrap_or_default();
        let start = entries.first().map_or(0, |entry| entry.start);
        let end = entries.last().map_or(start, |entry| entry.end);
        Part { of: &self.chunk.bytes, place: start..end }
    }

    fn last(&self) -> Option<&Entry> {
        let run = self.rest.last().unwrap_or(&self.first);
        self.chunk.entries.get(run.end.saturating_sub(1))
    }

    /// Its events as Server-Sent Events: each part ends where an event ends.
    pub(super) fn sse(&self) -> impl Iterator<Item = Part<'_>> {
        self.runs().map(|run| self.blocks(run))
    }

    /// Its events as WebSocket messages, one each.
    pub(super) fn ws(&self) -> impl Iterator<Item = Part<'_>> {
        let messages = self.chunk.messages();
        let place =
            |index: usize| messages.starts.get(index).copied().unwrap_or(messages.bytes.len());
        self.runs()
            .map(move |run| Part { of: &messages.bytes, place: place(run.start)..place(run.end) })
    }

    /// Memory that it keeps alive.
    pub(super) fn held(&self) -> usize {
        self.chunk.size()
    }

    /// Of its Server-Sent Events.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn events(&self) -> usize {
        self.events
    }

    pub(super) fn last_id(&self) -> EventId {
        self.last().map_or(EventId::ZERO, |entry| entry.id)
    }

    pub(super) fn last_created_at(&self) -> Timestamp {
        self.last().map_or(Timestamp::EPOCH, |entry| entry.created_at)
    }
}

#[cfg(test)]
mod tests {
    use grantex_core::log::StoredEvent;
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

    fn encode(events: &[StoredEvent]) -> Vec<Arc<Chunk>> {
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

    fn text<'c>(parts: impl Iterator<Item = Part<'c>>) -> String {
        parts.map(|part| String::from_utf8(part.as_ref().to_vec()).unwrap()).collect()
    }

    #[test]
    fn a_selection_is_what_the_filter_shows() {
        use EventType::{GrantCreated as C, TokenIssued as T};
        let events =
            [C, T, T, C, T].into_iter().enumerate().map(|(i, kind)| event(i as u64 + 1, kind, 1));
        let chunk = encode(&events.collect::<Vec<_>>()).remove(0);
        let tokens = EventFilter::new("token.issued".parse().unwrap(), None, None, None).unwrap();
        let selection = chunk.select(0, &tokens).unwrap();
        assert_eq!((selection.events(), selection.last_id()), (3, EventId::from_parts(5, 0)));
        let message = |n| format!("\u{81}\x11{{\"n\":{n},\"pad\":\"x\"}}");
        let expected: Vec<u8> = [2, 3, 5].into_iter().flat_map(|n| latin1(&message(n))).collect();
        assert_eq!(
            selection.ws().flat_map(|part| part.as_ref().to_vec()).collect::<Vec<_>>(),
            expected
        );
        let blocks = text(selection.sse());
        assert_eq!(blocks.len(), selection.bytes());
        assert!(
            blocks.starts_with("id: evt_")
                && blocks.ends_with("\n\n")
                && !blocks.contains("\"n\":4")
        );
        assert_eq!(chunk.select(3, &tokens).unwrap().events(), 1);
        let open = EventFilter::new(grantex_types::TypeSet::ALL, None, None, None).unwrap();
        assert_eq!(chunk.select(1, &open).unwrap().events(), 4);
        let none = EventFilter::new("budget.exhausted".parse().unwrap(), None, None, None).unwrap();
        assert!(chunk.select(0, &none).is_none());
    }

    fn latin1(text: &str) -> Vec<u8> {
        text.chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect()
    }

    #[test]
    fn joined_chunks_have_what_their_parts_had() {
        let events: Vec<_> = (1..=9).map(|n| event(n, EventType::GrantCreated, 10)).collect();
        let whole = encode(&events).remove(0);
        let [one, two] = [&events[..4], &events[4..]].map(|part| encode(part).remove(0));
        let open = EventFilter::new(grantex_types::TypeSet::ALL, None, None, None).unwrap();
        let all = |chunk: &Arc<Chunk>| {
            let selection = chunk.select(2, &open).unwrap();
            let [sse, ws] = [
                selection.sse().map(|part| part.share()).collect::<Vec<_>>().concat(),
                selection.ws().map(|part| part.share()).collect::<Vec<_>>().concat(),
            ];
            (sse, ws, selection.last_id())
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
