//! Pages of the event log, in either order.

use grantex_types::{DeveloperId, EventId};

use super::events::{self, Cursor, Start, Stop};
use super::filter::EventFilter;
use crate::log::Position;
use crate::store::{MOST_LOOKED_AT, Order, Read, Scan};
use crate::{Result, StoreError};

/// Bytes of the envelopes that one page reads: a filter that matches few events ends the page
/// early.
const MOST_BYTES_LOOKED_AT: usize = 4 << 20;
/// Bytes of the envelopes that one page shows: a page of large events ends early.
const MOST_BYTES_SHOWN: usize = 1 << 20;

/// Which part of the log a page is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// Which events come first.
    pub order: Order,
    /// Its lower end.
    pub start: Start,
    /// Its upper end.
    pub stop: Stop,
    /// Events of a page, at most.
    pub limit: u32,
}

/// One page of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPage {
    /// The events, each with its canonical JSON.
    pub events: Vec<(Position, Vec<u8>)>,
    /// Where the next page continues: after this event, or before it with the newest first. `None`
    /// where the section ends with this page.
    pub next_cursor: Option<EventId>,
    /// The oldest position that is retained.
    pub oldest: Position,
    /// The newest position.
    pub head: Position,
}

/// Reads a page of the events that match the filter. Each page with a `next_cursor` advances the
/// reader, even if it has no events.
///
/// A page ends before an event that is damaged. The page that would begin with one fails with
/// [`Damaged`](StoreError::Damaged).
pub fn read(
    store: &dyn Read,
    developer: DeveloperId,
    section: &Section,
    filter: &EventFilter,
) -> Result<HistoryPage> {
    let limit = section.limit as usize;
    let start = events::locate(store, developer, section.start)?;
    let stop = events::locate_stop(store, developer, section.stop)?;
    let bounds = store.log_bounds(developer)?;
    // Where the page is: on its way up to `stop`, or down to what follows `start`.
    let mut cursor = match section.order {
        Order::OldestFirst => start,
        Order::NewestFirst => Cursor { position: stop.saturating_add(1), id: bounds.head_id },
    };
    let left = |position: Position| match section.order {
        Order::OldestFirst => stop.saturating_sub(position),
        Order::NewestFirst => position.saturating_sub(start.position).saturating_sub(1),
    };
    let mut events = Vec::new();
    let (mut looked_at, mut bytes_looked_at, mut bytes_shown) = (0_u32, 0_usize, 0_usize);
    while left(cursor.position) > 0
        && looked_at < MOST_LOOKED_AT
        && bytes_looked_at < MOST_BYTES_LOOKED_AT
        && bytes_shown < MOST_BYTES_SHOWN
        && events.len() < limit
    {
        let scan = Scan {
            order: section.order,
            after: cursor.position,
            limit: section.limit.min(u32::try_from(left(cursor.position)).unwrap_or(u32::MAX)),
            max_bytes: MOST_BYTES_SHOWN.saturating_sub(bytes_shown),
            with_subjects: filter.asks_for_subject(),
        };
        let is_first = looked_at == 0;
        let scanned = store.scan_events(developer, scan, &mut |event| {
            if events.len() >= limit {
                return;
            }
            looked_at = looked_at.saturating_add(1);
            bytes_looked_at = bytes_looked_at.saturating_add(event.envelope.len());
            cursor = Cursor { position: event.position, id: event.id };
            if filter.shows(event.kind, event.subject) {
                bytes_shown = bytes_shown.saturating_add(event.envelope.len());
                events.push((event.position, event.envelope.to_vec()));
            }
        });
        match scanned {
            Err(StoreError::Damaged(_)) if !is_first => break,
            scanned => scanned?,
        }
    }
    Ok(HistoryPage {
        events,
        next_cursor: (left(cursor.position) > 0).then_some(cursor.id),
        oldest: bounds.trimmed.saturating_add(1),
        head: bounds.head,
    })
}
