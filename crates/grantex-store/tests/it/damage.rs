//! Rows that changed by themselves, and what of a log can still be read.

use std::path::Path;

use grantex_core::StoreError;
use grantex_core::log::{Damage, Position, StoredEvent};
use grantex_core::store::{Order, Scan};
use grantex_core::usecase::events::{Start, locate};
use grantex_store::sqlite::FILE_NAME;
use grantex_types::{DeveloperId, EventId, Timestamp};
use proptest::prelude::*;
use rusqlite::Connection;

use crate::sqlite::open;
use grantex_store::suite::Harness;

const EVENTS: u64 = 60;

/// A log of 60 events, of which the first 5 were trimmed.
fn log(folder: &Path) -> (Harness, DeveloperId, Vec<StoredEvent>) {
    let harness = Harness::new(open(folder));
    let id = harness.developer().0.developer_id;
    for n in 0..EVENTS / 3 {
        harness.turn_clock((n % 3).cast_signed());
        harness.append(id, 3);
    }
    harness.write(move |tx| Ok(tx.trim(id, 5, 100)?)).unwrap();
    let log = harness.read(move |store| Ok(store.events(id, 0, u32::MAX, usize::MAX)?));
    assert_eq!(log.len(), 55);
    (harness, id, log)
}

/// Does something to rows, as a disk would: nothing else learns of it.
fn harm(folder: &Path, sql: &str, positions: impl IntoIterator<Item = Position>) {
    let database = Connection::open(folder.join(FILE_NAME)).unwrap();
    for position in positions {
        assert_eq!(database.execute(sql, [position.cast_signed()]).unwrap(), 1);
    }
}

const FLIP_A_BYTE: &str = "UPDATE events SET envelope = CAST(substr(envelope, 1, 40) || x'FF' || substr(envelope, 42) AS BLOB) WHERE position = ?1";
const FLIP_THE_ID: &str = "UPDATE events SET id = zeroblob(16) WHERE position = ?1";
const CUT_THE_ID: &str = "UPDATE events SET id = x'00' WHERE position = ?1";
const LOSE: &str = "DELETE FROM events WHERE position = ?1";
const KINDS: &[&str] = &[
    FLIP_A_BYTE,
    FLIP_THE_ID,
    CUT_THE_ID,
    LOSE,
    "UPDATE events SET kind = 3 WHERE position = ?1",
    "UPDATE events SET created_at = created_at + 1 WHERE position = ?1",
    "UPDATE events SET created_at = -1 WHERE position = ?1",
    "UPDATE events SET checksum = checksum + 1 WHERE position = ?1",
    "UPDATE events SET grant_id = randomblob(16) WHERE position = ?1",
    "UPDATE events SET agent_id = randomblob(3) WHERE position = ?1",
    "UPDATE events SET principal_id = CAST(x'FF' AS TEXT) WHERE position = ?1",
];

fn scan(
    harness: &Harness,
    id: DeveloperId,
    after: Position,
) -> Result<Vec<StoredEvent>, StoreError> {
    harness.read(move |store| Ok(store.events(id, after, u32::MAX, usize::MAX)))
}

