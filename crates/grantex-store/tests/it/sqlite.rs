//! SQLite: the suite, and what only an embedded file has.

use std::any::Any;
use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use grantex_core::store::Store;
use grantex_store::sqlite::{Environment, FILE_NAME, Loss, SqliteStore, backup};
use grantex_store::{DataDir, DataDirError, OpenError};

use grantex_store::suite::{self, Database, Harness, Surroundings};

/// A database in a folder, which goes with it if it is its own.
struct Folder {
    path: PathBuf,
    _own: Option<tempfile::TempDir>,
}

impl Database for Folder {
    fn open(&self, around: &Surroundings) -> Arc<dyn Store> {
        let environment = Environment {
            clock: Arc::clone(&around.clock) as _,
            rng: Arc::clone(&around.rng) as _,
            listener: Arc::clone(&around.listener) as _,
        };
        Arc::new(SqliteStore::open(&self.path, &environment).unwrap())
    }

    /// As another process that holds the write lock does.
    fn break_writes(&self) -> Box<dyn Any> {
        let other = rusqlite::Connection::open(self.path.join(FILE_NAME)).unwrap();
        other.busy_timeout(Duration::from_secs(5)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        Box::new(other)
    }
}

pub fn open(folder: &Path) -> Box<dyn Database> {
    Box::new(Folder { path: folder.to_owned(), _own: None })
}

#[test]
fn sqlite_keeps_the_contract() {
    suite::run(&[], || {
        let folder = tempfile::tempdir().unwrap();
        Box::new(Folder { path: folder.path().to_owned(), _own: Some(folder) })
    });
}

/// A database with something in it, and nobody using it.
fn filled(folder: &Path) {
    let harness = Harness::new(open(folder));
    let (developer, _) = harness.developer();
    harness.append(developer.developer_id, 500);
    drop(harness);
}

pub fn reopen(folder: &Path) -> Result<SqliteStore, OpenError> {
    reopen_with(folder, Loss::Refuse)
}

pub fn reopen_with(folder: &Path, loss: Loss) -> Result<SqliteStore, OpenError> {
    use std::sync::atomic::AtomicU64;
    struct Zero;
    impl grantex_core::env::Rng for Zero {
        fn bits(&self) -> u128 {
            0
        }
    }
    let clock = Arc::new(grantex_store::suite::StillClock(AtomicU64::new(0)));
    SqliteStore::open_with(
        folder,
        &Environment { clock, rng: Arc::new(Zero), listener: Arc::new(()) },
        loss,
    )
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = DataDir::lock(folder.path()).unwrap();
    let error = DataDir::lock(folder.path()).unwrap_err();
    assert!(matches!(error, DataDirError::InUse { .. }));
    let text = error.to_string();
    assert!(
        text.contains("--data-dir") && text.contains(&format!("pid {}", std::process::id())),
        "{text}"
    );
    drop(first);
    DataDir::lock(folder.path()).unwrap();
}

#[test]
fn a_damaged_file_is_told_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let path = folder.path().join(FILE_NAME);
    let size = fs::metadata(&path).unwrap().len();
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    // A stretch in the middle, as a bad sector would leave it.
    file.seek(SeekFrom::Start(size / 2)).unwrap();
    file.write_all(&[0xAB; 16384]).unwrap();
    drop(file);
    let before = fs::read(&path).unwrap();
    let error = reopen(folder.path()).err().unwrap();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("backup"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_is_no_database_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join(FILE_NAME),
        "this is not a database, it is a text file".repeat(100),
    )
    .unwrap();
    assert!(matches!(reopen(folder.path()).err().unwrap(), OpenError::Damaged { .. }));
}

#[test]
fn a_log_with_a_hole_is_told() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let connection = rusqlite::Connection::open(folder.path().join(FILE_NAME)).unwrap();
    connection.execute("DELETE FROM events WHERE position = 500", []).unwrap();
    drop(connection);
    let error = reopen(folder.path()).err().unwrap().to_string();
    assert!(error.contains("missing events"), "{error}");
}

#[test]
fn other_schemas_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let path = folder.path().join(FILE_NAME);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(reopen(folder.path()).err().unwrap(), OpenError::Newer { version: 99, .. }));
    connection.pragma_update(None, "user_version", 1).unwrap();
    connection.pragma_update(None, "application_id", 7).unwrap();
    drop(connection);
    assert!(matches!(reopen(folder.path()).err().unwrap(), OpenError::Foreign { .. }));
}

/// Debits that a version without a counter wrote are counted at the start, over several slices.
#[test]
fn an_earlier_versions_debits_are_counted() {
    const DEBITS: u32 = 120_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch(include_str!("../../src/sqlite/migrations/0001_first.sql")).unwrap();
    connection.pragma_update(None, "application_id", 0x4752_5458).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    let developer = grantex_types::DeveloperId::from_parts(1, 1);
    let grants: Vec<_> = (1..=3).map(|n| grantex_types::GrantId::from_parts(n, 0)).collect();
    for (grant, debits) in grants.iter().zip([7, 0, DEBITS]) {
        let (developer, grant) = (developer.to_bytes(), grant.to_bytes());
        connection
            .execute(
                "INSERT INTO budgets VALUES (?1, ?2, ?2, 9, 9, 'USD', 0, 0)",
                (developer, grant),
            )
            .unwrap();
        let debit = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?3)
                     INSERT INTO transactions SELECT ?1, ?2, CAST(printf('%016d', i) AS BLOB), ?2, 1, NULL, NULL, 0 FROM n
                     WHERE i <= ?3";
        connection.execute(debit, (developer, grant, debits)).unwrap();
    }
    drop(connection);

    let harness = Harness::new(open(folder.path()));
    let count = |grant| harness.read(move |store| Ok(store.transaction_count(developer, grant)?));
    assert_eq!(
        grants.iter().map(|grant| count(*grant)).collect::<Vec<_>>(),
        [7, 0, u64::from(DEBITS)]
    );
    drop(harness);
    let harness = Harness::new(open(folder.path()));
    let again = harness.read(move |store| Ok(store.transaction_count(developer, grants[2])?));
    assert_eq!(again, u64::from(DEBITS), "once, not at each start");
}

#[test]
fn a_backup_while_writing_is_one_instant() {
    let folder = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let harness = Harness::new(open(folder.path()));
    let (developer, _) = harness.developer();
    let id = developer.developer_id;
    harness.append(id, 100);
    let writing = {
        let store = Arc::clone(&harness.store);
        harness.spawn(async move {
            for n in 0..300 {
                grantex_core::store::write(
                    store.as_ref(),
                    id,
                    grantex_core::store::Needs::NONE,
                    "test",
                    move |tx| grantex_store::suite::append(tx, id, n),
                )
                .await
                .unwrap();
            }
        })
    };
    backup(folder.path(), &copy.path().join(FILE_NAME), 0).unwrap();
    harness.block(writing).unwrap();
    let restored = Harness::new(open(copy.path()));
    let log = restored.read(move |store| Ok(store.events(id, 0, u32::MAX, usize::MAX)?));
    assert!(log.len() >= 100);
    let original = harness.read(move |store| Ok(store.events(id, 0, u32::MAX, usize::MAX)?));
    assert_eq!(log[..], original[..log.len()]);
    assert!(
        backup(folder.path(), &copy.path().join(FILE_NAME), 0).is_err(),
        "an existing file is not overwritten"
    );
}
