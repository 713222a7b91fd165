//! A database that lost something is noticed at its start, and the write-ahead log stays within its
//! bounds.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use grantex_core::store::{self, QueryKind};
use grantex_store::OpenError;
use grantex_store::sqlite::{FILE_NAME, Loss, MARK_FILE, backup};
use grantex_types::DeveloperId;
use tempfile::TempDir;

use crate::sqlite::{open, reopen, reopen_with};
use grantex_store::suite::Harness;

const WAL: &str = "grantex.db-wal";

/// A store with 300 events that its mark remembers, the last of them in the write-ahead log only.
fn running(folder: &Path) -> (Harness, DeveloperId) {
    let harness = Harness::new(open(folder));
    let id = harness.developer().0.developer_id;
    for _ in 0..3 {
        harness.append(id, 100);
    }
    await_mark(folder, 300);
    (harness, id)
}

#[track_caller]
fn await_mark(folder: &Path, events: u64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let says = format!("\"events\":{events},");
    while !fs::read_to_string(folder.join(MARK_FILE)).unwrap().contains(&says) {
        assert!(
            Instant::now() < deadline,
            "{}",
            fs::read_to_string(folder.join(MARK_FILE)).unwrap()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// These files as they are now, in a folder of their own: what a crash would leave.
fn crash(folder: &Path, files: &[&str]) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in files {
        fs::copy(folder.join(name), copy.path().join(name)).unwrap();
    }
    copy
}

fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = [FILE_NAME, WAL, MARK_FILE]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), fs::read(folder.join(name)).ok()?)))
        .collect();
    all.retain(|(_, bytes)| !bytes.is_empty());
    all
}

/// Is refused with these words, and changes nothing; goes on where that is asked for.
#[track_caller]
fn is_lost(folder: &Path, words: &str) {
    let before = contents(folder);
    let error = reopen(folder).err().expect("it is refused");
    assert!(matches!(error, OpenError::Lost { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains(words) && text.contains("--accept-loss") && text.contains("backup"),
        "{text}"
    );
    assert_eq!(contents(folder), before, "nothing was changed");
    drop(reopen_with(folder, Loss::Accept).unwrap());
    drop(reopen(folder).unwrap());
}

fn events(folder: &Path, id: DeveloperId) -> usize {
    let harness = Harness::new(open(folder));
    harness.read(move |store| Ok(store.events(id, 0, u32::MAX, usize::MAX)?)).len()
}

#[test]
fn an_orderly_stop_leaves_one_file_that_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (harness, id) = running(folder.path());
    harness.append(id, 7);
    drop(harness);
    assert_eq!(fs::metadata(folder.path().join(WAL)).map_or(0, |file| file.len()), 0);
    let copy = crash(folder.path(), &[FILE_NAME]);
    assert_eq!(events(copy.path(), id), 307);
    let copy = crash(folder.path(), &[FILE_NAME, MARK_FILE]);
    assert_eq!(events(copy.path(), id), 307);
}

#[test]
fn a_crash_loses_nothing_and_is_no_loss() {
    let folder = tempfile::tempdir().unwrap();
    let (harness, id) = running(folder.path());
    harness.append(id, 7);
    let copy = crash(folder.path(), &[FILE_NAME, WAL, MARK_FILE]);
    assert_eq!(events(copy.path(), id), 307);
}

#[test]
fn a_lost_write_ahead_log_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let _running = running(folder.path());
    let copy = crash(folder.path(), &[FILE_NAME, MARK_FILE]);
    is_lost(copy.path(), "300 events are missing");
}

#[test]
fn a_damaged_write_ahead_log_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (harness, id) = running(folder.path());
    let size = fs::metadata(folder.path().join(WAL)).unwrap().len();
    for _ in 0..3 {
        harness.append(id, 100);
    }
    await_mark(folder.path(), 600);
    let copy = crash(folder.path(), &[FILE_NAME, WAL, MARK_FILE]);
    let file = fs::OpenOptions::new().write(true).open(copy.path().join(WAL)).unwrap();
    file.set_len(size).unwrap();
    is_lost(copy.path(), "300 events are missing");

    let copy = crash(folder.path(), &[FILE_NAME, WAL, MARK_FILE]);
    let mut bytes = fs::read(copy.path().join(WAL)).unwrap();
    let middle = usize::try_from(size).unwrap() + 5000;
    bytes[middle] ^= 1;
    fs::write(copy.path().join(WAL), bytes).unwrap();
    is_lost(copy.path(), "events are missing");
}

