//! Revocation of trees, small and large.

use std::collections::{HashMap, HashSet};

use grantex_core::model::{Caller, Grant, Reached};
use grantex_core::store::{Change, GrantFilter, Page, Reach};
use grantex_core::usecase::{agents, cascade, grants, maintenance};
use grantex_core::{Error, Result};
use grantex_types::api::grants::GrantStatus;
use grantex_types::event::{Event, EventData, RevokedBy};
use grantex_types::{AgentId, DeveloperId, ErrorCode, GrantId, Lifetime};

use super::harness::{Case, Harness, grant, grant_for};

/// The cases about cascades, by name.
pub const CASES: &[Case] = &[
    ("what has left the tree is not reached", what_has_left_the_tree_is_not_reached),
    ("an empty database has nothing to catch up on", an_empty_database_has_nothing_to_catch_up_on),
    ("descendants come parents first", descendants_come_parents_first),
    (
        "a large cascade is inactive at once and revoked in slices",
        a_large_cascade_is_inactive_at_once_and_revoked_in_slices,
    ),
    ("deleting an agent with many grants", deleting_an_agent_with_many_grants),
    ("the limit itself goes at once", the_limit_itself_goes_at_once),
    ("the limit itself goes at once for an agent", the_limit_itself_goes_at_once_for_an_agent),
    ("developers take turns", developers_take_turns),
    ("a slice ends when its time is up", a_slice_ends_when_its_time_is_up),
    ("overlapping cascades tell each grant once", overlapping_cascades_tell_each_grant_once),
    ("what expired is put aside for good", what_expired_is_put_aside_for_good),
    ("a cascade keeps what it has to tell", a_cascade_keeps_what_it_has_to_tell),
];

fn tree(
    harness: &Harness,
    id: DeveloperId,
    agents: [AgentId; 3],
    width: u32,
) -> (Grant, Vec<Grant>) {
    // A root, `width` children, and a child of each tenth child, made by three agents in turn.
    harness
        .write(move |tx| {
            let root = grant(tx, id, agents[0], None)?;
            let mut all = Vec::new();
            for n in 0..width {
                let child = grant(tx, id, agents[1], Some(&root))?;
                if n % 10 == 0 {
                    all.push(grant(tx, id, agents[2], Some(&child))?);
                }
                all.push(child);
            }
            Ok((root, all))
        })
        .unwrap()
}

fn agents_of(harness: &Harness, caller: Caller) -> [AgentId; 3] {
    [0; 3].map(|_| harness.agent(caller).agent_id)
}

/// The grants that the log tells revoked, in order.
fn revoked(harness: &Harness, id: DeveloperId) -> Vec<(GrantId, RevokedBy)> {
    let log = harness.read(move |store| Ok(store.events(id, 0, u32::MAX, usize::MAX)?));
    log.iter()
        .filter_map(|event| match serde_json::from_slice::<Event>(&event.envelope).unwrap().data {
            EventData::GrantRevoked { grant_id, revoked_by } => Some((grant_id, revoked_by)),
            _ => None,
        })
        .collect()
}

/// Each once, and none before the one above it.
fn assert_in_order(revoked: &[(GrantId, RevokedBy)], grants: &[Grant]) {
    let places: HashMap<GrantId, usize> =
        revoked.iter().enumerate().map(|(place, (id, _))| (*id, place)).collect();
    assert_eq!(places.len(), revoked.len(), "each once");
    for grant in grants {
        let place = places[&grant.id];
        if let Some(parent) = grant.parent_id.and_then(|parent| places.get(&parent)) {
            assert!(*parent < place, "parents first");
        }
    }
}

/// One slice, after whose developer's turn it is. Returns whose it was.
fn slice(harness: &Harness, last: Option<DeveloperId>) -> Option<DeveloperId> {
    harness.write(move |tx| cascade::advance(tx, last, &|| true)).unwrap()
}

