//! The rows that cascades read, and the jobs of the large ones.

use std::sync::LazyLock;

use grantex_core::log::Subject;
use grantex_core::model::{CascadeJob, Reached};
use grantex_core::store::{Change, Reach, StoreResult};
use grantex_types::{AgentId, DeveloperId, GrantId, Timestamp};
use rusqlite::{Row, named_params};

use super::unit_of_work::UnitOfWork;
use super::values::{int, time, uint};

/// When the oldest unfinished cascade made the grant `g` inactive, or NULL. Costs one look into an
/// empty index while the developer has no such cascade, and otherwise a look for each grant above.
pub(super) const COVERED_AT: &str = "(CASE WHEN g.revoked_at IS NULL
        AND EXISTS (SELECT 1 FROM cascade_jobs WHERE developer_id = g.developer_id)
    THEN (SELECT min(at) FROM (
        SELECT min(j.created_at) AS at FROM cascade_jobs j
            WHERE j.developer_id = g.developer_id AND j.agent_id = g.agent_id
                AND j.created_at < g.expires_at
        UNION ALL
        SELECT min(j.created_at) FROM cascade_jobs j
            WHERE j.developer_id = g.developer_id AND j.agent_id IS NULL AND j.root = g.id
            AND j.created_at < g.expires_at
        UNION ALL
        SELECT min(j.created_at) FROM grant_ancestry a
            CROSS JOIN cascade_jobs j INDEXED BY cascade_jobs_by_reach
                ON j.developer_id = g.developer_id AND j.agent_id IS NULL AND j.root = a.ancestor_id
            WHERE a.grant_id = g.id AND j.created_at < g.expires_at
        UNION ALL
        SELECT min(j.created_at) FROM grant_ancestry a
            CROSS JOIN grants p ON p.developer_id = g.developer_id AND p.id = a.ancestor_id
            CROSS JOIN cascade_jobs j INDEXED BY cascade_jobs_by_reach
                ON j.developer_id = g.developer_id AND j.agent_id = p.agent_id
            WHERE a.grant_id = g.id AND j.created_at < g.expires_at
    )) END)";

/// Leaves the grants that the indexes of those in force hold.
pub(super) const LIVE: &str = "g.revoked_at IS NULL AND g.lapsed = 0";

/// The properties of a grant that decide how a cascade treats it.
static REACHED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "g.id, g.agent_id, g.principal_id,
         (g.revoked_at IS NOT NULL OR g.lapsed = 1 OR g.expires_at <= :at) AS is_over,
         (CASE WHEN :covers THEN {COVERED_AT} IS NOT NULL ELSE 0 END) AS is_covered"
    )
});

fn reached(row: &Row<'_>) -> rusqlite::Result<Reached> {
    Ok(Reached {
        subject: Subject {
            grant_id: GrantId::from_bytes(row.get("id")?),
            agent_id: AgentId::from_bytes(row.get("agent_id")?),
            principal_id: row.get("principal_id")?,
        },
        is_over: row.get("is_over")?,
        is_covered: row.get("is_covered")?,
    })
}

/// Goes from depth to depth and takes at each only those that end late enough: an index finds both
/// at once.
fn by_depth(
    limit: u32,
    next_depth: impl Fn(i64) -> StoreResult<Option<i64>>,
    at_depth: impl Fn(i64, u32) -> StoreResult<Vec<Reached>>,
) -> StoreResult<Vec<Reached>> {
    let mut all = Vec::new();
    let mut left = limit;
    let mut depth = -1;
    while left > 0
        && let Some(next) = next_depth(depth)?
    {
        depth = next;
        let some = at_depth(depth, left)?;
        left = left.saturating_sub(some.len().try_into().unwrap_or(u32::MAX));
        all.extend(some);
    }
    Ok(all)
}