#[test]
fn a_database_that_is_gone_empty_or_another_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (harness, _) = running(folder.path());
    drop(harness);
    let copy = crash(folder.path(), &[MARK_FILE]);
    is_lost(copy.path(), "missing or empty");
    let copy = crash(folder.path(), &[MARK_FILE]);
    fs::write(copy.path().join(FILE_NAME), "").unwrap();
    is_lost(copy.path(), "300 events");

    let other = tempfile::tempdir().unwrap();
    drop(running(other.path()));
    let copy = crash(folder.path(), &[FILE_NAME, MARK_FILE]);
    fs::copy(other.path().join(FILE_NAME), copy.path().join(FILE_NAME)).unwrap();
    is_lost(copy.path(), "is not the database that was here");

    // Half of the file: its pages say so by themselves.
    let copy = crash(folder.path(), &[FILE_NAME, MARK_FILE]);
    let file = fs::OpenOptions::new().write(true).open(copy.path().join(FILE_NAME)).unwrap();
    file.set_len(file.metadata().unwrap().len() / 8192 * 4096).unwrap();
    assert!(matches!(reopen(copy.path()), Err(OpenError::Damaged { .. })));
}

#[test]
fn an_older_copy_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (harness, id) = running(folder.path());
    drop(harness);
    let old = crash(folder.path(), &[FILE_NAME]);
    let harness = Harness::new(open(folder.path()));
    harness.append(id, 5);
    drop(harness);
    let copy = crash(folder.path(), &[MARK_FILE]);
    fs::copy(old.path().join(FILE_NAME), copy.path().join(FILE_NAME)).unwrap();
    is_lost(copy.path(), "5 events are missing");
}

#[test]
fn without_a_mark_only_a_database_that_was_stopped_is_known_to_be_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (harness, _) = running(folder.path());
    let copy = crash(folder.path(), &[FILE_NAME, WAL]);
    is_lost(copy.path(), "cannot be determined");
    let copy = crash(folder.path(), &[FILE_NAME, WAL]);
    fs::write(copy.path().join(MARK_FILE), "{\"database\":\"00").unwrap();
    is_lost(copy.path(), "cannot be determined");
    drop(harness);
    let copy = crash(folder.path(), &[FILE_NAME]);
    drop(reopen(copy.path()).unwrap());
}

#[test]
fn a_backup_is_restored_by_copying_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let (harness, id) = running(folder.path());
    let backed_up = tempfile::tempdir().unwrap();
    backup(folder.path(), &backed_up.path().join(FILE_NAME), 0).unwrap();
    for name in [FILE_NAME, MARK_FILE] {
        let mode = fs::metadata(backed_up.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    harness.append(id, 5);
    drop(harness);
    // Into an empty folder, with or without its mark, and over what is there.
    for files in [&[FILE_NAME][..], &[FILE_NAME, MARK_FILE]] {
        let copy = crash(backed_up.path(), files);
        assert_eq!(events(copy.path(), id), 300);
    }
    let copy = crash(backed_up.path(), &[FILE_NAME]);
    fs::copy(folder.path().join(MARK_FILE), copy.path().join(MARK_FILE)).unwrap();
    is_lost(copy.path(), "5 events are missing");
}

#[test]
fn a_backup_is_given_up_when_the_write_ahead_log_grows_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let (harness, id) = running(folder.path());
    for _ in 0..20 {
        harness.append(id, 1000);
    }
    let target = tempfile::tempdir().unwrap();
    let error = backup(folder.path(), &target.path().join(FILE_NAME), 1).err();
    // It may have been faster than anybody looked.
    assert!(error.is_none_or(|error| error.to_string().contains("--max-wal")));
}

/// Two readers of which one always reads, and a writer: without a moment for itself, SQLite would
/// never begin the write-ahead log anew.
#[test]
fn readers_that_overlap_do_not_let_the_write_ahead_log_grow() {
    const LARGEST: u64 = 64 << 20;
    const WRITTEN: u64 = 2 * LARGEST;
    let folder = tempfile::tempdir().unwrap();
    let harness = Harness::new(open(folder.path()));
    let id = harness.developer().0.developer_id;
    let (ends, queries) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (store, ends, queries) =
                (Arc::clone(&harness.store), Arc::clone(&ends), Arc::clone(&queries));
            harness.spawn(async move {
                while !ends.load(Ordering::Relaxed) {
                    let read = store::read(store.as_ref(), id, QueryKind::Point, move |store| {
                        let page = store.events(id, 0, 10, usize::MAX)?;
                        std::thread::sleep(Duration::from_millis(3));
                        Ok(page.len())
                    });
                    read.await.unwrap();
                    queries.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let size = || fs::metadata(folder.path().join(WAL)).unwrap().len();
    let database = || fs::metadata(folder.path().join(FILE_NAME)).unwrap().len();
    let mut largest = 0;
    while database() < WRITTEN {
        harness.append(id, 5000);
        largest = largest.max(size());
    }
    assert!(largest > 20 << 20, "the readers did overlap: {largest}");
    assert!(largest < LARGEST + (16 << 20), "{largest}");
    assert!(harness.store.health().wal_bytes <= LARGEST);
    ends.store(true, Ordering::Relaxed);
    for reader in readers {
        harness.block(reader).unwrap();
    }
    assert!(queries.load(Ordering::Relaxed) > 100, "and they went on");
    // It shrinks once they are gone.
    harness.append(id, 30_000);
    harness.append(id, 1);
    harness.append(id, 1);
    assert!(size() <= 32 << 20, "{}", size());
    drop(harness);
    assert_eq!(size(), 0);
}