fn work_off(harness: &Harness) -> usize {
    let mut slices = 0;
    while slice(harness, None).is_some() {
        slices += 1;
    }
    slices
}

fn active(harness: &Harness, id: DeveloperId) -> usize {
    let filter = GrantFilter { status: Some(GrantStatus::Active), ..GrantFilter::default() };
    let mut page = Page { after: None, offset: 0, limit: u32::MAX };
    let mut count = 0;
    loop {
        let filter = filter.clone();
        let found = harness.read(move |store| Ok(store.grants(id, &filter, page)?));
        count += found.rows.len();
        match found.stopped_at {
            Some(_) => page.after = found.stopped_at,
            None => return count,
        }
    }
}

fn below(harness: &Harness, id: DeveloperId, root: GrantId, limit: u32) -> Vec<Reached> {
    harness.read(move |store| Ok(store.descendants(id, root, Reach::Active, limit)?))
}

fn descendants_come_parents_first(harness: Harness) {
    let (developer, caller) = harness.developer();
    let id = developer.developer_id;
    let (root, all) = tree(&harness, id, agents_of(&harness, caller), 30);
    let depths: HashMap<GrantId, u8> = all.iter().map(|grant| (grant.id, grant.depth)).collect();
    let found = below(&harness, id, root.id, 100);
    assert_eq!(found.len(), all.len());
    assert!(found.is_sorted_by_key(|one| depths[&one.subject.grant_id]));
    let ids = |found: &[Reached]| -> Vec<GrantId> {
        found.iter().map(|one| one.subject.grant_id).collect()
    };
    assert_eq!(ids(&below(&harness, id, root.id, 7)), ids(&found)[..7]);
    let leaf = found.last().unwrap().subject.clone();
    assert!(below(&harness, id, leaf.grant_id, 100).is_empty());
    let of_agent = harness
        .read(move |store| Ok(store.grants_of_agent(id, leaf.agent_id, Reach::Active, 100)?));
    assert_eq!(of_agent.len(), 3);
    assert!(found.iter().all(|one| !one.is_over && !one.is_covered));
    // Revoked ones and expired ones are left out.
    let gone = all[3].id;
    harness.write(move |tx| Ok(tx.revoke_grant(id, gone, tx.now())?)).unwrap();
    assert_eq!(below(&harness, id, root.id, 100).len(), all.len() - 1);
    harness.turn_clock(3_600_001);
    assert!(below(&harness, id, root.id, 100).is_empty());
}

fn a_large_cascade_is_inactive_at_once_and_revoked_in_slices(harness: Harness) {
    let (developer, caller) = harness.developer();
    let id = developer.developer_id;
    let (root, below) = tree(&harness, id, agents_of(&harness, caller), cascade::LARGEST_AT_ONCE);
    let root_id = root.id;
    assert_eq!(active(&harness, id), below.len() + 1);
    harness.write(move |tx| grants::revoke(tx, id, root_id, RevokedBy::Developer)).unwrap();

    // One event so far, and yet nothing below is active, by any way of looking.
    assert_eq!(revoked(&harness, id), [(root.id, RevokedBy::Developer)]);
    assert_eq!(active(&harness, id), 0);
    let leaf = below[0].clone();
    let leaf_id = leaf.id;
    let shown = harness.read(move |store| Ok(store.grant(id, leaf_id)?.unwrap()));
    assert_eq!(shown.revoked_at, Some(harness.read(|store| Ok(store.now()))));
    let refused: Result<()> =
        harness.write(move |tx| grants::revoke(tx, id, leaf_id, RevokedBy::Developer));
    assert!(matches!(refused, Err(Error::Refused { code: ErrorCode::NotFound, .. })));

    // It survives a restart in the middle, also beyond the grants' own end.
    slice(&harness, None);
    assert_eq!(revoked(&harness, id).len(), 1 + cascade::SLICE as usize);
    let harness = harness.reopen();
    harness.turn_clock(3_600_001);
    assert!(work_off(&harness) >= below.len() / cascade::SLICE as usize);
    let revoked = revoked(&harness, id);
    assert_eq!(revoked.len(), below.len() + 1);
    assert!(revoked[1..].iter().all(|(_, by)| *by == RevokedBy::System));
    assert_in_order(&revoked, &below);
    assert!(harness.read(|store| Ok(store.next_cascade_job(None)?)).is_none());
}

