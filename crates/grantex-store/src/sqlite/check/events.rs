//! The logs, event by event.

use grantex_core::log::{Bounds, Position};
use grantex_types::{DeveloperId, EventId, Timestamp};

use super::super::checksum::{AFTER_WITH_SUBJECTS, Sums, agrees};
use super::super::values::{int, is_damage, uint};
use super::{Checker, Found, Problem, Sink, developer};

/// Events of one snapshot: some ten milliseconds.
const SLICE: u64 = 2000;

/// How far a log was checked.
struct Place {
    position: Position,
    id: EventId,
    created_at: Timestamp,
}

impl Checker<'_> {
    /// Every log: dense, in order, each event as it was written and in agreement with its envelope.
    pub(super) fn logs(&self, sink: Sink<'_>) {
        sink(Found::Looking("events".into()));
        let mut after = Vec::new();
        let mut rows: u64 = 0;
        loop {
            let next = self.snapshot(|session| {
                session.connection.query_row(
                    "SELECT min(developer_id) FROM (SELECT min(developer_id) AS developer_id FROM logs WHERE developer_id > ?1
                         UNION ALL SELECT min(developer_id) FROM events WHERE developer_id > ?1)",
                    [&after],
                    |row| row.get::<_, Option<Vec<u8>>>(0),
                )
            });
            match next {
                Ok(None) => return,
                Ok(Some(id)) => {
                    self.log(&id, &mut rows, sink);
                    after = id;
                }
                Err(error) => return self.unreadable("logs", &error, sink),
            }
        }
    }

    fn log(&self, id: &[u8], rows: &mut u64, sink: Sink<'_>) {
        let report = |detail: String, kind: &'static str, sink: Sink<'_>| {
            sink(Found::Problem(Problem { kind, place: developer(id), detail }));
        };
        let Ok(bytes) = <[u8; 16]>::try_from(id) else {
            return report("is not a developer id".into(), "log", sink);
        };
        let owner = DeveloperId::from_bytes(bytes);
        let mut place = Place { position: 0, id: EventId::ZERO, created_at: Timestamp::EPOCH };
        loop {
            let mut problems = Vec::new();
            let slice = self.slice(owner, &mut place, &mut problems);
            for (kind, detail) in problems {
                report(detail, kind, sink);
            }
            match slice {
                Ok(Some(seen)) => {
                    *rows = rows.saturating_add(seen);
                    sink(Found::Rows(*rows));
                }
                Ok(None) => return,
                Err(error) => {
                    report(format!("after position {}: {error}", place.position), "page", sink);
                    if !is_damage(&error) {
                        return;
                    }
                    // Events behind the damaged page may be intact.
                    place.position = place.position.saturating_add(1);
                }
            }
        }
    }

    /// Checks the next events of a log. `None` at its end.
    fn slice(
        &self,
        owner: DeveloperId,
        place: &mut Place,
        problems: &mut Vec<(&'static str, String)>,
    ) -> rusqlite::Result<Option<u64>> {
        self.snapshot(|session| {
            let bounds = bounds(session.connection, owner)?;
            if place.position < bounds.trimmed {
                *place = Place {
                    position: bounds.trimmed,
                    id: bounds.trimmed_id,
                    created_at: Timestamp::EPOCH,
                };
            }
            let end = bounds.head.min(place.position.saturating_add(SLICE));
            if place.position >= bounds.head {
                beyond(session.connection, owner, &bounds, problems)?;
                return Ok(None);
            }
            let begun = place.position;
            let sums = Sums::of(owner);
            let mut statement = session.connection.prepare_cached(AFTER_WITH_SUBJECTS)?;
            let mut rows =
                statement.query((owner.to_bytes(), int(begun), int(end.saturating_sub(begun))))?;
            while let Some(row) = rows.next()? {
                let position =
                    row.get::<_, i64>(0).map(|value| u64::try_from(value).unwrap_or(0))?;
                if position > end {
                    break;
                }
                lost(place.position, position, problems);
                place.position = position;
                let Some(event) = sums.read(row, true).filter(agrees) else {
                    problems
                        .push(("event", format!("the event at position {position} is damaged")));
                    continue;
                };
                if event.id <= place.id || event.created_at < place.created_at {
                    problems.push((
                        "event",
                        format!("the event at position {position} is out of order"),
                    ));
                }
                (place.id, place.created_at) = (event.id, event.created_at);
                if position == bounds.head
                    && (event.id, event.created_at) != (bounds.head_id, bounds.head_at)
                {
                    problems.push((
                        "log",
                        format!("its head differs from its last event, at position {position}"),
                    ));
                }
            }
            lost(place.position, end.saturating_add(1), problems);
            place.position = end;
            Ok(Some(end.saturating_sub(begun)))
        })
    }
}

/// What lies outside of a log's bounds.
fn beyond(
    connection: &rusqlite::Connection,
    owner: DeveloperId,
    bounds: &Bounds,
    problems: &mut Vec<(&'static str, String)>,
) -> rusqlite::Result<()> {
    let outside: i64 = connection.query_row(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM events WHERE developer_id = ?1 AND position > ?2 LIMIT 1000))
              + (SELECT count(*) FROM (SELECT 1 FROM events WHERE developer_id = ?1 AND position <= ?3 LIMIT 1000))",
        (owner.to_bytes(), int(bounds.head), int(bounds.trimmed)),
        |row| row.get(0),
    )?;
    if outside > 0 {
        problems.push(("log", format!("{outside} events are outside the log's bounds")));
    }
    Ok(())
}

/// Reports what is missing between two positions.
fn lost(last: Position, next: Position, problems: &mut Vec<(&'static str, String)>) {
    let (first, end) = (last.saturating_add(1), next.saturating_sub(1));
    if first == end {
        problems.push(("event", format!("the event at position {first} is missing")));
    } else if first < end {
        problems.push(("event", format!("the events at positions {first} to {end} are missing")));
    }
}

fn bounds(connection: &rusqlite::Connection, owner: DeveloperId) -> rusqlite::Result<Bounds> {
    let mut statement = connection.prepare_cached(
        "SELECT head, head_id, head_at, trimmed, trimmed_id FROM logs WHERE developer_id = ?1",
    )?;
    let mut rows = statement.query([owner.to_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(Bounds::EMPTY) };
    Ok(Bounds {
        head: uint(row, "head")?,
        head_id: EventId::from_bytes(row.get("head_id")?),
        head_at: super::super::values::time(row, "head_at")?,
        trimmed: uint(row, "trimmed")?,
        trimmed_id: EventId::from_bytes(row.get("trimmed_id")?),
    })
}