/// All that can be read, going on past whatever is damaged as a client would; and what was damaged.
fn readable(harness: &Harness, id: DeveloperId) -> (Vec<StoredEvent>, Vec<Damage>) {
    let (mut after, mut events, mut damages) = (5, Vec::new(), Vec::new());
    loop {
        match scan(harness, id, after) {
            Ok(page) if page.is_empty() => return (events, damages),
            Ok(page) => {
                after = page.last().unwrap().position;
                events.extend(page);
            }
            Err(StoreError::Damaged(damage)) => {
                assert_eq!(damage.first, after + 1);
                let cursor = Start::After(damage.resume_after.expect("it can be passed over"));
                let cursor = harness.read(move |store| locate(store, id, cursor));
                assert_eq!(cursor.position, damage.last);
                after = damage.last;
                damages.push(damage);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_damaged_event_is_never_shown_and_everything_else_is() {
    for sql in KINDS {
        for positions in [vec![6], vec![30], vec![30, 31, 32], vec![60], vec![6, 40, 59, 60]] {
            let folder = tempfile::tempdir().unwrap();
            let (harness, id, log) = log(folder.path());
            harm(folder.path(), sql, positions.clone());
            let (events, damages) = readable(&harness, id);
            let expected: Vec<_> =
                log.iter().filter(|event| !positions.contains(&event.position)).cloned().collect();
            assert_eq!(events, expected, "{sql} {positions:?}");
            let found: Vec<Position> =
                damages.iter().flat_map(|damage| damage.first..=damage.last).collect();
            assert_eq!(found, positions, "{sql}");
            assert_eq!(harness.store.health().damaged_events, positions.len());
        }
    }
}

#[test]
fn another_developers_log_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (harness, id, _) = log(folder.path());
    let other = harness.developer().0.developer_id;
    let theirs = harness.append(other, 3);
    harm(folder.path(), FLIP_A_BYTE, [30]);
    assert!(matches!(
        scan(&harness, id, 29),
        Err(StoreError::Damaged(Damage { first: 30, last: 30, .. }))
    ));
    assert_eq!(scan(&harness, other, 0).unwrap(), theirs);
    // And the damaged one grows.
    let added = harness.append(id, 1);
    assert_eq!(scan(&harness, id, 60).unwrap(), added);
}

#[test]
fn a_scan_without_subjects_does_not_care_about_them() {
    let folder = tempfile::tempdir().unwrap();
    let (harness, id, _) = log(folder.path());
    harm(folder.path(), "UPDATE events SET agent_id = randomblob(16) WHERE position = ?1", [30]);
    let shown = harness.read(move |store| {
        let mut shown = 0;
        let whole = Scan {
            order: Order::OldestFirst,
            after: 0,
            limit: u32::MAX,
            max_bytes: usize::MAX,
            with_subjects: false,
        };
        store.scan_events(id, whole, &mut |_| shown += 1)?;
        Ok(shown)
    });
    assert_eq!(shown, 55);
}

#[test]
fn places_lead_past_damage_or_before_it_and_never_over_what_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let (harness, id, log) = log(folder.path());
    let ids: Vec<EventId> = log.iter().map(|event| event.id).collect();
    harm(folder.path(), FLIP_A_BYTE, [20, 21, 22]);
    harm(folder.path(), CUT_THE_ID, [40, 41]);
    let at = |start| harness.read(move |store| Ok(locate(store, id, start)));
    let after = |position: usize| at(Start::After(ids[position - 6])).map(|cursor| cursor.position);
    // Whoever has had a damaged event goes on after it, where its id is still there.
    assert_eq!(after(21).unwrap(), 21);
    // Where it is not, nobody knows what they have had.
    assert_eq!(after(40).unwrap(), 39);
    assert_eq!(after(19).unwrap(), 19);
    assert_eq!(after(23).unwrap(), 23);
    let never = EventId::from_parts(ids[30].millis(), 1);
    assert!(at(Start::After(never)).is_err(), "an id where nothing is damaged is unknown as ever");
    for event in &log {
        let cursor = at(Start::Since(event.created_at)).unwrap();
        assert!(cursor.position < event.position);
    }
    assert_eq!(
        at(Start::Since(Timestamp::from_millis(u64::from(u32::MAX) << 12))).unwrap().position,
        60
    );
}

#[test]
fn a_trim_that_ends_at_a_damaged_event_leaves_a_good_cursor() {
    let folder = tempfile::tempdir().unwrap();
    let (harness, id, log) = log(folder.path());
    harm(folder.path(), CUT_THE_ID, [9, 10]);
    assert_eq!(harness.write(move |tx| Ok(tx.trim(id, 10, 100)?)).unwrap(), 5);
    let bounds = harness.read(move |store| Ok(store.log_bounds(id)?));
    assert_eq!((bounds.trimmed, bounds.trimmed_id), (10, log[2].id));
    assert_eq!(scan(&harness, id, 0).unwrap(), log[5..]);
}

#[test]
fn rows_of_a_release_without_checksums_are_checked_and_get_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let (harness, id, log) = log(folder.path());
    let database = Connection::open(folder.path().join(FILE_NAME)).unwrap();
    let before: Vec<i64> = sums(&database);
    database
        .execute_batch(
            "UPDATE events SET checksum = NULL; INSERT INTO unsummed SELECT developer_id, 1, head FROM logs",
        )
        .unwrap();
    harm(folder.path(), FLIP_A_BYTE, [30]);
    harm(folder.path(), "UPDATE events SET grant_id = randomblob(16) WHERE position = ?1", [31]);
    harm(folder.path(), "UPDATE events SET created_at = created_at + 1 WHERE position = ?1", [32]);
    let check = || {
        let (events, damages) = readable(&harness, id);
        assert_eq!(events.len(), log.len() - 3);
        assert_eq!(
            damages.iter().map(|damage| damage.last - damage.first + 1).sum::<u64>(),
            3,
            "{damages:?}"
        );
    };
    check();
    let mut slices = 0;
    while harness.write(|tx| Ok(tx.sum_events(10)?)).unwrap() > 0 {
        slices += 1;
    }
    assert_eq!(slices, 6);
    check();
    let after: Vec<i64> = sums(&database);
    assert_eq!(after.len(), before.len() - 3, "damaged ones keep none");
    assert!(after.iter().all(|sum| before.contains(sum)));
    let left: i64 =
        database.query_row("SELECT count(*) FROM unsummed", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}

fn sums(database: &Connection) -> Vec<i64> {
    let mut statement = database
        .prepare("SELECT checksum FROM events WHERE checksum IS NOT NULL ORDER BY position")
        .unwrap();
    let sums = statement.query_map([], |row| row.get(0)).unwrap();
    sums.map(Result::unwrap).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Bytes of the file itself, anywhere: whatever is shown is what was written, and nothing hangs
    /// or panics.
    #[test]
    fn any_bytes_of_the_file_may_change(places
        in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..20)) {
        let folder = tempfile::tempdir().unwrap();
        let (harness, id, log) = log(folder.path());
        drop(harness);
        let path = folder.path().join(FILE_NAME);
        Connection::open(&path).unwrap().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        // Opened before the bytes change: a start would refuse most of these.
        let harness = Harness::new(open(folder.path()));
        let mut bytes = std::fs::read(&path).unwrap();
        // The first pages hold the schema, without which there is no query at all.
        let pages = bytes.len() - 8192;
        for (place, change) in places {
            bytes[8192 + place.index(pages)] ^= change;
        }
        std::fs::write(&path, &bytes).unwrap();
        for after in 5..EVENTS {
            if let Ok(events) = scan(&harness, id, after) {
                prop_assert!(events.iter().all(|event| log.contains(event)));
            }
        }
        for event in log {
            let _ = harness.read(move |store| Ok(locate(store, id, Start::After(event.id))));
            let _ = harness.read(move |store| Ok(locate(store, id,
                Start::Since(event.created_at))));
        }
    }
}

#[test]
fn backwards_damage_is_never_passed_over_unless_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (harness, id, log) = log(folder.path());
    let ids: Vec<EventId> = log.iter().map(|event| event.id).collect();
    harm(folder.path(), FLIP_A_BYTE, [6, 20, 21, 22]);
    harm(folder.path(), LOSE, [40]);
    let scan = |after| {
        harness.read(move |store| {
            let (limit, max_bytes) = (u32::MAX, usize::MAX);
            let scan =
                Scan { order: Order::NewestFirst, after, limit, max_bytes, with_subjects: true };
            let mut shown = Vec::new();
            Ok(store.scan_events(id, scan, &mut |event| shown.push(event.position)).map(|()| shown))
        })
    };
    let below = |id_: EventId| harness.read(move |store| Ok(store.position_below(id, id_)?));
    assert_eq!(scan(61).unwrap(), (41..=60).rev().collect::<Vec<_>>());
    for (after, first, last) in [(41, 40, 40), (23, 20, 22), (22, 20, 22), (21, 20, 22)] {
        let Err(StoreError::Damaged(damage)) = scan(after) else { panic!("{after}") };
        assert_eq!((damage.first, damage.last), (first, last));
        // Its cursor leads past it, and past nothing else.
        assert_eq!(below(damage.resume_before.unwrap()), Some(first - 1));
    }
    assert_eq!(scan(20).unwrap(), (7..=19).rev().collect::<Vec<_>>());
    let Err(StoreError::Damaged(oldest)) = scan(7) else { panic!("the oldest is damaged") };
    assert_eq!((oldest.first, oldest.last, oldest.resume_before), (6, 6, None));
    // An event above the damage leads to the damage.
    assert_eq!((below(ids[23 - 6]), below(ids[41 - 6])), (Some(22), Some(40)));
    // Up to a time, damaged events are counted in: a page there meets them.
    for at in log.iter().map(|event| event.created_at) {
        let (before, until) = harness
            .read(move |store| Ok((store.position_before(id, at)?, store.position_until(id, at)?)));
        assert!((before..=before + 3).contains(&until), "{before} {until}");
    }
}
