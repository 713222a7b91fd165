//! Revocation of a grant with everything delegated from it.
//!
//! Up to [`LARGEST_AT_ONCE`] grants go in one transaction, each with its event. A larger cascade
//! makes everything inactive in its first transaction – a [`CascadeJob`] covers it, and every
//! read treats what a job covers as revoked – and the rows with their events follow in slices,
//! parents before children, through [`advance`].

use std::collections::HashSet;

use grantex_types::event::RevokedBy;
use grantex_types::{AgentId, DeveloperId, EventData, Timestamp};

use crate::Result;
use crate::log::Subject;
use crate::model::{CascadeJob, Grant, Reached};
use crate::store::{Reach, Read, Tx};

/// The most grants below another that are revoked in its transaction. Measured on two cores: they
/// take some ten milliseconds, in which no other write commits (`bench`, `revoke`).
pub const LARGEST_AT_ONCE: u32 = 1_000;

/// The most grants that one slice of a larger cascade revokes: some milliseconds, after which
/// waiting writes get their turn.
pub const SLICE: u32 = 250;

/// Revokes an active grant (as `by`) and its descendants (as the system).
pub fn revoke_grant(tx: &mut dyn Tx, grant: &Grant, by: RevokedBy) -> Result<()> {
    let (developer, now) = (grant.developer_id, tx.now());
    let below =
        tx.descendants(developer, grant.id, Reach::Active, LARGEST_AT_ONCE.saturating_add(1))?;
    revoke(tx, developer, &grant.subject(), now, by)?;
    if below.len() > LARGEST_AT_ONCE as usize {
        let job = CascadeJob {
            seq: 0,
            developer_id: developer,
            created_at: now,
            agent_id: None,
            root: Some(grant.id),
        };
        return Ok(tx.insert_cascade_job(&job)?);
    }
    revoke_all(tx, developer, &below)
}

/// The grants that would be revoked with this one, up to one more than [`LARGEST_AT_ONCE`].
pub fn below(store: &dyn Read, grant: &Grant) -> Result<Vec<Reached>> {
    let most = LARGEST_AT_ONCE.saturating_add(1);
    let mut below = store.descendants(grant.developer_id, grant.id, Reach::Active, most)?;
    below.retain(|one| !one.is_over && !one.is_covered);
    Ok(below)
}

/// Revokes an agent's grants and their descendants, also other agents', all as the system.
pub fn revoke_agent(tx: &mut dyn Tx, developer: DeveloperId, agent: AgentId) -> Result<()> {
    if let Some(reached) = with_descendants(tx, developer, agent)? {
        return revoke_all(tx, developer, &reached);
    }
    let job = CascadeJob {
        seq: 0,
        developer_id: developer,
        created_at: tx.now(),
        agent_id: Some(agent),
        root: None,
    };
    Ok(tx.insert_cascade_job(&job)?)
}

/// An agent's grants and those below them, parents first; `None` if they are more than one
/// transaction takes.
fn with_descendants(
    tx: &dyn Tx,
    developer: DeveloperId,
    agent: AgentId,
) -> Result<Option<Vec<Reached>>> {
    let too_many = LARGEST_AT_ONCE.saturating_add(1);
    let own = tx.grants_of_agent(developer, agent, Reach::Active, too_many)?;
    let mut all: Vec<Reached> = Vec::new();
    let mut known = HashSet::new();
    for grant in own {
        let id = grant.subject.grant_id;
        // Parents come first, so one that hangs below another of this agent's is known with all
        // below it.
        if !known.insert(id) {
            continue;
        }
        all.push(grant);
        let below = tx.descendants(developer, id, Reach::Active, too_many)?;
        known.extend(below.iter().map(|below| below.subject.grant_id));
        all.extend(below);
        if all.len() > LARGEST_AT_ONCE as usize {
            return Ok(None);
        }
    }
    Ok(Some(all))
}

fn revoke_all(tx: &mut dyn Tx, developer: DeveloperId, reached: &[Reached]) -> Result<()> {
    let now = tx.now();
    // A grant that a job covers is inactive, and the job will append its event.
    for one in reached.iter().filter(|one| !one.is_over && !one.is_covered) {
        revoke(tx, developer, &one.subject, now, RevokedBy::System)?;
    }
    Ok(())
}

/// Revokes the next slice of an unfinished job, at most [`SLICE`] grants and none after `may_go_on`
/// returns `false`. Returns whose job it was; `None` when no job is left.
///
/// Developers take turns: it is the job of the next one after `last`. One developer's jobs run one
/// after the other in the order they were made, so that a grant covered by two of them has its
/// parents revoked first whichever comes first.
pub fn advance(
    tx: &mut dyn Tx,
    last: Option<DeveloperId>,
    may_go_on: &dyn Fn() -> bool,
) -> Result<Option<DeveloperId>> {
    let Some(mut job) = tx.next_cascade_job(last)? else { return Ok(None) };
    let developer = job.developer_id;
    let covered = Reach::CoveredSince(job.created_at);
    let mut left = SLICE;
    loop {
        let slice = match (job.root, job.agent_id) {
            (Some(root), _) => tx.descendants(developer, root, covered, left)?,
            (None, Some(agent)) => tx.grants_of_agent(developer, agent, covered, 1)?,
            (None, None) => Vec::new(),
        };
        match (job.root, slice.first()) {
            // Nothing is left below this one, which frees the way to the agent's next.
            (Some(_), None) => job.root = None,
            (None, None) => {
                tx.delete_cascade_job(job.seq)?;
                return Ok(Some(developer));
            }
            (None, Some(grant)) => job.root = Some(grant.subject.grant_id),
            (Some(_), Some(_)) => {}
        }
        for one in &slice {
            if one.is_over {
                tx.leave_tree(one.subject.grant_id)?;
            } else {
                revoke(tx, developer, &one.subject, job.created_at, RevokedBy::System)?;
            }
            left = left.saturating_sub(1);
            if left == 0 || !may_go_on() {
                tx.update_cascade_job(&job)?;
                return Ok(Some(developer));
            }
        }
    }
}

fn revoke(
    tx: &mut dyn Tx,
    developer: DeveloperId,
    subject: &Subject,
    at: Timestamp,
    revoked_by: RevokedBy,
) -> Result<()> {
    tx.revoke_grant(developer, subject.grant_id, at)?;
    tx.append(
        developer,
        subject,
        EventData::GrantRevoked { grant_id: subject.grant_id, revoked_by },
    )?;
    Ok(())
}
