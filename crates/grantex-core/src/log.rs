//! The event log: one per developer, dense positions, strictly increasing ids.

use grantex_types::{AgentId, EventId, EventType, GrantId, Timestamp};

/// Where an event stands in its developer's log: 1, 2, 3, … without a gap. 0 is before the first.
pub type Position = u64;

/// The grant an event is about, with what filters test. Stored beside every event, since most
/// payloads name only the grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The grant.
    pub grant_id: GrantId,
    /// The agent that holds the grant.
    pub agent_id: AgentId,
    /// The principal who gave it.
    pub principal_id: String,
}

/// An event as the log holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in the log.
    pub position: Position,
    /// Its id.
    pub id: EventId,
    /// When it was committed.
    pub created_at: Timestamp,
    /// Its type.
    pub kind: EventType,
    /// What it is about.
    pub subject: Subject,
    /// The canonical JSON: encoded once, when the event was appended, and never again.
    pub envelope: Vec<u8>,
}

/// An event of the log, borrowed while it is read.
#[derive(Debug, Clone, Copy)]
pub struct EventRef<'r> {
    /// Its place in the log.
    pub position: Position,
    /// Its id.
    pub id: EventId,
    /// When it was committed.
    pub created_at: Timestamp,
    /// Its type.
    pub kind: EventType,
    /// What it is about, if that was requested.
    pub subject: Option<SubjectRef<'r>>,
    /// The canonical JSON.
    pub envelope: &'r [u8],
}

/// A [`Subject`] of the log, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubjectRef<'r> {
    /// The grant.
    pub grant_id: GrantId,
    /// The agent that holds the grant.
    pub agent_id: AgentId,
    /// The principal who gave it.
    pub principal_id: &'r str,
}

impl EventRef<'_> {
    /// The owned event; `None` if its subject was not requested.
    pub fn to_stored(&self) -> Option<StoredEvent> {
        Some(StoredEvent {
            position: self.position,
            id: self.id,
            created_at: self.created_at,
            kind: self.kind,
            subject: self.subject?.to_owned(),
            envelope: self.envelope.to_vec(),
        })
    }
}

impl SubjectRef<'_> {
    /// The owned subject.
    pub fn to_owned(self) -> Subject {
        Subject {
            grant_id: self.grant_id,
            agent_id: self.agent_id,
            principal_id: self.principal_id.to_owned(),
        }
    }
}

impl Subject {
    /// The subject, borrowed.
    pub fn as_ref(&self) -> SubjectRef<'_> {
        SubjectRef {
            grant_id: self.grant_id,
            agent_id: self.agent_id,
            principal_id: &self.principal_id,
        }
    }
}

impl StoredEvent {
    /// The event, borrowed.
    pub fn as_ref(&self) -> EventRef<'_> {
        EventRef {
            position: self.position,
            id: self.id,
            created_at: self.created_at,
            kind: self.kind,
            subject: Some(self.subject.as_ref()),
            envelope: &self.envelope,
        }
    }
}

/// A range of a log that cannot be read: each of its events is missing, or not as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Its first position.
    pub first: Position,
    /// Its last position, as far as the search went.
    pub last: Position,
    /// The cursor that leads past it, if the log's end or a readable event was found after it.
    pub resume_after: Option<EventId>,
    /// The same for a reader that starts at the newest event: the cursor to continue before, if a
    /// readable event was searched for and found below it.
    pub resume_before: Option<EventId>,
}

/// Which way a log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// As it was written.
    #[default]
    OldestFirst,
    /// Backwards.
    NewestFirst,
}

/// Which events of a log to read.
#[derive(Debug, Clone, Copy)]
pub struct Scan {
    /// Which way.
    pub order: Order,
    /// The position before the first, that way: with [`Order::NewestFirst`] the one above it.
    pub after: Position,
    /// How many at most.
    pub limit: u32,
    /// No further ones once their envelopes exceed this; the first is returned in any case.
    pub max_bytes: usize,
    /// Whether their subjects are needed: reading them takes as long as all other columns.
    pub with_subjects: bool,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.first == self.last {
            write!(f, "the event at position {} of the log is damaged", self.first)
        } else {
            write!(
                f,
                "the events at positions {} to {} of the log are damaged",
                self.first, self.last
            )
        }
    }
}

/// What a log spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The position of the newest event; 0 if there never was one.
    pub head: Position,
    /// The id of the newest event, or [`EventId::ZERO`].
    pub head_id: EventId,
    /// The time of the newest event, or [`Timestamp::EPOCH`].
    pub head_at: Timestamp,
    /// The position of the last event that was trimmed; 0 if none was.
    pub trimmed: Position,
    /// The id of the last event that was trimmed, or [`EventId::ZERO`].
    pub trimmed_id: EventId,
}

impl Bounds {
    /// The bounds of a log that never had an event.
    pub const EMPTY: Self = Self {
        head: 0,
        head_id: EventId::ZERO,
        head_at: Timestamp::EPOCH,
        trimmed: 0,
        trimmed_id: EventId::ZERO,
    };

    /// Id and time for the next event: never before the newest event's, whatever the clock reads,
    /// and the id strictly above it.
    pub fn next(&self, clock: Timestamp, random: u128) -> (EventId, Timestamp) {
        let at = clock.max(self.head_at);
        let fresh = EventId::from_parts(at.millis(), random);
        if fresh.millis() > self.head_id.millis() {
            return (fresh, at);
        }
        // The same millisecond: one more than the newest. When its 80 random bits are used up,
        // the next millisecond starts early.
        match self.head_id.increment() {
            Some(id) if id.millis() == self.head_id.millis() => (id, at),
            _ => {
                let at = at.plus_millis(1);
                (EventId::from_parts(at.millis(), random), at)
            }
        }
    }

    /// The bounds after one more event.
    #[must_use]
    pub fn after(self, id: EventId, at: Timestamp) -> Self {
        Self { head: self.head.saturating_add(1), head_id: id, head_at: at, ..self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_and_times_never_go_back(clock in prop::collection::vec((0u64..5, any::<u128>()),
            1..200)) {
            let mut bounds = Bounds::EMPTY;
            for (step, (millis, random)) in clock.into_iter().enumerate() {
                let (id, at) = bounds.next(Timestamp::from_millis(1000 + millis), random);
                prop_assert!(id > bounds.head_id && at >= bounds.head_at);
                prop_assert_eq!(id.millis(), at.millis());
                bounds = bounds.after(id, at);
                prop_assert_eq!(bounds.head, step as u64 + 1);
            }
        }
    }

    #[test]
    fn a_used_up_millisecond_starts_the_next() {
        let at = Timestamp::from_millis(7);
        let last = EventId::from_parts(7, u128::MAX);
        let bounds = Bounds { head: 1, head_id: last, head_at: at, ..Bounds::EMPTY };
        let (id, at) = bounds.next(at, 0);
        assert!(id > last);
        assert_eq!(at.millis(), 8);
        assert_eq!(id.millis(), 8);
    }
}
