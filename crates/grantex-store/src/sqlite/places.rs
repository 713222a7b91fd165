//! Finding places in a log. Ids and times grow with the position, so that a binary search finds them; damaged events
//! are passed over.

use grantex_core::StoreError;
use grantex_core::log::{Bounds, Damage, Position};
use grantex_core::store::StoreResult;
use grantex_types::{DeveloperId, EventId, Timestamp};

use super::checksum::{AT, Sums};
use super::session::{Session, int, is_damage, store_error};

/// Damaged events in a row that are passed over: some megabytes of a disk, and some ten milliseconds.
const LONGEST_STRETCH: u64 = 10_000;

/// Where a log changes from what is before a place to what is not.
struct Border {
    /// The last readable event before the place, or the last one that was trimmed.
    before: Position,
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

impl Session<'_> {
    /// An event's id and time, if it is there and as it was written.
    pub(super) fn readable(
        &self,
        developer: DeveloperId,
        position: Position,
    ) -> StoreResult<Option<(EventId, Timestamp)>> {
        let mut statement = self.statement(AT)?;
        let mut rows = statement.query((developer.to_bytes(), int(position))).map_err(store_error)?;
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
            let damage = Damage { first: from, last: limit.saturating_sub(1), resume_after: None };
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
        let mut border = Border { before: bounds.trimmed, after, after_id: bounds.head_id };
        // Nothing from `end` up to the border's `after` is readable.
        let mut end = after;
        while end.saturating_sub(border.before) > 1 {
            let middle = border.before.midpoint(end);
            match self.first_readable(developer, middle, end)? {
                Some((position, id, at)) if before(id, at) => border.before = position,
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
    pub(super) fn find_id(&self, developer: DeveloperId, id: EventId) -> StoreResult<Option<Position>> {
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

    /// See [`Read::id_at`](grantex_core::store::Read::id_at).
    pub(super) fn read_id(&self, developer: DeveloperId, position: Position) -> StoreResult<Option<EventId>> {
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
                Damage { first, last: first, resume_after: Some(id) }
            }
            Ok(Some((position, id, _))) => {
                Damage { first, last: position.saturating_sub(1), resume_after: Some(id.predecessor()) }
            }
            Ok(None) => Damage { first, last: bounds.head, resume_after: Some(bounds.head_id) },
            Err(StoreError::Damaged(damage)) => damage,
            Err(error) => return Err(error),
        };
        self.damages.note(developer, &damage);
        Ok(damage)
    }
}
