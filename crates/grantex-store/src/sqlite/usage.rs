//! What a developer has: counted where it is written, never by going through rows.
//!
//! Agents and grants are counted in the developer's row of `logs`, in the transaction that makes or
//! ends them. Bytes of events are counted there too. Other rows come with commits that do not write
//! that row, debits above all: their bytes gather in the writer's memory and get there with 64 KiB.
//! So a stop forgets less than that of each developer, and the count is a soft one.

use std::collections::HashMap;

use grantex_core::model::Usage;
use grantex_core::store::StoreResult;
use grantex_types::{DeveloperId, EventId};
use rusqlite::{Connection, Params};

use super::unit_of_work::UnitOfWork;
use super::values::{int, store_error, uint};

/// What a row takes besides its texts: ids, times, numbers, and its places in indexes. Rounded, and
/// each beside the equivalent SQL for a removed row.
pub(super) const ROW: u64 = 200;
/// A grant is in more indexes than others.
pub(super) const GRANT_ROW: u64 = 600;

pub(super) const EVENT_SIZE: &str = "200 + length(envelope)";
pub(super) const GRANT_SIZE: &str =
    "600 + octet_length(scopes) + octet_length(principal_id) + coalesce(octet_length(audience), 0)";
pub(super) const REQUEST_SIZE: &str = "200 + octet_length(scopes) + octet_length(principal_id)
    + coalesce(octet_length(redirect_uri), 0) + coalesce(octet_length(state), 0) + coalesce(octet_length(audience), 0)";
pub(super) const DEBIT_SIZE: &str =
    "200 + coalesce(octet_length(description), 0) + coalesce(octet_length(metadata), 0)";
pub(super) const ANSWER_SIZE: &str = "200 + length(outcome)";
pub(super) const AGENT_SIZE: &str =
    "200 + octet_length(name) + octet_length(description) + octet_length(scopes)";
pub(super) const SCOPE_NAME_SIZE: &str =
    "200 + octet_length(scope) + octet_length(name) + octet_length(description)";
pub(super) const AUDIT_SIZE: &str = "200 + octet_length(details)";
pub(super) const ROW_SIZE: &str = "200";

/// Bytes of one developer that accumulate before they are written.
const GATHERED: u64 = 64 << 10;
/// Developers whose bytes accumulate; above it, all are written: a few milliseconds.
const MOST_GATHERING: usize = 1024;

/// How many bytes a text takes.
pub(super) fn text(value: &str) -> u64 {
    value.len().try_into().unwrap_or(u64::MAX)
}

/// How many bytes a text takes that may be missing.
pub(super) fn maybe(value: Option<&str>) -> u64 {
    value.map_or(0, text)
}

/// Bytes that are not written yet. Belongs to the writer.
#[derive(Default)]
pub(super) struct Gathering(HashMap<DeveloperId, u64>);

impl Gathering {
    /// Adds the bytes that a batch stored, and writes totals that have become large, in the batch's
    /// transaction.
    pub(super) fn gather(
        &mut self,
        connection: &Connection,
        stored: &[(DeveloperId, u64)],
    ) -> StoreResult<()> {
        for (developer, bytes) in stored {
            let gathered = self.0.entry(*developer).or_default();
            *gathered = gathered.saturating_add(*bytes);
            if *gathered >= GATHERED {
                let gathered = std::mem::take(gathered);
                write_down(connection, *developer, gathered)?;
            }
        }
        if self.0.len() > MOST_GATHERING {
            for (developer, bytes) in self.0.drain() {
                write_down(connection, developer, bytes)?;
            }
        }
        Ok(())
    }
}

fn write_down(connection: &Connection, developer: DeveloperId, bytes: u64) -> StoreResult<()> {
    let sql = "INSERT INTO logs (developer_id, head, head_id, head_at, trimmed, trimmed_id, bytes)
        VALUES (?1, 0, ?2, 0, 0, ?2, ?3) ON CONFLICT (developer_id) DO UPDATE SET bytes = bytes + ?3";
    let params = (developer.to_bytes(), EventId::ZERO.to_bytes(), int(bytes));
    let written =
        connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params));
    written.map(drop).map_err(store_error)
}

impl UnitOfWork<'_> {
    pub(super) fn read_usage(&self, developer: DeveloperId) -> StoreResult<Usage> {
        let usage = self.one(
            "SELECT agents, grants, bytes FROM logs WHERE developer_id = ?1",
            [developer.to_bytes()],
            |row| {
                Ok(Usage {
                    agents: uint(row, "agents")?,
                    grants: uint(row, "grants")?,
                    bytes: uint(row, "bytes")?,
                })
            },
        )?;
        Ok(usage.unwrap_or_default())
    }

    /// Counts bytes that were stored beside the log.
    pub(super) fn stored(&mut self, developer: DeveloperId, bytes: u64) -> StoreResult<()> {
        self.effects()?.stored.push((developer, bytes));
        Ok(())
    }

    pub(super) fn one_agent_more(&self, developer: DeveloperId) -> StoreResult<()> {
        self.one_more(developer, "agents")
    }

    pub(super) fn one_grant_more(&self, developer: DeveloperId) -> StoreResult<()> {
        self.one_more(developer, "grants")
    }

    fn one_more(&self, developer: DeveloperId, what: &'static str) -> StoreResult<()> {
        let sql = format!(
            "INSERT INTO logs (developer_id, head, head_id, head_at, trimmed, trimmed_id, {what})
             VALUES (?1, 0, ?2, 0, 0, ?2, 1) ON CONFLICT (developer_id) DO UPDATE SET {what} = {what} + 1"
        );
        self.execute(&sql, (developer.to_bytes(), EventId::ZERO.to_bytes()))?;
        Ok(())
    }

    pub(super) fn one_agent_less(&self, developer: DeveloperId) -> StoreResult<()> {
        self.execute(
            "UPDATE logs SET agents = max(0, agents - 1) WHERE developer_id = ?1",
            [developer.to_bytes()],
        )?;
        Ok(())
    }

    pub(super) fn fewer_grants(&self, developer: DeveloperId, count: usize) -> StoreResult<()> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.execute(
            "UPDATE logs SET grants = max(0, grants - ?2) WHERE developer_id = ?1",
            (developer.to_bytes(), count),
        )?;
        Ok(())
    }

    /// Removes rows and subtracts their bytes. The statement is a `DELETE` without `RETURNING`;
    /// `size` is the SQL of a row's bytes. Returns how many rows went.
    pub(super) fn remove_counted(
        &self,
        delete: &str,
        size: &str,
        params: impl Params,
    ) -> StoreResult<u64> {
        let sql = format!("{delete} RETURNING developer_id, {size} AS bytes");
        let gone = self.all(&sql, params, |row| {
            Ok((DeveloperId::from_bytes(row.get("developer_id")?), uint(row, "bytes")?))
        })?;
        let mut by_developer: HashMap<DeveloperId, u64> = HashMap::new();
        for (developer, bytes) in &gone {
            let sum = by_developer.entry(*developer).or_default();
            *sum = sum.saturating_add(*bytes);
        }
        for (developer, bytes) in by_developer {
            self.execute(
                "UPDATE logs SET bytes = max(0, bytes - ?2) WHERE developer_id = ?1",
                (developer.to_bytes(), int(bytes)),
            )?;
        }
        Ok(gone.len().try_into().unwrap_or(u64::MAX))
    }
}
