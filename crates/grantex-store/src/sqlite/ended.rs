//! Putting aside and removing what has ended, in slices, each found by an index.

use grantex_core::store::{Ended, StoreResult};
use grantex_types::{DeveloperId, GrantId, Timestamp};

use super::cascade::LIVE;
use super::unit_of_work::UnitOfWork;
use super::usage::{ANSWER_SIZE, DEBIT_SIZE, GRANT_SIZE, REQUEST_SIZE, ROW_SIZE};
use super::values::{int, optional_time};

/// A grant that ended: revoked, or put aside as expired. Spelled as its index is.
const ENDED: &str = "(revoked_at IS NOT NULL OR lapsed = 1) AND coalesce(revoked_at, expires_at)";

impl UnitOfWork<'_> {
    pub(super) fn read_earliest_end(
        &self,
        developer: DeveloperId,
    ) -> StoreResult<Option<Timestamp>> {
        let end = self.one(
            &format!(
                "SELECT g.expires_at FROM grants g INDEXED BY grants_live_by_end
                 WHERE g.developer_id = ?1 AND {LIVE} ORDER BY g.expires_at LIMIT 1"
            ),
            [developer.to_bytes()],
            |row| optional_time(row, "expires_at"),
        )?;
        Ok(end.flatten())
    }

    pub(super) fn read_has_history(
        &self,
        developer: DeveloperId,
        before: Timestamp,
    ) -> StoreResult<bool> {
        Ok(!self.ended_grants(developer, before, 1)?.is_empty())
    }

    fn ended_grants(
        &self,
        developer: DeveloperId,
        before: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<GrantId>> {
        self.all(
            &format!(
                "SELECT id FROM grants INDEXED BY grants_ended WHERE developer_id = ?1 AND {ENDED} < ?2
                 ORDER BY coalesce(revoked_at, expires_at) LIMIT ?3"
            ),
            (developer.to_bytes(), int(before.millis()), limit),
            |row| Ok(GrantId::from_bytes(row.get("id")?)),
        )
    }

    pub(super) fn write_lapsed(
        &mut self,
        developer: DeveloperId,
        up_to: Timestamp,
        limit: u32,
    ) -> StoreResult<u64> {
        let expired = self.all(
            &format!(
                "SELECT g.id FROM grants g INDEXED BY grants_live_by_end
                 WHERE g.developer_id = ?1 AND {LIVE} AND g.expires_at <= ?2 ORDER BY g.expires_at LIMIT ?3"
            ),
            (developer.to_bytes(), int(up_to.millis()), limit),
            |row| Ok(GrantId::from_bytes(row.get("id")?)),
        )?;
        self.fewer_grants(developer, expired.len())?;
        for id in &expired {
            self.execute(
                "UPDATE grants SET lapsed = 1 WHERE developer_id = ?1 AND id = ?2",
                (developer.to_bytes(), id.to_bytes()),
            )?;
            self.leave_tree_as(developer, *id)?;
        }
        Ok(count(expired.len()))
    }

    pub(super) fn remove_ended(&self, ended: &Ended, limit: u32) -> StoreResult<u64> {
        // Tokens outlive their end by as long as an answer is kept that may sign them again.
        let mut kinds = vec![
            (
                "DELETE FROM kept_answers WHERE (developer_id, route, key) IN
                 (SELECT developer_id, route, key FROM kept_answers WHERE created_at < ?1 LIMIT ?2)",
                ANSWER_SIZE,
                ended.answers,
            ),
            (
                "DELETE FROM refresh_tokens WHERE (developer_id, id) IN
                 (SELECT developer_id, id FROM refresh_tokens WHERE expires_at < ?1 LIMIT ?2)",
                ROW_SIZE,
                ended.answers,
            ),
            (
                "DELETE FROM auth_requests WHERE id IN
                 (SELECT id FROM auth_requests INDEXED BY auth_requests_by_end
                  WHERE status != 3 AND expires_at < ?1 LIMIT ?2)",
                REQUEST_SIZE,
                ended.requests,
            ),
        ];
        if let Some(history) = ended.history {
            kinds.extend([
                (
                    "DELETE FROM tokens WHERE (developer_id, id) IN
                     (SELECT developer_id, id FROM tokens WHERE expires_at < ?1 LIMIT ?2)",
                    ROW_SIZE,
                    history.min(ended.answers),
                ),
                (
                    "DELETE FROM auth_requests WHERE id IN
                     (SELECT id FROM auth_requests INDEXED BY auth_requests_unnamed
                      WHERE status = 3 AND grant_id IS NULL AND expires_at < ?1 LIMIT ?2)",
                    REQUEST_SIZE,
                    history.min(ended.requests),
                ),
                (
                    "DELETE FROM api_keys WHERE (developer_id, id) IN
                     (SELECT developer_id, id FROM api_keys INDEXED BY api_keys_revoked
                      WHERE revoked_at < ?1 LIMIT ?2)",
                    ROW_SIZE,
                    history,
                ),
            ]);
        }
        let mut left = u64::from(limit);
        for (sql, size, before) in kinds {
            let gone = self.remove_counted(sql, size, (int(before.millis()), int(left)))?;
            left = left.saturating_sub(gone);
        }
        Ok(u64::from(limit).saturating_sub(left))
    }

    pub(super) fn remove_history(
        &self,
        developer: DeveloperId,
        before: Timestamp,
        limit: u32,
    ) -> StoreResult<u64> {
        let mut left = u64::from(limit);
        for id in self.ended_grants(developer, before, limit)? {
            let grant = (developer.to_bytes(), id.to_bytes());
            let debits = self.remove_counted(
                "DELETE FROM transactions WHERE developer_id = ?1 AND grant_id = ?2 AND id IN
                 (SELECT id FROM transactions WHERE developer_id = ?1 AND grant_id = ?2 LIMIT ?3)",
                DEBIT_SIZE,
                (grant.0, grant.1, int(left)),
            )?;
            left = left.saturating_sub(debits);
            // With some left over, all debits of this grant are gone.
            if left == 0 {
                self.execute(
                    "UPDATE budgets SET debits = debits - ?3 WHERE developer_id = ?1 AND grant_id = ?2",
                    (grant.0, grant.1, int(debits)),
                )?;
                break;
            }
            self.execute("DELETE FROM budgets WHERE developer_id = ?1 AND grant_id = ?2", grant)?;
            self.remove_counted(
                "DELETE FROM auth_requests WHERE grant_id = ?1",
                REQUEST_SIZE,
                [grant.1],
            )?;
            self.execute("DELETE FROM grant_ancestry WHERE grant_id = ?1", [grant.1])?;
            self.remove_counted(
                "DELETE FROM grants WHERE developer_id = ?1 AND id = ?2",
                GRANT_SIZE,
                grant,
            )?;
            left = left.saturating_sub(1);
        }
        Ok(u64::from(limit).saturating_sub(left))
    }

    /// Gives the tree's rows of an earlier version the end of their grants, or takes them out.
    pub(super) fn tidy_ancestry(&self, limit: u32) -> StoreResult<u64> {
        let Some((developer, id)) =
            self.one("SELECT developer_id, grant_id FROM tidied WHERE id = 1", [], |row| {
                Ok((row.get::<_, Vec<u8>>("developer_id")?, row.get::<_, Vec<u8>>("grant_id")?))
            })?
        else {
            return Ok(0);
        };
        let slice = self.all(
            "SELECT developer_id, id, parent_id, expires_at, revoked_at, lapsed FROM grants
             WHERE (developer_id, id) > (?1, ?2) ORDER BY developer_id, id LIMIT ?3",
            (developer, id, limit),
            |row| {
                let is_over =
                    row.get::<_, Option<i64>>("revoked_at")?.is_some() || row.get("lapsed")?;
                let is_delegated = row.get::<_, Option<[u8; 16]>>("parent_id")?.is_some();
                let key: ([u8; 16], [u8; 16]) = (row.get("developer_id")?, row.get("id")?);
                Ok((key, is_delegated, is_over, row.get::<_, i64>("expires_at")?))
            },
        )?;
        for ((_, id), _, is_over, expires_at) in
            slice.iter().filter(|(_, is_delegated, ..)| *is_delegated)
        {
            if *is_over {
                self.execute("DELETE FROM grant_ancestry WHERE grant_id = ?1", [id])?;
            } else {
                self.execute(
                    "UPDATE grant_ancestry SET expires_at = ?2 WHERE grant_id = ?1",
                    (id, expires_at),
                )?;
            }
        }
        match slice.last() {
            Some(((developer, id), ..)) => self.execute(
                "UPDATE tidied SET developer_id = ?1, grant_id = ?2 WHERE id = 1",
                (developer, id),
            )?,
            None => self.execute("DELETE FROM tidied WHERE id = 1", [])?,
        };
        Ok(count(slice.len()))
    }
}

fn count(rows: usize) -> u64 {
    rows.try_into().unwrap_or(u64::MAX)
}
