//! Revocation of trees, small and large.

use std::collections::HashMap;

use grantex_core::model::{Caller, Grant};
use grantex_core::store::{GrantFilter, Page, Reach};
use grantex_core::usecase::{agents, cascade, grants};
use grantex_core::{Error, Result};
use grantex_types::api::grants::GrantStatus;
use grantex_types::event::{Event, EventData, RevokedBy};
use grantex_types::{AgentId, DeveloperId, ErrorCode, GrantId};

use crate::harness::{Case, Harness, grant};

/// The cases about cascades, by name.
pub const CASES: &[Case] = &[
    ("descendants come parents first", descendants_come_parents_first),
    (
        "a large cascade is inactive at once and told in slices",
        a_large_cascade_is_inactive_at_once_and_told_in_slices,
    ),
    ("deleting an agent with many grants", deleting_an_agent_with_many_grants),
    ("the limit itself goes at once", the_limit_itself_goes_at_once),
];

fn tree(harness: &Harness, id: DeveloperId, agents: [AgentId; 3], width: u32) -> (Grant, Vec<Grant>) {
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
fn told(harness: &Harness, id: DeveloperId) -> Vec<(GrantId, RevokedBy)> {
    let log = harness.read(move |store| Ok(store.events(id, 0, u32::MAX, usize::MAX)?));
    log.iter()
        .filter_map(|event| match serde_json::from_slice::<Event>(&event.envelope).unwrap().data {
            EventData::GrantRevoked { grant_id, revoked_by } => Some((grant_id, revoked_by)),
            _ => None,
        })
        .collect()
}

/// Each once, and none before the one above it.
fn assert_in_order(told: &[(GrantId, RevokedBy)], grants: &[Grant]) {
    let places: HashMap<GrantId, usize> =
        told.iter().enumerate().map(|(place, (id, _))| (*id, place)).collect();
    assert_eq!(places.len(), told.len(), "each once");
    for grant in grants {
        let place = places[&grant.id];
        if let Some(parent) = grant.parent_id.and_then(|parent| places.get(&parent)) {
            assert!(*parent < place, "parents first");
        }
    }
}

fn work_off(harness: &Harness) -> usize {
    let mut slices = 0;
    while harness.write(cascade::advance).unwrap() {
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

fn descendants_come_parents_first(harness: Harness) {
    let (developer, caller) = harness.developer();
    let id = developer.developer_id;
    let (root, below) = tree(&harness, id, agents_of(&harness, caller), 30);
    let found = harness.read(move |store| Ok(store.descendants(id, root.id, None, Reach::Active, 100)?));
    assert_eq!(found.len(), below.len());
    assert!(found.is_sorted_by_key(|(depth, grant)| (*depth, grant.id)));
    // In pages, each once.
    let mut paged = Vec::new();
    loop {
        let done = paged.last().map(|(depth, grant): &(u8, Grant)| (*depth, grant.id));
        let page = harness.read(move |store| Ok(store.descendants(id, root.id, done, Reach::Active, 7)?));
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged.len(), found.len());
    // Expired and revoked ones are left out.
    let gone = below[3].id;
    harness.write(move |tx| Ok(tx.revoke_grant(id, gone, tx.now())?)).unwrap();
    assert_eq!(
        harness.read(move |store| Ok(store.descendants(id, root.id, None, Reach::Active, 100)?)).len(),
        below.len() - 1
    );
    harness.turn_clock(3_600_001);
    assert!(
        harness.read(move |store| Ok(store.descendants(id, root.id, None, Reach::Active, 100)?)).is_empty()
    );
}

fn a_large_cascade_is_inactive_at_once_and_told_in_slices(harness: Harness) {
    let (developer, caller) = harness.developer();
    let id = developer.developer_id;
    let (root, below) = tree(&harness, id, agents_of(&harness, caller), cascade::LARGEST_AT_ONCE);
    let root_id = root.id;
    assert_eq!(active(&harness, id), below.len() + 1);
    harness.write(move |tx| grants::revoke(tx, id, root_id, RevokedBy::Developer)).unwrap();

    // One event so far, and yet nothing below is active, by any way of looking.
    assert_eq!(told(&harness, id), [(root.id, RevokedBy::Developer)]);
    assert_eq!(active(&harness, id), 0);
    let leaf = below[0].clone();
    let leaf_id = leaf.id;
    let shown = harness.read(move |store| Ok(store.grant(id, leaf_id)?.unwrap()));
    assert_eq!(shown.revoked_at, Some(harness.read(|store| Ok(store.now()))));
    let refused: Result<()> = harness.write(move |tx| grants::revoke(tx, id, leaf_id, RevokedBy::Developer));
    assert!(matches!(refused, Err(Error::Refused { code: ErrorCode::NotFound, .. })));

    // It survives a restart in the middle, also beyond the grants' own end.
    harness.write(cascade::advance).unwrap();
    assert_eq!(told(&harness, id).len(), 1 + cascade::SLICE as usize);
    let harness = harness.reopen();
    harness.turn_clock(3_600_001);
    assert!(work_off(&harness) > 10);
    let told = told(&harness, id);
    assert_eq!(told.len(), below.len() + 1);
    assert!(told[1..].iter().all(|(_, by)| *by == RevokedBy::System));
    assert_in_order(&told, &below);
    assert!(harness.read(|store| Ok(store.next_cascade_job()?)).is_none());
}

fn deleting_an_agent_with_many_grants(harness: Harness) {
    let (developer, caller) = harness.developer();
    let id = developer.developer_id;
    let [boss, helper, other] = agents_of(&harness, caller);
    // The agent holds the roots, and grants below other agents' grants below its own.
    let mut all = Vec::new();
    for _ in 0..3 {
        let (root, below) = tree(&harness, id, [boss, helper, boss], 3600);
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
    let told = told(&harness, id);
    assert_eq!(told.len(), all.len() + 3);
    assert_in_order(&told, &all);
}

fn the_limit_itself_goes_at_once(harness: Harness) {
    let (developer, caller) = harness.developer();
    let id = developer.developer_id;
    let (root, below) = tree(&harness, id, agents_of(&harness, caller), 1000);
    harness.write(move |tx| grants::revoke(tx, id, root.id, RevokedBy::Principal)).unwrap();
    assert!(harness.read(|store| Ok(store.next_cascade_job()?)).is_none());
    let told = told(&harness, id);
    assert_eq!(told.len(), below.len() + 1);
    assert_in_order(&told, &below);
}
