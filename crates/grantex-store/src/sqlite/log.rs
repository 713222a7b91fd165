//! The event log's primitives.

use grantex_core::StoreError;
use grantex_core::log::{Bounds, EventRef, Position, StoredEvent, Subject, SubjectRef};
use grantex_core::store::{Read as _, Scan, StoreResult, Tx as _};
use grantex_types::{AgentId, DeveloperId, Event, EventData, EventId, EventType, GrantId, Timestamp};
use rusqlite::Row;

use super::session::{Session, int, store_error, time, uint};

impl Session<'_> {
    pub(super) fn read_bounds(&self, developer: DeveloperId) -> StoreResult<Bounds> {
        let bounds = self.one(
            "SELECT head, head_id, head_at, trimmed, trimmed_id FROM logs WHERE developer_id = ?1",
            [developer.to_bytes()],
            |row| {
                Ok(Bounds {
                    head: uint(row, "head")?,
                    head_id: EventId::from_bytes(row.get("head_id")?),
                    head_at: time(row, "head_at")?,
                    trimmed: uint(row, "trimmed")?,
                    trimmed_id: EventId::from_bytes(row.get("trimmed_id")?),
                })
            },
        )?;
        Ok(bounds.unwrap_or(Bounds::EMPTY))
    }

    pub(super) fn read_events(
        &self,
        developer: DeveloperId,
        scan: Scan,
        each: &mut dyn FnMut(EventRef<'_>),
    ) -> StoreResult<()> {
        // Also a column that is not looked at costs its part of a row's time.
        let mut statement = self.statement(if scan.with_subjects {
            "SELECT position, id, created_at, kind, envelope, grant_id, agent_id, principal_id FROM events
             WHERE developer_id = ?1 AND position > ?2 ORDER BY position LIMIT ?3"
        } else {
            "SELECT position, id, created_at, kind, envelope FROM events
             WHERE developer_id = ?1 AND position > ?2 ORDER BY position LIMIT ?3"
        })?;
        let mut rows = statement
            .query((developer.to_bytes(), int(scan.after), i64::from(scan.limit)))
            .map_err(store_error)?;
        let mut bytes: usize = 0;
        while let Some(row) = rows.next().map_err(store_error)? {
            let event = event(row, scan.with_subjects).map_err(store_error)?;
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(event.envelope.len());
            if bytes > scan.max_bytes && !is_first {
                break;
            }
            each(event);
        }
        Ok(())
    }

    /// The first position in the retained log whose event is not `before`, or the one after the
    /// head. Ids and times grow with the position, so that a binary search finds it.
    fn first_not(
        &self,
        developer: DeveloperId,
        bounds: &Bounds,
        before: impl Fn(EventId, Timestamp) -> bool,
    ) -> StoreResult<Position> {
        let mut low = bounds.trimmed.saturating_add(1);
        let mut high = bounds.head.saturating_add(1);
        while low < high {
            let middle = low.midpoint(high);
            let (id, at) = self
                .one(
                    "SELECT id, created_at FROM events WHERE developer_id = ?1 AND position = ?2",
                    (developer.to_bytes(), int(middle)),
                    |row| Ok((EventId::from_bytes(row.get("id")?), time(row, "created_at")?)),
                )?
                .ok_or_else(|| {
                    StoreError::Internal(format!("the log of {developer} lacks position {middle}"))
                })?;
            if before(id, at) {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    pub(super) fn find_id(&self, developer: DeveloperId, id: EventId) -> StoreResult<Option<Position>> {
        let bounds = self.read_bounds(developer)?;
        let position = self.first_not(developer, &bounds, |event, _| event < id)?;
        Ok((self.read_id(developer, position, &bounds)? == Some(id)).then_some(position))
    }

    pub(super) fn find_time(&self, developer: DeveloperId, at: Timestamp) -> StoreResult<Position> {
        let bounds = self.read_bounds(developer)?;
        let first = self.first_not(developer, &bounds, |_, time| time < at)?;
        Ok(first.saturating_sub(1))
    }

    pub(super) fn read_id(
        &self,
        developer: DeveloperId,
        position: Position,
        bounds: &Bounds,
    ) -> StoreResult<Option<EventId>> {
        if position == 0 {
            return Ok(Some(EventId::ZERO));
        }
        if position == bounds.trimmed {
            return Ok(Some(bounds.trimmed_id));
        }
        self.one(
            "SELECT id FROM events WHERE developer_id = ?1 AND position = ?2",
            (developer.to_bytes(), int(position)),
            |row| Ok(EventId::from_bytes(row.get("id")?)),
        )
    }

    pub(super) fn write_event(
        &mut self,
        developer: DeveloperId,
        subject: &Subject,
        data: EventData,
    ) -> StoreResult<StoredEvent> {
        let bounds = self.read_bounds(developer)?;
        let clock = self.now;
        let (id, created_at) = bounds.next(clock, self.random());
        let kind = data.event_type();
        let envelope = serde_json::to_vec(&Event { id, created_at, data })
            .map_err(|error| StoreError::Internal(format!("event: {error}")))?;
        let after = bounds.after(id, created_at);
        let event =
            StoredEvent { position: after.head, id, created_at, kind, subject: subject.clone(), envelope };
        self.execute(
            "INSERT INTO events (developer_id, position, id, created_at, kind, grant_id, agent_id, principal_id, envelope)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            (
                developer.to_bytes(),
                int(event.position),
                id.to_bytes(),
                int(created_at.millis()),
                kind.code(),
                subject.grant_id.to_bytes(),
                subject.agent_id.to_bytes(),
                &subject.principal_id,
                &event.envelope,
            ),
        )?;
        self.execute(
            "INSERT INTO logs (developer_id, head, head_id, head_at, trimmed, trimmed_id) VALUES (?1, ?2, ?3, ?4, 0, ?5)
             ON CONFLICT (developer_id) DO UPDATE SET head = ?2, head_id = ?3, head_at = ?4",
            (
                developer.to_bytes(),
                int(after.head),
                id.to_bytes(),
                int(created_at.millis()),
                EventId::ZERO.to_bytes(),
            ),
        )?;
        let effects = self.effects()?;
        effects.clock_behind_millis = effects.clock_behind_millis.max(bounds.head_at.millis_since(clock));
        effects.events.push((developer, event.clone()));
        Ok(event)
    }

    pub(super) fn trim_log(
        &mut self,
        developer: DeveloperId,
        up_to: Position,
        limit: u32,
    ) -> StoreResult<u64> {
        let bounds = self.log_bounds(developer)?;
        let up_to =
            up_to.min(bounds.head.saturating_sub(1)).min(bounds.trimmed.saturating_add(u64::from(limit)));
        if up_to <= bounds.trimmed {
            return Ok(0);
        }
        let last = self
            .read_id(developer, up_to, &bounds)?
            .ok_or_else(|| StoreError::Internal(format!("the log of {developer} lacks position {up_to}")))?;
        self.execute(
            "DELETE FROM events WHERE developer_id = ?1 AND position <= ?2",
            (developer.to_bytes(), int(up_to)),
        )?;
        self.execute(
            "UPDATE logs SET trimmed = ?2, trimmed_id = ?3 WHERE developer_id = ?1",
            (developer.to_bytes(), int(up_to), last.to_bytes()),
        )?;
        Ok(up_to.saturating_sub(bounds.trimmed))
    }
}

/// A row of `read_events`. By number: replay reads millions, and finding a column by its name takes as long as
/// reading it.
fn event<'r>(row: &'r Row<'_>, with_subject: bool) -> rusqlite::Result<EventRef<'r>> {
    let number = |column: usize| row.get::<_, i64>(column).map(|value| u64::try_from(value).unwrap_or(0));
    let subject = || {
        Ok::<_, rusqlite::Error>(SubjectRef {
            grant_id: GrantId::from_bytes(row.get(5)?),
            agent_id: AgentId::from_bytes(row.get(6)?),
            principal_id: row.get_ref(7)?.as_str()?,
        })
    };
    Ok(EventRef {
        position: number(0)?,
        id: EventId::from_bytes(row.get(1)?),
        created_at: Timestamp::from_millis(number(2)?),
        kind: EventType::from_code(row.get(3)?).ok_or(rusqlite::Error::InvalidQuery)?,
        subject: with_subject.then(subject).transpose()?,
        envelope: row.get_ref(4)?.as_blob()?,
    })
}
