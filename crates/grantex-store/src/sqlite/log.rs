//! The event log's primitives.

use grantex_core::StoreError;
use grantex_core::log::{Bounds, EventRef, Position, StoredEvent, Subject};
use grantex_core::store::{Order, Read as _, Scan, StoreResult, Tx as _};
use grantex_types::{DeveloperId, Event, EventData, EventId};

use super::checksum::{AFTER, AFTER_WITH_SUBJECTS, BEFORE, BEFORE_WITH_SUBJECTS, Sums};
use super::unit_of_work::UnitOfWork;
use super::usage::{EVENT_SIZE, ROW};
use super::values::{int, is_damage, store_error, time, uint};

impl UnitOfWork<'_> {
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
        let sums = Sums::of(developer);
        let mut statement = self.statement(match (scan.order, scan.with_subjects) {
            (Order::OldestFirst, false) => AFTER,
            (Order::OldestFirst, true) => AFTER_WITH_SUBJECTS,
            (Order::NewestFirst, false) => BEFORE,
            (Order::NewestFirst, true) => BEFORE_WITH_SUBJECTS,
        })?;
        let next = |position: Position| match scan.order {
            Order::OldestFirst => position.saturating_add(1),
            Order::NewestFirst => position.saturating_sub(1),
        };
        let mut rows = statement
            .query((developer.to_bytes(), int(scan.after), i64::from(scan.limit)))
            .map_err(store_error)?;
        let mut due = next(scan.after);
        let mut bytes: usize = 0;
        loop {
            let row = match rows.next() {
                Ok(row) => row,
                Err(error) if is_damage(&error) => None,
                Err(error) => return Err(store_error(error)),
            };
            let is_first = bytes == 0;
            let event = row.and_then(|row| sums.read(row, scan.with_subjects));
            if is_first && event.is_none_or(|event| event.position != due) {
                let bounds = self.read_bounds(developer)?;
                due = match scan.order {
                    Order::OldestFirst => due.max(bounds.trimmed.saturating_add(1)),
                    Order::NewestFirst => due.min(bounds.head),
                };
                if due > bounds.head || due <= bounds.trimmed {
                    return Ok(());
                }
            }
            let Some(event) = event.filter(|event| event.position == due) else {
                // What was shown is whole; the next scan begins here.
                return if is_first {
                    Err(StoreError::Damaged(match scan.order {
                        Order::OldestFirst => self.damage_at(developer, due)?,
                        Order::NewestFirst => self.damage_below(developer, due)?,
                    }))
                } else {
                    Ok(())
                };
            };
            bytes = bytes.saturating_add(event.envelope.len());
            if bytes > scan.max_bytes && !is_first {
                return Ok(());
            }
            each(event);
            due = next(due);
        }
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
        let event = StoredEvent {
            position: after.head,
            id,
            created_at,
            kind,
            subject: subject.clone(),
            envelope,
        };
        self.execute(
            "INSERT INTO events (developer_id, position, id, created_at, kind, grant_id, agent_id, principal_id, envelope, checksum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
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
                Sums::of(developer).sum(&event.as_ref(), subject.as_ref()),
            ),
        )?;
        self.execute_if_unchanged(
            "INSERT INTO logs (developer_id, head, head_id, head_at, trimmed, trimmed_id, bytes)
             VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6)
             ON CONFLICT (developer_id) DO UPDATE
             SET head = ?2, head_id = ?3, head_at = ?4, bytes = bytes + ?6 WHERE head = ?7",
            (
                developer.to_bytes(),
                int(after.head),
                id.to_bytes(),
                int(created_at.millis()),
                EventId::ZERO.to_bytes(),
                int(u64::try_from(event.envelope.len()).unwrap_or(0).saturating_add(ROW)),
                int(bounds.head),
            ),
        )?;
        let effects = self.effects()?;
        effects.clock_behind_millis =
            effects.clock_behind_millis.max(bounds.head_at.millis_since(clock));
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
        let up_to = up_to
            .min(bounds.head.saturating_sub(1))
            .min(bounds.trimmed.saturating_add(u64::from(limit)));
        if up_to <= bounds.trimmed {
            return Ok(0);
        }
        // Where the last one is damaged, the id of one before it is as good a cursor: none between
        // can be read.
        let mut last = bounds.trimmed_id;
        for position in (bounds.trimmed.saturating_add(1)..=up_to).rev() {
            if let Some((id, _)) = self.readable(developer, position)? {
                last = id;
                break;
            }
        }
        self.remove_counted(
            "DELETE FROM events WHERE developer_id = ?1 AND position <= ?2",
            EVENT_SIZE,
            (developer.to_bytes(), int(up_to)),
        )?;
        self.execute(
            "UPDATE logs SET trimmed = ?2, trimmed_id = ?3 WHERE developer_id = ?1",
            (developer.to_bytes(), int(up_to), last.to_bytes()),
        )?;
        Ok(up_to.saturating_sub(bounds.trimmed))
    }
}
