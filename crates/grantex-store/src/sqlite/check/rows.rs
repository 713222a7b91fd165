//! Checks budgets against their debits, grants against their parents, and references.

use grantex_types::{Amount, GrantId};
use rusqlite::Row;

use super::super::values::int;
use super::{Checker, Found, Problem, Sink, developer};

/// Rows of one snapshot: some ten milliseconds, unless a budget has very many debits.
const SLICE: u32 = 500;

impl Checker<'_> {
    /// Every budget: the remaining amount and the debits add up to the initial amount.
    pub(super) fn budgets(&self, sink: Sink<'_>) {
        let sql = "SELECT b.developer_id, b.grant_id, b.initial, b.remaining, b.debits,
                (SELECT coalesce(sum(t.amount), 0) FROM transactions t
                 WHERE t.developer_id = b.developer_id AND t.grant_id = b.grant_id) AS taken,
                (SELECT count(*) FROM transactions t
                 WHERE t.developer_id = b.developer_id AND t.grant_id = b.grant_id) AS found
            FROM budgets b WHERE (b.developer_id, b.grant_id) > (?1, ?2) ORDER BY 1, 2 LIMIT ?3";
        self.rows("budgets", sql, sink, |row| {
            let column = |name: &str| row.get::<_, i64>(name);
            let (initial, remaining, taken) =
                (column("initial")?, column("remaining")?, column("taken")?);
            let (debits, found) = (column("debits")?, column("found")?);
            let amount = |units: i64| {
                Amount::from_units(u64::try_from(units).unwrap_or(0))
                    .unwrap_or(Amount::MAX)
                    .to_string()
            };
            Ok(if initial.saturating_sub(remaining) != taken {
                Some((
                    "budget",
                    format!(
                        "{} of {} remain, but the debits add up to {}",
                        amount(remaining),
                        amount(initial),
                        amount(taken)
                    ),
                ))
            } else if debits != found {
                Some(("budget", format!("only {found} of its {debits} debits exist")))
            } else {
                None
            })
        });
    }

    /// Every grant in force: its parent exists, and a cascade would reach it.
    pub(super) fn grants(&self, sink: Sink<'_>) {
        let now = int(self.now.millis());
        let sql = format!(
            "SELECT g.developer_id, g.id, g.depth, g.parent_id,
                (SELECT p.depth FROM grants p WHERE p.developer_id = g.developer_id
                    AND p.id = g.parent_id) AS parent_depth,
                (SELECT count(*) FROM grant_ancestry a WHERE a.grant_id = g.id) AS above,
                EXISTS (SELECT 1 FROM agents a WHERE a.developer_id = g.developer_id
                    AND a.id = g.agent_id) AS has_agent,
                json_valid(g.scopes) AS has_scopes,
                EXISTS (SELECT 1 FROM grants p WHERE p.developer_id = g.developer_id
                    AND p.id = g.parent_id
                    AND p.expires_at < g.expires_at) AS outlives,
                CASE WHEN json_valid(g.scopes) THEN EXISTS (SELECT 1 FROM grants p,
                    json_each(g.scopes) s
                    WHERE p.developer_id = g.developer_id AND p.id = g.parent_id
                        AND json_valid(p.scopes)
                    AND s.value NOT IN (SELECT value FROM json_each(p.scopes))) END AS exceeds,
                g.revoked_at IS NULL AND g.expires_at > {now} AS in_force
            FROM grants g WHERE (g.developer_id, g.id) > (?1, ?2) ORDER BY 1, 2 LIMIT ?3"
        );
        self.rows("grants", &sql, sink, |row| {
            let depth: i64 = row.get("depth")?;
            let parent: Option<Vec<u8>> = row.get("parent_id")?;
            let parent_depth: Option<i64> = row.get("parent_depth")?;
            let what = if !row.get::<_, bool>("has_agent")? {
                "its agent is missing"
            } else if !row.get::<_, bool>("has_scopes")? {
                "its scopes cannot be read"
            } else if !row.get::<_, bool>("in_force")? {
                return Ok(None);
            } else if parent.is_some() && parent_depth.is_none() {
                "the grant that it was delegated from is missing"
            } else if depth != parent_depth.map_or(0, |depth| depth.saturating_add(1)) {
                "its depth is not one more than that of the grant that it was delegated from"
            } else if row.get::<_, bool>("outlives")? {
                "it ends after the grant that it was delegated from"
            } else if row.get::<_, bool>("exceeds")? {
                "it has scopes that the grant it was delegated from does not have"
            } else if row.get::<_, i64>("above")? != depth {
                "not all grants above it exist, so a cascade would miss it"
            } else {
                return Ok(None);
            };
            Ok(Some(("grant", what.to_owned())))
        });
    }

    /// Reads a table whose key is a developer and a grant, in slices.
    fn rows(
        &self,
        table: &str,
        sql: &str,
        sink: Sink<'_>,
        look: impl Fn(&Row<'_>) -> rusqlite::Result<Option<(&'static str, String)>>,
    ) {
        sink(Found::Looking(table.to_owned()));
        let mut after = (Vec::new(), Vec::new());
        let mut seen: u64 = 0;
        loop {
            let mut problems = Vec::new();
            let slice = self.snapshot(|session| {
                let mut statement = session.connection.prepare_cached(sql)?;
                let mut rows = statement.query((&after.0, &after.1, SLICE))?;
                let mut count: u64 = 0;
                while let Some(row) = rows.next()? {
                    let key: (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
                    let problem =
                        look(row).unwrap_or_else(|error| Some(("row", error.to_string())));
                    problems.extend(problem.map(|problem| (key.clone(), problem)));
                    after = key;
                    count = count.saturating_add(1);
                }
                Ok(count)
            });
            for ((owner, id), (kind, detail)) in problems {
                let grant = <[u8; 16]>::try_from(id.as_slice()).map_or_else(
                    |_| format!("{id:02x?}"),
                    |id| GrantId::from_bytes(id).to_string(),
                );
                let place = format!("{} {grant}", developer(&owner));
                sink(Found::Problem(Problem { kind, place, detail }));
            }
            match slice {
                Ok(0) => return,
                Ok(count) => {
                    seen = seen.saturating_add(count);
                    sink(Found::Rows(seen));
                }
                Err(error) => return self.unreadable(table, &error, sink),
            }
        }
    }

    /// Rows that refer to a developer who does not exist.
    pub(super) fn references(&self, sink: Sink<'_>) {
        sink(Found::Looking("references".into()));
        let found = self.snapshot(|session| {
            let mut statement = session.connection.prepare("PRAGMA foreign_key_check")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(2)?)))?;
            rows.collect::<rusqlite::Result<Vec<(String, String)>>>()
        });
        match found {
            Ok(rows) => {
                for (table, parent) in rows {
                    let detail = format!("a row refers to a row of {parent} that is missing");
                    sink(Found::Problem(Problem { kind: "row", place: table, detail }));
                }
            }
            Err(error) => self.unreadable("references", &error, sink),
        }
    }
}