impl UnitOfWork<'_> {
    /// The time after which grants have to end for `reach`, and whether it asks for what is
    /// covered.
    fn after(&self, reach: Reach) -> (i64, bool) {
        match reach {
            Reach::Active => (int(self.now.millis()), true),
            Reach::CoveredSince(at) => (int(at.millis()), false),
        }
    }

    pub(super) fn read_descendants(
        &self,
        developer: DeveloperId,
        root: GrantId,
        reach: Reach,
        limit: u32,
    ) -> StoreResult<Vec<Reached>> {
        static SQL: LazyLock<String> = LazyLock::new(|| {
            format!(
                "SELECT {} FROM grant_ancestry below INDEXED BY grant_ancestry_live
                 CROSS JOIN grants g ON g.developer_id = :developer AND g.id = below.grant_id
                 WHERE below.ancestor_id = :root AND below.depth = :depth AND below.expires_at > :at
                 ORDER BY below.expires_at, below.grant_id LIMIT :limit",
                *REACHED
            )
        });
        let (at, covers) = self.after(reach);
        let (developer, root) = (developer.to_bytes(), root.to_bytes());
        by_depth(
            limit,
            |depth| {
                self.one(
                    "SELECT depth FROM grant_ancestry WHERE ancestor_id = ?1 AND depth > ?2 ORDER BY depth LIMIT 1",
                    (root, depth),
                    |row| row.get("depth"),
                )
            },
            |depth, limit| {
                let params = named_params! {
                    ":developer": developer, ":root": root, ":depth": depth, ":at": at, ":covers": covers,
                    ":limit": limit,
                };
                self.all(&SQL, params, reached)
            },
        )
    }

    pub(super) fn read_grants_of_agent(
        &self,
        developer: DeveloperId,
        agent: AgentId,
        reach: Reach,
        limit: u32,
    ) -> StoreResult<Vec<Reached>> {
        static NEXT: LazyLock<String> = LazyLock::new(|| {
            format!(
                "SELECT g.depth FROM grants g INDEXED BY grants_live_by_depth
                 WHERE g.developer_id = ?1 AND g.agent_id = ?2 AND {LIVE} AND g.depth > ?3
                 ORDER BY g.depth LIMIT 1"
            )
        });
        static SQL: LazyLock<String> = LazyLock::new(|| {
            format!(
                "SELECT {} FROM grants g INDEXED BY grants_live_by_depth
                 WHERE g.developer_id = :developer AND g.agent_id = :agent AND {LIVE}
                     AND g.depth = :depth
                 AND g.expires_at > :at ORDER BY g.expires_at, g.id LIMIT :limit",
                *REACHED
            )
        });
        let (at, covers) = self.after(reach);
        let (developer, agent) = (developer.to_bytes(), agent.to_bytes());
        by_depth(
            limit,
            |depth| self.one(&NEXT, (developer, agent, depth), |row| row.get("depth")),
            |depth, limit| {
                let params = named_params! {
                    ":developer": developer, ":agent": agent, ":depth": depth, ":at": at, ":covers": covers,
                    ":limit": limit,
                };
                self.all(&SQL, params, reached)
            },
        )
    }

    /// Not by the tree: what ended has left it.
    pub(super) fn agents_upwards(
        &self,
        developer: DeveloperId,
        grant: GrantId,
    ) -> StoreResult<Vec<AgentId>> {
        let of = |grant: [u8; 16]| {
            self.one(
                "SELECT agent_id, parent_id FROM grants WHERE developer_id = ?1 AND id = ?2",
                (developer.to_bytes(), grant),
                |row| {
                    let parent: Option<[u8; 16]> = row.get("parent_id")?;
                    Ok((AgentId::from_bytes(row.get("agent_id")?), parent))
                },
            )
        };
        let mut above = Vec::new();
        let mut next = of(grant.to_bytes())?.and_then(|(_, parent)| parent);
        while let Some(id) = next {
            let Some((agent, parent)) = of(id)? else { break };
            above.push(agent);
            next = parent;
        }
        Ok(above)
    }

    pub(super) fn read_next_job(
        &self,
        after: Option<DeveloperId>,
    ) -> StoreResult<Option<CascadeJob>> {
        let next = |after: [u8; 16]| {
            self.one(
                "SELECT * FROM cascade_jobs WHERE developer_id > ?1 ORDER BY developer_id, seq LIMIT 1",
                [after],
                |row| {
                    Ok(CascadeJob {
                        seq: uint(row, "seq")?,
                        developer_id: DeveloperId::from_bytes(row.get("developer_id")?),
                        created_at: time(row, "created_at")?,
                        agent_id: row.get::<_, Option<[u8; 16]>>("agent_id")?.map(AgentId::from_bytes),
                        root: row.get::<_, Option<[u8; 16]>>("root")?.map(GrantId::from_bytes),
                    })
                },
            )
        };
        match after {
            Some(last) => Ok(next(last.to_bytes())?.or(next([0; 16])?)),
            None => next([0; 16]),
        }
    }

    pub(super) fn read_has_job(&self, developer: DeveloperId) -> StoreResult<bool> {
        let found = self.one(
            "SELECT 1 FROM cascade_jobs WHERE developer_id = ?1 LIMIT 1",
            [developer.to_bytes()],
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }

    pub(super) fn write_revoked(
        &mut self,
        developer: DeveloperId,
        id: GrantId,
        at: Timestamp,
    ) -> StoreResult<()> {
        let grant = (developer.to_bytes(), id.to_bytes(), int(at.millis()));
        let live = self.execute(
            "UPDATE grants SET revoked_at = ?3
             WHERE developer_id = ?1 AND id = ?2 AND revoked_at IS NULL AND lapsed = 0",
            grant,
        )?;
        if live == 0 {
            self.execute(
                "UPDATE grants SET revoked_at = ?3 WHERE developer_id = ?1 AND id = ?2",
                grant,
            )?;
        }
        self.fewer_grants(developer, live)?;
        self.leave_tree_as(developer, id)
    }

    /// Takes an ended grant out of the tree, and out of memories.
    pub(super) fn leave_tree_as(
        &mut self,
        developer_id: DeveloperId,
        grant_id: GrantId,
    ) -> StoreResult<()> {
        self.execute("DELETE FROM grant_ancestry WHERE grant_id = ?1", [grant_id.to_bytes()])?;
        self.effects()?.changes.push(Change::GrantEnded { developer_id, grant_id });
        Ok(())
    }

    pub(super) fn write_job(&mut self, job: &CascadeJob) -> StoreResult<()> {
        self.execute(
            "INSERT INTO cascade_jobs (developer_id, created_at, agent_id, root) VALUES (?1, ?2, ?3, ?4)",
            (
                job.developer_id.to_bytes(),
                int(job.created_at.millis()),
                job.agent_id.map(AgentId::to_bytes),
                job.root.map(GrantId::to_bytes),
            ),
        )?;
        let started = Change::CascadeStarted { developer_id: job.developer_id };
        self.effects()?.changes.push(started);
        Ok(())
    }
}
