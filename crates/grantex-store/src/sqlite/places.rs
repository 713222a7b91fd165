//! Finding places in a log. Ids and times grow with the position, so that a binary search finds
//! them; damaged events are passed over.

use grantex_core::StoreError;
use grantex_core::log::{Bounds, Damage, Position};
use grantex_core::store::StoreResult;
use grantex_types::{DeveloperId, EventId, Timestamp};

use super::checksum::{AT, Sums};
use super::unit_of_work::UnitOfWork;
use super::values::{int, is_damage, store_error};

/// Damaged events in a row that are passed over: some megabytes of a disk, and some ten
/// milliseconds.
const LONGEST_STRETCH: u64 = 10_000;

/// Where a log changes from what is before a place to what is not.
struct Border {
    /// The last readable event before the place, or the last one that was trimmed.
    before: Position,
    /// The last readable one's id, or that of the last that was trimmed.
    before_id: EventId,
    /// The first readable event that is not, or the position after the head.
    after: Position,
    /// Its id, or the head's.
    after_id: EventId,
}

impl Border {
    /// The cursor that leads past the damaged events that lie between.
    fn resume_after(&self, bounds: &Bounds) -> EventId {
        if self.after > bounds.head { self.after_id } else { self.after_id.predecessor() }
    }
}

