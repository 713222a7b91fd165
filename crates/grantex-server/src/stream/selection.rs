//! What a subscriber gets of a chunk.

use std::ops::Range;
use std::sync::Arc;

use grantex_core::log::{Position, Subject};
use grantex_types::{EventId, Timestamp};

use super::chunk::{Chunk, Entry, Part};
use grantex_core::usecase::filter::EventFilter;

/// The events of a chunk that a subscriber gets: at least one.
pub(super) struct Selection {
    chunk: Arc<Chunk>,
    /// Runs of consecutive events. Without a filter there is only the first.
    first: Range<usize>,
    rest: Vec<Range<usize>>,
    events: usize,
    bytes: usize,
}

impl Selection {
    /// The events after `after` that the filter shows; `None` if it shows none.
    pub(super) fn of(chunk: &Arc<Chunk>, after: Position, filter: &EventFilter) -> Option<Self> {
        let from = usize::try_from(after.saturating_add(1).saturating_sub(chunk.first()))
            .unwrap_or(usize::MAX);
        let mut selection =
            Self { chunk: Arc::clone(chunk), first: 0..0, rest: Vec::new(), events: 0, bytes: 0 };
        let entries = chunk.entries();
        if filter.is_open() {
            selection.add(from..entries.len());
        } else {
            let mut run = from..from;
            for (index, entry) in entries.iter().enumerate().skip(from) {
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

    fn add(&mut self, run: Range<usize>) {
        if run.is_empty() {
            return;
        }
        self.bytes = self.bytes.saturating_add(self.chunk.blocks(&run).len());
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

    fn last(&self) -> Option<&Entry> {
        let run = self.rest.last().unwrap_or(&self.first);
        self.chunk.entries().get(run.end.saturating_sub(1))
    }

    /// Its events as Server-Sent Events: each part ends where an event ends.
    pub(super) fn sse(&self) -> impl Iterator<Item = Part<'_>> {
        self.runs().map(|run| self.chunk.blocks(run))
    }

    /// Its events as WebSocket messages, one each.
    pub(super) fn ws(&self) -> impl Iterator<Item = Part<'_>> {
        self.runs().map(|run| self.chunk.messages_of(run))
    }

    /// Memory in bytes that it keeps alive.
    pub(super) fn held(&self) -> usize {
        self.chunk.size()
    }

    /// Bytes of its Server-Sent Events.
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
    use grantex_types::EventType;

    use super::*;
    use crate::stream::chunk::tests::{encode, event};

    fn text<'c>(parts: impl Iterator<Item = Part<'c>>) -> String {
        parts.map(|part| String::from_utf8(part.as_ref().to_vec()).unwrap()).collect()
    }

    #[test]
    fn a_selection_is_what_the_filter_shows() {
        use EventType::{GrantCreated as C, TokenIssued as T};
        let events =
            [C, T, T, C, T].into_iter().enumerate().map(|(i, kind)| event(i as u64 + 1, kind, 1));
        let chunk = encode(&events.collect::<Vec<_>>()).remove(0);
        let tokens = EventFilter::parse("token.issued".parse().unwrap(), None, None, None).unwrap();
        let selection = Selection::of(&chunk, 0, &tokens).unwrap();
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
        assert_eq!(Selection::of(&chunk, 3, &tokens).unwrap().events(), 1);
        let open = EventFilter::parse(grantex_types::TypeSet::ALL, None, None, None).unwrap();
        assert_eq!(Selection::of(&chunk, 1, &open).unwrap().events(), 4);
        let none =
            EventFilter::parse("budget.exhausted".parse().unwrap(), None, None, None).unwrap();
        assert!(Selection::of(&chunk, 0, &none).is_none());
    }

    fn latin1(text: &str) -> Vec<u8> {
        text.chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect()
    }
}
