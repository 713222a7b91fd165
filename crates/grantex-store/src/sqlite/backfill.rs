//! Checksums for the rows of before there were any.

use grantex_core::log::Damage;
use grantex_core::store::StoreResult;
use grantex_types::DeveloperId;

use super::checksum::{AFTER_WITH_SUBJECTS, Sums};
use super::unit_of_work::UnitOfWork;
use super::values::{int, is_damage, store_error, uint};

impl UnitOfWork<'_> {
    /// See [`Tx::sum_events`](grantex_core::store::Tx::sum_events).
    pub(super) fn sum_old_events(&self, limit: u32) -> StoreResult<u64> {
        let Some((developer, next, last)) =
            self.one("SELECT developer_id, next, last FROM unsummed WHERE developer_id > x'' ORDER BY developer_id LIMIT 1", [], |row| {
                Ok((
                    DeveloperId::from_bytes(row.get("developer_id")?),
                    uint(row, "next")?,
                    uint(row, "last")?,
                ))
            })?
        else {
            return Ok(0);
        };
        let bounds = self.read_bounds(developer)?;
        let next = next.max(bounds.trimmed.saturating_add(1));
        let end = last.saturating_add(1).min(next.saturating_add(u64::from(limit)));
        for (position, sum) in self.old_sums(developer, next, end)? {
            self.execute(
                "UPDATE events SET checksum = ?3 WHERE developer_id = ?1 AND position = ?2 AND checksum IS NULL",
                (developer.to_bytes(), int(position), sum),
            )?;
        }
        if end > last {
            self.execute("DELETE FROM unsummed WHERE developer_id = ?1", [developer.to_bytes()])?;
        } else {
            self.execute(
                "UPDATE unsummed SET next = ?2 WHERE developer_id = ?1",
                (developer.to_bytes(), int(end)),
            )?;
        }
        // A log that was trimmed meanwhile is done, and others may not be.
        Ok(end.saturating_sub(next).max(1))
    }

    /// The checksums of the events from `next` on and before `end`, as far as these are what they
    /// were.
    fn old_sums(
        &self,
        developer: DeveloperId,
        next: u64,
        end: u64,
    ) -> StoreResult<Vec<(u64, i64)>> {
        let sums = Sums::of(developer);
        let mut statement = self.statement(AFTER_WITH_SUBJECTS)?;
        let (after, limit) = (next.saturating_sub(1), end.saturating_sub(next));
        let mut rows =
            statement.query((developer.to_bytes(), int(after), int(limit))).map_err(store_error)?;
        let mut found = Vec::new();
        let mut due = next;
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => break,
                // The rest keeps none, and is checked by its structure, until the file is restored.
                Err(error) if is_damage(&error) => break,
                Err(error) => return Err(store_error(error)),
            };
            let event = sums.read(row, true);
            if let Some((event, subject)) = event.and_then(|event| Some((event, event.subject?))) {
                found.push((event.position, sums.sum(&event, subject)));
                due = event.position.saturating_add(1);
            } else {
                self.damages.note(
                    developer,
                    &Damage { first: due, last: due, resume_after: None, resume_before: None },
                );
                due = due.saturating_add(1);
            }
        }
        Ok(found)
    }
}