impl UnitOfWork<'_> {
    /// An event's id and time, if it is there and as it was written.
    pub(super) fn readable(
        &self,
        developer: DeveloperId,
        position: Position,
    ) -> StoreResult<Option<(EventId, Timestamp)>> {
        let mut statement = self.statement(AT)?;
        let mut rows =
            statement.query((developer.to_bytes(), int(position))).map_err(store_error)?;
        match rows.next() {
            Ok(row) => {
                let event = row.and_then(|row| Sums::of(developer).read(row, false));
                Ok(event.map(|event| (event.id, event.created_at)))
            }
            Err(error) if is_damage(&error) => Ok(None),
            Err(error) => Err(store_error(error)),
        }
    }

    /// The first readable event from `from` on and before `end`.
    fn first_readable(
        &self,
        developer: DeveloperId,
        from: Position,
        end: Position,
    ) -> StoreResult<Option<(Position, EventId, Timestamp)>> {
        let limit = end.min(from.saturating_add(LONGEST_STRETCH));
        for position in from..limit {
            if let Some((id, at)) = self.readable(developer, position)? {
                return Ok(Some((position, id, at)));
            }
        }
        if limit < end {
            let last = limit.saturating_sub(1);
            let damage = Damage { first: from, last, resume_after: None, resume_before: None };
            self.damages.note(developer, &damage);
            return Err(StoreError::Damaged(damage));
        }
        Ok(None)
    }

    fn border(
        &self,
        developer: DeveloperId,
        bounds: &Bounds,
        before: impl Fn(EventId, Timestamp) -> bool,
    ) -> StoreResult<Border> {
        let after = bounds.head.saturating_add(1);
        let mut border = Border {
            before: bounds.trimmed,
            before_id: bounds.trimmed_id,
            after,
            after_id: bounds.head_id,
        };
        // Nothing from `end` up to the border's `after` is readable.
        let mut end = after;
        while end.saturating_sub(border.before) > 1 {
            let middle = border.before.midpoint(end);
            match self.first_readable(developer, middle, end)? {
                Some((position, id, at)) if before(id, at) => {
                    (border.before, border.before_id) = (position, id);
                }
                Some((position, id, _)) => {
                    (border.after, border.after_id) = (position, id);
                    end = middle;
                }
                None => end = middle,
            }
        }
        Ok(border)
    }

    /// See [`Read::position_of`](grantex_core::store::Read::position_of).
    pub(super) fn find_id(
        &self,
        developer: DeveloperId,
        id: EventId,
    ) -> StoreResult<Option<Position>> {
        let bounds = self.read_bounds(developer)?;
        let border = self.border(developer, &bounds, |event, _| event < id)?;
        let is_there = border.after <= bounds.head && border.after_id == id;
        if is_there {
            return Ok(Some(border.after));
        }
        let last_damaged = border.after.saturating_sub(1);
        if last_damaged <= border.before || id > bounds.head_id || id <= bounds.trimmed_id {
            return Ok(None);
        }
        if id == border.resume_after(&bounds) {
            return Ok(Some(last_damaged));
        }
        let by_itself = self.one(
            "SELECT position FROM events WHERE developer_id = ?1 AND position > ?2 AND position <= ?3 AND id = ?4",
            (developer.to_bytes(), int(border.before), int(last_damaged), id.to_bytes()),
            |row| row.get::<_, i64>(0),
        );
        let by_itself = by_itself.ok().flatten().and_then(|position| u64::try_from(position).ok());
        Ok(Some(by_itself.unwrap_or(border.before)))
    }

    /// See [`Read::position_before`](grantex_core::store::Read::position_before).
    pub(super) fn find_time(&self, developer: DeveloperId, at: Timestamp) -> StoreResult<Position> {
        let bounds = self.read_bounds(developer)?;
        Ok(self.border(developer, &bounds, |_, time| time < at)?.before)
    }

    /// See [`Read::position_until`](grantex_core::store::Read::position_until).
    pub(super) fn find_end(&self, developer: DeveloperId, at: Timestamp) -> StoreResult<Position> {
        let bounds = self.read_bounds(developer)?;
        Ok(self.border(developer, &bounds, |_, time| time < at)?.after.saturating_sub(1))
    }

    /// See [`Read::position_below`](grantex_core::store::Read::position_below).
    pub(super) fn find_below(
        &self,
        developer: DeveloperId,
        id: EventId,
    ) -> StoreResult<Option<Position>> {
        let bounds = self.read_bounds(developer)?;
        if id <= bounds.trimmed_id {
            return Ok(Some(bounds.trimmed));
        }
        let border = self.border(developer, &bounds, |event, _| event < id)?;
        let last = border.after.saturating_sub(1);
        if border.after <= bounds.head && border.after_id == id {
            return Ok(Some(last));
        }
        if last <= border.before || id > bounds.head_id {
            return Ok(None);
        }
        // It lies in a stretch that cannot be read: it leads past that, or stands before it.
        Ok(Some(if id == border.before_id.successor() { border.before } else { last }))
    }

    /// See [`Read::id_at`](grantex_core::store::Read::id_at).
    pub(super) fn read_id(
        &self,
        developer: DeveloperId,
        position: Position,
    ) -> StoreResult<Option<EventId>> {
        let bounds = self.read_bounds(developer)?;
        if position == 0 {
            return Ok(Some(EventId::ZERO));
        }
        if position == bounds.trimmed {
            return Ok(Some(bounds.trimmed_id));
        }
        Ok(self.readable(developer, position)?.map(|(id, _)| id))
    }

    /// The damage that begins at `first`.
    pub(super) fn damage_at(&self, developer: DeveloperId, first: Position) -> StoreResult<Damage> {
        let bounds = self.read_bounds(developer)?;
        let end = bounds.head.saturating_add(1);
        let damage = match self.first_readable(developer, first, end) {
            // What is damaged is what only filters ask for.
            Ok(Some((position, id, _))) if position == first => {
                Damage { first, last: first, resume_after: Some(id), resume_before: None }
            }
            Ok(Some((position, id, _))) => {
                let (last, resume_after) = (position.saturating_sub(1), Some(id.predecessor()));
                Damage { first, last, resume_after, resume_before: None }
            }
            Ok(None) => {
                let resume_after = Some(bounds.head_id);
                Damage { first, last: bounds.head, resume_after, resume_before: None }
            }
            Err(StoreError::Damaged(damage)) => damage,
            Err(error) => return Err(error),
        };
        self.damages.note(developer, &damage);
        Ok(damage)
    }

    /// The damage that ends at `last`, for a reader who comes from above.
    pub(super) fn damage_below(
        &self,
        developer: DeveloperId,
        last: Position,
    ) -> StoreResult<Damage> {
        let trimmed = self.read_bounds(developer)?.trimmed;
        if let Some((id, _)) = self.readable(developer, last)? {
            // What is damaged is what only filters ask for.
            let damage =
                Damage { first: last, last, resume_after: Some(id), resume_before: Some(id) };
            self.damages.note(developer, &damage);
            return Ok(damage);
        }
        let mut first = last;
        let mut resume_before = None;
        let lowest = trimmed.saturating_add(1).max(last.saturating_sub(LONGEST_STRETCH));
        for position in (lowest..last).rev() {
            if let Some((id, _)) = self.readable(developer, position)? {
                resume_before = Some(id.successor());
                break;
            }
            first = position;
        }
        Ok(Damage { resume_before, ..self.damage_at(developer, first)? })
    }
}
