//! A data folder of the first release: its grants still have the rows that it wrote.

use std::collections::HashSet;
use std::path::Path;

use grantex_core::store::{GrantFilter, Page, Reach};
use grantex_core::usecase::{cascade, grants, maintenance};
use grantex_store::sqlite::FILE_NAME;
use grantex_types::api::grants::GrantStatus;
use grantex_types::event::RevokedBy;
use grantex_types::{DeveloperId, GrantId, KeyId, TokenId};
use rusqlite::{Connection, params};

use crate::sqlite::open;
use grantex_store::suite::{Harness, START};

/// Grants in force below the root.
const LIVE: u64 = cascade::LARGEST_AT_ONCE as u64 + 500;
/// Those that were revoked, and those that expired.
const OVER: u64 = 700;

fn developer() -> DeveloperId {
    DeveloperId::from_bytes([1; 16])
}

fn id(number: u64) -> GrantId {
    GrantId::from_parts(START, u128::from(number))
}

/// One tree: a root, grants in force below it, and grants that ended, of which the tree still has
/// the rows.
fn first_release(folder: &Path) {
    let connection = Connection::open(folder.join(FILE_NAME)).unwrap();
    connection.execute_batch(include_str!("../../src/sqlite/migrations/0001_first.sql")).unwrap();
    connection.pragma_update(None, "application_id", 0x4752_5458).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    connection.execute_batch("BEGIN").unwrap();
    let (developer, agent, start) = (developer().to_bytes(), [2_u8; 16], START.cast_signed());
    connection
        .execute(
            "INSERT INTO developers VALUES (?1, 'Old', NULL, 1, ?2)",
            params![developer, start],
        )
        .unwrap();
    connection
        .execute(
            "INSERT INTO api_keys VALUES (?1, ?1, 'old', zeroblob(32), 'gx_test_', ?2, ?2)",
            params![developer, start],
        )
        .unwrap();
    connection
        .execute(
            "INSERT INTO tokens VALUES (?1, ?2, ?2, ?3, NULL)",
            params![developer, id(0).to_bytes(), start + 3_600_000],
        )
        .unwrap();
    let mut grant = connection
        .prepare(
            "INSERT INTO grants VALUES (?1, ?2, ?3, 'user', '[\"a\"]', NULL, ?4, ?5, ?6, ?7, ?8)",
        )
        .unwrap();
    let mut tree = connection.prepare("INSERT INTO grant_ancestry VALUES (?1, 1, ?2)").unwrap();
    let root = id(0).to_bytes();
    for number in 0..=LIVE + 2 * OVER {
        let own = id(number).to_bytes();
        let (parent, depth) = if number == 0 { (None, 0) } else { (Some(root), 1) };
        let revoked = (number > LIVE && number <= LIVE + OVER).then_some(start);
        let end = if number > LIVE + OVER { start - 1 } else { start + 3_600_000 };
        grant
            .execute(params![developer, own, agent, start - 10, end, revoked, parent, depth])
            .unwrap();
        if parent.is_some() {
            tree.execute(params![root, own]).unwrap();
        }
    }
    connection.execute_batch("COMMIT").unwrap();
}

fn opened() -> (tempfile::TempDir, Harness) {
    let folder = tempfile::tempdir().unwrap();
    first_release(folder.path());
    let harness = Harness::new(open(folder.path()));
    (folder, harness)
}

fn active(harness: &Harness) -> u64 {
    let filter = GrantFilter { status: Some(GrantStatus::Active), ..GrantFilter::default() };
    let page = Page { after: None, offset: 0, limit: 10_000 };
    harness.read(move |store| Ok(store.grants(developer(), &filter, page)?.rows.len() as u64))
}

fn in_tree(harness: &Harness) -> u64 {
    harness.read(|store| {
        Ok(store.descendants(developer(), id(0), Reach::Active, 10_000)?.len() as u64)
    })
}

/// Revokes the root. Every grant in force, and no other, is told, once.
fn revoke(harness: &Harness) {
    harness.write(|tx| grants::revoke(tx, developer(), id(0), RevokedBy::Developer)).unwrap();
    assert_eq!(active(harness), 0);
    while harness.write(|tx| cascade::advance(tx, None, &|| true)).unwrap().is_some() {}
    let told = harness.read(|store| Ok(store.events(developer(), 0, u32::MAX, usize::MAX)?));
    let told: Vec<GrantId> = told.iter().map(|event| event.subject.grant_id).collect();
    let expected: HashSet<GrantId> = (0..=LIVE).map(id).collect();
    assert_eq!(told.len(), expected.len());
    assert_eq!(told.into_iter().collect::<HashSet<_>>(), expected);
    assert_eq!(in_tree(harness), 0);
}

#[test]
fn cascades_work_before_the_tree_is_tidied() {
    let (_folder, harness) = opened();
    assert_eq!(active(&harness), LIVE + 1);
    assert_eq!(in_tree(&harness), LIVE + 2 * OVER, "as it was");
    revoke(&harness);
}

#[test]
fn tidying_goes_on_where_it_was_and_leaves_what_is_in_force() {
    let (_folder, harness) = opened();
    let slice = |harness: &Harness| harness.write(|tx| Ok(tx.tidy_tree(100)?)).unwrap();
    assert_eq!((slice(&harness), slice(&harness)), (100, 100));
    let harness = harness.reopen();
    let mut rows = 200;
    loop {
        match slice(&harness) {
            0 => break,
            more => rows += more,
        }
    }
    assert_eq!(rows, LIVE + 2 * OVER + 1);
    while harness.write(|tx| maintenance::tend_grants(tx, developer(), None, 1000)).unwrap() > 0 {}
    assert_eq!(in_tree(&harness), LIVE);
    revoke(&harness);
    assert_eq!(slice(&harness.reopen()), 0, "only once");
}

#[test]
fn what_it_did_not_keep_is_made_good_where_it_can_be() {
    let (_folder, harness) = opened();
    harness.read(|store| {
        let token = store.token(developer(), TokenId::from_bytes(id(0).to_bytes()))?.unwrap();
        assert_eq!((token.issued_at.millis(), token.method), (START, None));
        assert!(store.key(developer(), KeyId::from_bytes([1; 16]))?.is_some());
        assert_eq!(store.working_keys(developer(), 10)?, 0);
        Ok(())
    });
}