fn deleting_an_agent_with_many_grants(harness: Harness) {
    let (developer, caller) = harness.developer();
    let id = developer.developer_id;
    let [boss, helper, other] = agents_of(&harness, caller);
    // The agent holds the roots, and grants below other agents' grants below its own.
    let mut all = Vec::new();
    for _ in 0..3 {
        let (root, below) = tree(&harness, id, [boss, helper, boss], 360);
        all.push(root);
        all.extend(below);
    }
    let (bystander, _) = tree(&harness, id, [other, other, other], 1);
    harness.write(move |tx| agents::delete(tx, &caller, boss)).unwrap();
    assert_eq!(active(&harness, id), 3, "only the bystander's tree");
    // A smaller cascade meanwhile goes through at once.
    harness.write(move |tx| grants::revoke(tx, id, bystander.id, RevokedBy::Developer)).unwrap();
    assert_eq!(active(&harness, id), 0);
    work_off(&harness);
    let revoked = revoked(&harness, id);
    assert_eq!(revoked.len(), all.len() + 3);
    assert_in_order(&revoked, &all);
}

fn the_limit_itself_goes_at_once(harness: Harness) {
    let (developer, caller) = harness.developer();
    let id = developer.developer_id;
    // 909 children, and 91 grandchildren.
    let agents = agents_of(&harness, caller);
    let (root, below) = tree(&harness, id, agents, 909);
    assert_eq!(below.len(), cascade::LARGEST_AT_ONCE as usize);
    // As many again have just expired, and nobody has put them aside.
    let parent = root.clone();
    harness
        .write(move |tx| {
            for _ in 0..2 * cascade::LARGEST_AT_ONCE {
                grant_for(tx, id, agents[1], Some(&parent), 1)?;
            }
            Ok(())
        })
        .unwrap();
    harness.turn_clock(1000);
    harness.write(move |tx| grants::revoke(tx, id, root.id, RevokedBy::Principal)).unwrap();
    assert!(harness.read(|store| Ok(store.next_cascade_job(None)?)).is_none());
    let revoked = revoked(&harness, id);
    assert_eq!(revoked.len(), below.len() + 1);
    assert_in_order(&revoked, &below);
}

fn the_limit_itself_goes_at_once_for_an_agent(harness: Harness) {
    let (developer, caller) = harness.developer();
    let id = developer.developer_id;
    let agent = harness.agent(caller).agent_id;
    // A chain of the agent's own grants counts each of them once.
    harness
        .write(move |tx| {
            for _ in 0..cascade::LARGEST_AT_ONCE / 4 {
                let mut last = grant(tx, id, agent, None)?;
                for _ in 0..3 {
                    last = grant(tx, id, agent, Some(&last))?;
                }
            }
            Ok(())
        })
        .unwrap();
    harness.write(move |tx| agents::delete(tx, &caller, agent)).unwrap();
    assert!(harness.read(|store| Ok(store.next_cascade_job(None)?)).is_none());
    assert_eq!(revoked(&harness, id).len(), cascade::LARGEST_AT_ONCE as usize);
}

