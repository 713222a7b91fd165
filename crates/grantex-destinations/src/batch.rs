//! The unit that a destination receives: consecutive events, their format, and their place.

use std::collections::BTreeSet;

use grantex::{EventId, GrantexEvent};
use serde::{Deserialize, Serialize};

use crate::format::Format;
use crate::log::Filter;
use crate::state::InFlight;

/// Where a batch belongs in the destination – an object key, a stream and an offset, a file's
/// length – as JSON that only the destination interprets. It is recorded before the batch is sent.
pub type Place = serde_json::Value;

/// The settings that a batch was built with. A batch in flight keeps them across a restart, even if
/// the configuration has changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct BatchSettings {
    pub(crate) filter: Filter,
    pub(crate) format: Format,
}

/// One or more events in log order.
#[derive(Debug, Clone)]
pub struct Batch {
    events: Vec<GrantexEvent>,
    excluded: BTreeSet<EventId>,
    settings: BatchSettings,
    place: Place,
    is_repeat: bool,
    is_redelivery: bool,
}

impl Batch {
    /// `None` for no events.
    pub(crate) fn new(events: Vec<GrantexEvent>, settings: BatchSettings) -> Option<Self> {
        if events.is_empty() {
            return None;
        }
        Some(Self {
            events,
            excluded: BTreeSet::new(),
            settings,
            place: Place::Null,
            is_repeat: false,
            is_redelivery: false,
        })
    }

    /// The batch that a record describes, from the events between its ends.
    pub(crate) fn recovered(events: Vec<GrantexEvent>, record: InFlight) -> Option<Self> {
        let events: Vec<_> =
            events.into_iter().filter(|event| !record.excluded.contains(&event.id)).collect();
        let mut batch = Self::new(events, record.settings)?;
        (batch.place, batch.excluded, batch.is_repeat) = (record.place, record.excluded, true);
        Some(batch)
    }

    /// A dead letter that is sent again, out of its order.
    pub(crate) fn redelivery(event: GrantexEvent, settings: BatchSettings) -> Self {
        Self {
            events: vec![event],
            excluded: BTreeSet::new(),
            settings,
            place: Place::Null,
            is_repeat: false,
            is_redelivery: true,
        }
    }

    /// The events, in log order.
    pub fn events(&self) -> &[GrantexEvent] {
        &self.events
    }

    /// How many there are.
    #[allow(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// The first event's id.
    pub fn first(&self) -> EventId {
        self.events.first().map_or(EventId::ZERO, |event| event.id)
    }

    /// The last event's id.
    pub fn last(&self) -> EventId {
        self.events.last().map_or(EventId::ZERO, |event| event.id)
    }

    /// What [`EventDestination::place`](crate::EventDestination::place) returned for this batch,
    /// perhaps in an earlier process; `Null` before the call.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// It may have been sent before, wholly or in part, by this process or one before it.
    pub fn is_repeat(&self) -> bool {
        self.is_repeat
    }

    /// It is a dead letter that an operator sends again: it is outside of the order.
    pub fn is_redelivery(&self) -> bool {
        self.is_redelivery
    }

    /// The format that the events are to be written in.
    pub fn format(&self) -> &Format {
        &self.settings.format
    }

    /// Appends `event` to `out` in the batch's format: one JSON object on one line, without a line
    /// end.
    pub fn encode(&self, event: &GrantexEvent, out: &mut Vec<u8>) {
        self.settings.format.encode(event, out);
    }

    /// The whole batch as NDJSON: a line for each event, each with its `\n`.
    pub fn to_ndjson(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.events.iter().map(|event| event.json().len()).sum());
        for event in &self.events {
            self.encode(event, &mut out);
            out.push(b'\n');
        }
        out
    }

    pub(crate) fn set_place(&mut self, place: Place) {
        self.place = place;
    }

    pub(crate) fn mark_sent(&mut self) {
        self.is_repeat = true;
    }

    pub(crate) fn record(&self) -> InFlight {
        let last = self.excluded.last().copied().unwrap_or(EventId::ZERO).max(self.last());
        let first = self.excluded.first().copied().unwrap_or(self.first()).min(self.first());
        InFlight {
            first,
            last,
            excluded: self.excluded.clone(),
            settings: self.settings.clone(),
            place: self.place.clone(),
            is_done: false,
        }
    }

    /// Two halves, which were not sent as such before; the batch itself if it is a single event.
    pub(crate) fn halves(self) -> Result<(Self, Self), Box<Self>> {
        let middle = self.events.len() / 2;
        self.split_at(middle)
    }

    /// The first event and the others, which were not sent as such before; the batch itself if it
    /// is a single event.
    pub(crate) fn split_first(self) -> Result<(Self, Self), Box<Self>> {
        let at = usize::from(self.events.len() > 1);
        self.split_at(at)
    }

    fn split_at(mut self, middle: usize) -> Result<(Self, Self), Box<Self>> {
        if middle == 0 {
            return Err(Box::new(self));
        }
        let later = self.events.split_off(middle);
        let border = later.first().map_or(EventId::ZERO, |event| event.id);
        let excluded = self.excluded.split_off(&border);
        let second = Self {
            events: later,
            excluded,
            settings: self.settings.clone(),
            place: Place::Null,
            is_repeat: false,
            is_redelivery: self.is_redelivery,
        };
        (self.place, self.is_repeat) = (Place::Null, false);
        Ok((self, second))
    }

    /// Removes the events at `indexes`, which are rejected, and returns them.
    pub(crate) fn exclude(&mut self, indexes: &BTreeSet<usize>) -> Vec<(usize, GrantexEvent)> {
        let events = std::mem::take(&mut self.events);
        let (out, kept): (Vec<_>, Vec<_>) =
            events.into_iter().enumerate().partition(|(index, _)| indexes.contains(index));
        self.events = kept.into_iter().map(|(_, event)| event).collect();
        self.excluded.extend(out.iter().map(|(_, event)| event.id));
        // The events that are left were sent before, among the others.
        self.place = Place::Null;
        out
    }
}
