//! A check that daily builds make of every statement before it runs inside a write transaction:
//! that it finds its rows by an index. One that went through a table, or sorted before it stops,
//! would hold up every other write for longer the more rows there are.

use std::cell::RefCell;
use std::collections::HashSet;

use grantex_core::StoreError;
use grantex_core::store::StoreResult;
use rusqlite::Connection;

use super::values::store_error;

/// Tables that may be gone through: they have a row for each signing key that is still needed, a
/// handful.
const SMALL: &[&str] = &["SCAN signing_keys"];

thread_local! {
    static CHECKED: RefCell<HashSet<String>> = RefCell::default();
}

/// Refuses a statement that would go through a table.
pub(super) fn check(connection: &Connection, sql: &str) -> StoreResult<()> {
    if CHECKED.with_borrow(|checked| checked.contains(sql)) {
        return Ok(());
    }
    let steps = || -> rusqlite::Result<Vec<String>> {
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        plan.raw_query().mapped(|row| row.get("detail")).collect()
    };
    for step in steps().map_err(store_error)? {
        // What is scanned in parentheses is a subquery, whose own steps are in the plan too.
        let scans = step.starts_with("SCAN ")
            && !step.starts_with("SCAN (")
            && step != "SCAN CONSTANT ROW"
            && !SMALL.contains(&step.as_str());
        if scans || step.starts_with("USE TEMP B-TREE") {
            return Err(StoreError::Internal(format!("\"{step}\" in a write transaction: {sql}")));
        }
    }
    CHECKED.with_borrow_mut(|checked| checked.insert(sql.to_owned()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_index_finds_passes() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE t (a INTEGER PRIMARY KEY, b, c); CREATE INDEX i ON t (b);")
            .unwrap();
        for good in [
            "SELECT c FROM t WHERE a = ?1",
            "SELECT c FROM t WHERE b > ?1 ORDER BY b LIMIT 5",
            "SELECT count(*) FROM (SELECT 1 FROM t WHERE b = ?1 LIMIT 100)",
            "INSERT INTO t (a) SELECT a + 1 FROM t WHERE b = ?1 UNION ALL SELECT ?2",
            "DELETE FROM t WHERE a IN (SELECT a FROM t WHERE b < ?1 LIMIT 5)",
        ] {
            check(&connection, good).unwrap();
        }
        for bad in [
            "SELECT a FROM t WHERE c = ?1",
            "SELECT count(*) FROM t",
            "SELECT a FROM t WHERE b = ?1 ORDER BY c LIMIT 5",
            "UPDATE t SET b = ?1 WHERE c IS NULL",
        ] {
            let refused = check(&connection, bad).unwrap_err().to_string();
            assert!(refused.contains(bad), "{refused}");
        }
    }
}
