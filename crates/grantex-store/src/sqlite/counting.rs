//! Counters that a migration added, made up from the rows that were there before.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction};

use super::open::{OpenError, describe};

/// Debits that one transaction counts: about 10 ms. A start that is interrupted continues after the
/// last of them.
const SLICE: i64 = 50_000;

/// Counts the debits that an earlier version wrote into their budgets. Before anything else runs: a
/// debit counts itself, so there must be no other meanwhile. Takes about 1 s for a few million
/// debits, once.
pub(super) fn count_debits(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let mut total: i64 = 0;
    loop {
        let transaction = connection.transaction().map_err(|error| describe(path, &error))?;
        let counted = slice(&transaction).map_err(|error| describe(path, &error))?;
        transaction.commit().map_err(|error| describe(path, &error))?;
        match counted {
            None => break,
            Some(counted) => total = total.saturating_add(counted),
        }
    }
    if total > 0 {
        tracing::info!(debits = total, "the debits of an earlier version were counted");
    }
    Ok(())
}

/// Counts the next slice; `None` when all are counted.
fn slice(transaction: &Transaction<'_>) -> rusqlite::Result<Option<i64>> {
    type Key = (Vec<u8>, Vec<u8>, Vec<u8>);
    let key = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let place: Option<Key> = transaction
        .query_row("SELECT developer_id, grant_id, id FROM debits_counted", [], key)
        .optional()?;
    let Some((developer, grant, id)) = place else { return Ok(None) };

    let mut groups = transaction.prepare_cached(
        "SELECT developer_id, grant_id, count(*) FROM (
             SELECT developer_id, grant_id FROM transactions WHERE (developer_id, grant_id,
                 id) > (?1, ?2, ?3)
             ORDER BY developer_id, grant_id, id LIMIT ?4)
         GROUP BY developer_id, grant_id",
    )?;
    let mut add = transaction.prepare_cached(
        "UPDATE budgets SET debits = debits + ?3 WHERE developer_id = ?1 AND grant_id = ?2",
    )?;
    let mut counted: i64 = 0;
    let mut rows = groups.query((&developer, &grant, &id, SLICE))?;
    while let Some(row) = rows.next()? {
        let (developer, grant, debits): (Vec<u8>, Vec<u8>, i64) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        add.execute((developer, grant, debits))?;
        counted = counted.saturating_add(debits);
    }

    let last: Option<Key> = transaction
        .query_row(
            "SELECT developer_id, grant_id, id FROM transactions WHERE (developer_id, grant_id, id) > (?1, ?2, ?3)
             ORDER BY developer_id, grant_id, id LIMIT 1 OFFSET ?4 - 1",
            (&developer, &grant, &id, SLICE),
            key,
        )
        .optional()?;
    match last {
        Some(last) => transaction
            .execute("UPDATE debits_counted SET developer_id = ?1, grant_id = ?2, id = ?3", last)?,
        None => transaction.execute("DELETE FROM debits_counted", [])?,
    };
    Ok(Some(counted))
}