fn developers_take_turns(harness: Harness) {
    let made: Vec<DeveloperId> = [2, 1]
        .map(|jobs| {
            let (developer, caller) = harness.developer();
            let id = developer.developer_id;
            for _ in 0..jobs {
                let (root, _) =
                    tree(&harness, id, agents_of(&harness, caller), cascade::LARGEST_AT_ONCE + 1);
                harness
                    .write(move |tx| grants::revoke(tx, id, root.id, RevokedBy::Developer))
                    .unwrap();
            }
            id
        })
        .into();
    let mut turns = vec![slice(&harness, None).unwrap()];
    while let Some(next) = slice(&harness, turns.last().copied()) {
        turns.push(next);
    }
    let of_one = turns.iter().filter(|id| **id == made[1]).count();
    assert!(of_one > 3 && turns.len() > 3 * of_one - 3);
    assert!(
        turns[..2 * of_one].windows(2).all(|two| two[0] != two[1]),
        "in turn while both have a job"
    );
    for id in made {
        assert!(!harness.read(move |store| Ok(store.has_cascade_job(id)?)));
        let revoked = revoked(&harness, id);
        assert_eq!(revoked.len(), revoked.iter().map(|(id, _)| id).collect::<HashSet<_>>().len());
    }
}

fn a_slice_ends_when_its_time_is_up(harness: Harness) {
    let (developer, caller) = harness.developer();
    let id = developer.developer_id;
    let (root, _) = tree(&harness, id, agents_of(&harness, caller), cascade::LARGEST_AT_ONCE + 1);
    harness.write(move |tx| grants::revoke(tx, id, root.id, RevokedBy::Developer)).unwrap();
    for done in 1..4 {
        harness.write(|tx| cascade::advance(tx, None, &|| false)).unwrap();
        assert_eq!(revoked(&harness, id).len(), 1 + done, "one is always done");
    }
}

fn overlapping_cascades_tell_each_grant_once(harness: Harness) {
    let (developer, caller) = harness.developer();
    let id = developer.developer_id;
    let [boss, middle, other] = agents_of(&harness, caller);
    // A root with a few children, one of which has many below.
    let (root, all) = harness
        .write(move |tx| {
            let root = grant(tx, id, boss, None)?;
            let mut all = vec![grant(tx, id, middle, Some(&root))?];
            let top = all[0].clone();
            for _ in 0..=cascade::LARGEST_AT_ONCE {
                all.push(grant(tx, id, other, Some(&top))?);
            }
            for _ in 0..5 {
                all.push(grant(tx, id, other, Some(&root))?);
            }
            Ok((root, all))
        })
        .unwrap();
    harness.write(move |tx| agents::delete(tx, &caller, middle)).unwrap();
    slice(&harness, None);
    let covered = below(&harness, id, root.id, 5000);
    assert_eq!(covered.iter().filter(|one| !one.is_covered).count(), 5);
    harness.write(move |tx| grants::revoke(tx, id, root.id, RevokedBy::Developer)).unwrap();
    assert_eq!(active(&harness, id), 0);
    work_off(&harness);
    let revoked = revoked(&harness, id);
    assert_eq!(revoked.len(), all.len() + 1);
    assert_in_order(&revoked, &all[1..=1001]);
}

fn what_expired_is_put_aside_for_good(harness: Harness) {
    let (developer, caller) = harness.developer();
    let id = developer.developer_id;
    let [one, two, _] = agents_of(&harness, caller);
    let (root, short) = harness
        .write(move |tx| {
            let root = grant(tx, id, one, None)?;
            let mut short = Vec::new();
            for _ in 0..7 {
                short.push(grant_for(tx, id, two, Some(&root), 10)?);
            }
            Ok((root, short))
        })
        .unwrap();
    let lapse =
        |limit| harness.write(move |tx| maintenance::tend_grants(tx, id, None, limit)).unwrap();
    assert_eq!(lapse(5), 0);
    assert_eq!(harness.read(move |store| Ok(store.earliest_end(id)?)), Some(short[0].expires_at));
    harness.turn_clock(10_000);
    assert_eq!((lapse(5), lapse(5), lapse(5)), (5, 2, 0));
    assert_eq!(harness.read(move |store| Ok(store.earliest_end(id)?)), Some(root.expires_at));
    let ended = harness.recorded.changes.lock().clone();
    assert_eq!(
        ended.iter().filter(|change| matches!(change, Change::GrantEnded { .. })).count(),
        7
    );

    // The clock goes back: what the service has treated as over stays so.
    harness.turn_clock(-10_000);
    assert_eq!(active(&harness, id), 1);
    let expired = GrantFilter { status: Some(GrantStatus::Expired), ..GrantFilter::default() };
    harness.read(move |store| {
        assert_eq!(
            store.grants(id, &expired, Page { after: None, offset: 0, limit: 10 })?.rows.len(),
            7
        );
        assert_eq!(
            store.grant(id, short[0].id)?.unwrap().status(store.now()),
            GrantStatus::Expired
        );
        Ok(())
    });
    harness.write(move |tx| grants::revoke(tx, id, root.id, RevokedBy::Developer)).unwrap();
    assert_eq!(revoked(&harness, id), [(root.id, RevokedBy::Developer)]);
}

