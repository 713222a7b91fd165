//! Finding one's place in the log.

use grantex_types::{DeveloperId, ErrorCode, EventId, Timestamp};

use crate::log::{Bounds, Position, StoredEvent};
use crate::store::{Order, Read, Scan};
use crate::{Error, Result};

/// Where a reader wants to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// After this event.
    After(EventId),
    /// With the first event at or after this time, or with the oldest one still there.
    Since(Timestamp),
    /// With the next event to come.
    Now,
    /// With the oldest event still there.
    Oldest,
}

/// Where a reader wants to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// With the newest event.
    Newest,
    /// With the last event before this one.
    Before(EventId),
    /// With the last event before this time.
    Until(Timestamp),
}

/// A place in a log: everything up to here was seen or passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The position of the last event before the place.
    pub position: Position,
    /// Its id.
    pub id: EventId,
}

/// The place where a reader starts.
///
/// An id is refused only if something after it is gone or if the log never had it: the last
/// trimmed event's id is still a good place, and so is [`EventId::ZERO`] while nothing was
/// trimmed.
pub fn locate(store: &dyn Read, developer: DeveloperId, start: Start) -> Result<Cursor> {
    let bounds = store.log_bounds(developer)?;
    let position = match start {
        Start::Now => return Ok(Cursor { position: bounds.head, id: bounds.head_id }),
        Start::Oldest => bounds.trimmed,
        Start::Since(at) => store.position_before(developer, at)?,
        Start::After(id) => return after(store, developer, &bounds, id),
    };
    let id = store.id_at(developer, position)?.unwrap_or(EventId::ZERO);
    Ok(Cursor { position, id })
}

/// The position of the last event before the place where a reader stops.
///
/// Nothing lies before an event that was trimmed; an id that the log never had is refused.
pub fn locate_stop(store: &dyn Read, developer: DeveloperId, stop: Stop) -> Result<Position> {
    match stop {
        Stop::Newest => Ok(store.log_bounds(developer)?.head),
        Stop::Until(at) => Ok(store.position_until(developer, at)?),
        Stop::Before(id) => match store.position_below(developer, id)? {
            Some(position) => Ok(position),
            None => Err(gone(
                store,
                developer,
                ErrorCode::EventUnknown,
                "this log has never had an event with this id; read from the newest event, or use \
                 `until`",
            )),
        },
    }
}

/// One event of the log. Whether an id that is not above the last trimmed one's belonged to an
/// event is not known.
pub fn find(store: &dyn Read, developer: DeveloperId, id: EventId) -> Result<StoredEvent> {
    let bounds = store.log_bounds(developer)?;
    if bounds.trimmed > 0 && id <= bounds.trimmed_id {
        let message = "events as old as this id are no longer retained";
        return Err(gone(store, developer, ErrorCode::EventsExpired, message));
    }
    let Some(position) = store.position_of(developer, id)? else {
        return Err(Error::not_found("event"));
    };
    // Where it lies in a stretch that is damaged, the position may be that of the event before the
    // stretch: the scan after it then fails as a page there does.
    for after in [position.saturating_sub(1), position] {
        let found = store.events(developer, after, 1, 0)?;
        if let Some(event) = found.into_iter().find(|event| event.id == id) {
            return Ok(event);
        }
    }
    Err(Error::not_found("event"))
}

/// The place where a stream starts. It is refused where a stream would end at once: before an event
/// that is damaged.
pub fn open(store: &dyn Read, developer: DeveloperId, start: Start) -> Result<Cursor> {
    let cursor = locate(store, developer, start)?;
    let next = Scan {
        order: Order::OldestFirst,
        after: cursor.position,
        limit: 1,
        max_bytes: 0,
        with_subjects: false,
    };
    store.scan_events(developer, next, &mut |_| {})?;
    Ok(cursor)
}

fn after(store: &dyn Read, developer: DeveloperId, bounds: &Bounds, id: EventId) -> Result<Cursor> {
    if id == bounds.trimmed_id {
        return Ok(Cursor { position: bounds.trimmed, id });
    }
    if let Some(position) = store.position_of(developer, id)? {
        return Ok(Cursor { position, id });
    }
    let (code, message) = if id < bounds.trimmed_id {
        (
            ErrorCode::EventsExpired,
            "events after this id are no longer retained; start again with \
             since=1970-01-01T00:00:00Z, which begins at the oldest retained event",
        )
    } else {
        (
            ErrorCode::EventUnknown,
            "this log has never had an event with this id; start again with \
             since=1970-01-01T00:00:00Z, which begins at the oldest retained event",
        )
    };
    Err(gone(store, developer, code, message))
}

/// The refusal of an id that is of no use, with the oldest event that is still there. It stands
/// whether or not that event can be read.
fn gone(store: &dyn Read, developer: DeveloperId, code: ErrorCode, message: &str) -> Error {
    let trimmed = store.log_bounds(developer).map_or(0, |bounds| bounds.trimmed);
    let oldest = store.events(developer, trimmed, 1, 0).unwrap_or_default();
    let oldest = oldest.first().map(|event| event.id);
    Error::Refused { code, message: message.into(), oldest }
}
