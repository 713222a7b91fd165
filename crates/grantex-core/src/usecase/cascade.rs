//! Revocation with everything that hangs below.
//!
//! Up to [`LARGEST_AT_ONCE`] grants go in one transaction, each with its event. A larger cascade
//! makes everything inactive in its first transaction – a [`CascadeJob`] covers it, and every
//! read treats what a job covers as revoked – and the rows with their events follow in slices,
//! parents before children, through [`advance`].

use grantex_types::event::RevokedBy;
use grantex_types::{AgentId, DeveloperId, EventData};

use crate::Result;
use crate::model::{CascadeJob, Grant};
use crate::store::{Reach, Tx};

/// The most grants that one transaction revokes. Measured on two cores: 10,000 take about 80 ms, in
/// which no other write commits; many more would be felt as an outage (`bench`, `revoke`).
pub const LARGEST_AT_ONCE: u32 = 10_000;

/// The most grants that one slice of a larger cascade revokes: some milliseconds, after which
/// waiting writes get their turn.
pub const SLICE: u32 = 500;

/// Revokes an active grant (as `by`) and its descendants (as the system).
pub fn revoke_grant(tx: &mut dyn Tx, grant: &Grant, by: RevokedBy) -> Result<()> {
    let below = tx.descendants(grant.developer_id, grant.id, None, Reach::Active, LARGEST_AT_ONCE)?;
    revoke_row(tx, grant, by)?;
    if below.len() < LARGEST_AT_ONCE as usize {
        for (_, descendant) in &below {
            revoke_row(tx, descendant, RevokedBy::System)?;
        }
        return Ok(());
    }
    let job = CascadeJob {
        seq: 0,
        developer_id: grant.developer_id,
        created_at: tx.now(),
        agent_id: None,
        root: Some(grant.id),
        done: None,
    };
    Ok(tx.insert_cascade_job(&job)?)
}

/// Revokes an agent's grants and their descendants, also other agents', all as the system.
pub fn revoke_agent(tx: &mut dyn Tx, developer: DeveloperId, agent: AgentId) -> Result<()> {
    if agent_fits_at_once(tx, developer, agent)? {
        // Parents come first, so what an earlier grant's cascade already took is not active here.
        while let Some(grant) = tx.grants_of_agent(developer, agent, Reach::Active, 1)?.pop() {
            revoke_row(tx, &grant, RevokedBy::System)?;
            for (_, descendant) in
                tx.descendants(developer, grant.id, None, Reach::Active, LARGEST_AT_ONCE)?
            {
                revoke_row(tx, &descendant, RevokedBy::System)?;
            }
        }
        return Ok(());
    }
    let job = CascadeJob {
        seq: 0,
        developer_id: developer,
        created_at: tx.now(),
        agent_id: Some(agent),
        root: None,
        done: None,
    };
    Ok(tx.insert_cascade_job(&job)?)
}

fn agent_fits_at_once(tx: &dyn Tx, developer: DeveloperId, agent: AgentId) -> Result<bool> {
    let own = tx.grants_of_agent(developer, agent, Reach::Active, LARGEST_AT_ONCE)?;
    let mut left = LARGEST_AT_ONCE;
    for grant in &own {
        let below = tx.descendants(developer, grant.id, None, Reach::Active, left)?;
        let cost = u32::try_from(below.len()).unwrap_or(u32::MAX).saturating_add(1);
        match left.checked_sub(cost) {
            Some(rest) if rest > 0 => left = rest,
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Revokes the next slice of the oldest unfinished job. Returns whether there may be more to do.
///
/// Jobs run one after the other in the order they were made, so that a grant covered by two of
/// them has its parents revoked first whichever comes first.
pub fn advance(tx: &mut dyn Tx) -> Result<bool> {
    let Some(mut job) = tx.next_cascade_job()? else { return Ok(false) };
    let covered = Reach::CoveredSince(job.created_at);
    let mut left = SLICE;
    while left > 0 {
        let Some(root) = job.root else {
            let next = match job.agent_id {
                Some(agent) => tx.grants_of_agent(job.developer_id, agent, covered, 1)?.pop(),
                None => None,
            };
            let Some(grant) = next else {
                tx.delete_cascade_job(job.seq)?;
                return Ok(true);
            };
            revoke_covered(tx, &grant, &job)?;
            left = left.saturating_sub(1);
            job.root = Some(grant.id);
            job.done = None;
            continue;
        };
        let slice = tx.descendants(job.developer_id, root, job.done, covered, left)?;
        if slice.len() < left as usize {
            job.root = None;
        }
        for (depth, grant) in slice {
            revoke_covered(tx, &grant, &job)?;
            left = left.saturating_sub(1);
            job.done = Some((depth, grant.id));
        }
    }
    tx.update_cascade_job(&job)?;
    Ok(true)
}

fn revoke_covered(tx: &mut dyn Tx, grant: &Grant, job: &CascadeJob) -> Result<()> {
    tx.revoke_grant(grant.developer_id, grant.id, job.created_at)?;
    append_revoked(tx, grant, RevokedBy::System)
}

fn revoke_row(tx: &mut dyn Tx, grant: &Grant, by: RevokedBy) -> Result<()> {
    let now = tx.now();
    tx.revoke_grant(grant.developer_id, grant.id, now)?;
    append_revoked(tx, grant, by)
}

fn append_revoked(tx: &mut dyn Tx, grant: &Grant, revoked_by: RevokedBy) -> Result<()> {
    let data = EventData::GrantRevoked { grant_id: grant.id, revoked_by };
    tx.append(grant.developer_id, &grant.subject(), data)?;
    Ok(())
}