fn a_cascade_keeps_what_it_has_to_tell(harness: Harness) {
    let (developer, caller) = harness.developer();
    let id = developer.developer_id;
    let (root, below) = tree(&harness, id, agents_of(&harness, caller), cascade::LARGEST_AT_ONCE);
    harness.write(move |tx| grants::revoke(tx, id, root.id, RevokedBy::Developer)).unwrap();
    slice(&harness, None);
    // All expire, and the history is over too: both wait.
    harness.turn_clock(100 * 24 * 3_600_000);
    let day = Some(Lifetime::from_seconds(24 * 3600));
    let tend = || harness.write(move |tx| maintenance::tend_grants(tx, id, day, 10_000)).unwrap();
    assert_eq!(tend(), 0);
    work_off(&harness);
    assert_eq!(revoked(&harness, id).len(), below.len() + 1);
    assert_eq!(tend(), below.len() as u64 + 1);
    assert_eq!(
        harness.read(move |store| Ok(store.grant(id, root.id)?)).map(|grant| grant.id),
        None
    );
}

/// A root and a grant below it that expires after a second.
fn root_and_child(harness: &Harness) -> (DeveloperId, GrantId, GrantId) {
    let (developer, caller) = harness.developer();
    let (id, agent) = (developer.developer_id, harness.agent(caller).agent_id);
    let made = harness.write(move |tx| {
        let root = grant(tx, id, agent, None)?;
        let child = grant_for(tx, id, agent, Some(&root), 1)?;
        Ok((id, root.id, child.id))
    });
    made.unwrap()
}

fn reached(harness: &Harness, developer: DeveloperId, root: GrantId, reach: Reach) -> Vec<GrantId> {
    let found = harness.read(move |store| Ok(store.descendants(developer, root, reach, 10)?));
    found.into_iter().map(|reached| reached.subject.grant_id).collect()
}

fn what_has_left_the_tree_is_not_reached(harness: Harness) {
    let (developer, root, child) = root_and_child(&harness);
    let since = Reach::CoveredSince(harness.read(|store| Ok(store.now())));
    harness.turn_clock(2000);
    assert_eq!(reached(&harness, developer, root, Reach::Active), []);
    assert_eq!(reached(&harness, developer, root, since), [child]);
    harness.write(move |tx| Ok(tx.leave_tree(child)?)).unwrap();
    assert_eq!(reached(&harness, developer, root, since), []);
}

fn an_empty_database_has_nothing_to_catch_up_on(harness: Harness) {
    let (developer, root, child) = root_and_child(&harness);
    harness.append(developer, 3);
    harness
        .write(|tx| {
            assert_eq!(tx.sum_events(10)?, 0, "every event has its checksum");
            while tx.tidy_tree(10)? > 0 {}
            assert_eq!(tx.tidy_tree(10)?, 0);
            Ok(())
        })
        .unwrap();
    assert_eq!(reached(&harness, developer, root, Reach::Active), [child]);
}
