//! The event log.

use std::collections::HashMap;
use std::sync::Arc;

use grantex_core::log::{Bounds, StoredEvent};
use grantex_core::store::{self, Order, QueryKind, Scan};
use grantex_core::usecase::events::{Start, locate};
use grantex_core::usecase::maintenance::{Retention, trim};
use grantex_types::{DeveloperId, ErrorCode, Event, EventId, Lifetime, Timestamp};

use super::harness::{Case, Harness, append};

/// The cases about the log, by name.
pub const CASES: &[Case] = &[
    ("an empty log", an_empty_log),
    ("order survives a clock that jumps", order_survives_a_clock_that_jumps),
    ("pages have no gap", pages_have_no_gap),
    ("backwards the same events come", backwards_the_same_events_come),
    ("places are found by id and by time", places_are_found_by_id_and_by_time),
    (
        "trimming keeps the newest and moves the bounds",
        trimming_keeps_the_newest_and_moves_the_bounds,
    ),
    (
        "cursors are refused only if something is missed",
        cursors_are_refused_only_if_something_is_missed,
    ),
    ("concurrent writers make one dense order", concurrent_writers_make_one_dense_order),
];

fn all(harness: &Harness, id: DeveloperId) -> Vec<StoredEvent> {
    harness.read(move |store| Ok(store.events(id, 0, u32::MAX, usize::MAX)?))
}

fn an_empty_log(harness: Harness) {
    let (developer, _) = harness.developer();
    let id = developer.developer_id;
    harness.read(move |store| {
        assert_eq!(store.log_bounds(id)?, Bounds::EMPTY);
        assert!(store.events(id, 0, 10, usize::MAX)?.is_empty());
        assert_eq!(store.position_before(id, Timestamp::EPOCH)?, 0);
        assert_eq!(store.position_of(id, EventId::from_parts(1, 1))?, None);
        assert_eq!(store.id_at(id, 0)?, Some(EventId::ZERO));
        assert!(store.developers_with_events(None, 10)?.is_empty());
        Ok(())
    });
}

fn order_survives_a_clock_that_jumps(harness: Harness) {
    let (developer, _) = harness.developer();
    let id = developer.developer_id;
    for jump in [0, 5, -3_600_000, 1, 7_200_000, -1, 0] {
        harness.turn_clock(jump);
        harness.append(id, 3);
    }
    let log = all(&harness, id);
    assert_eq!(log.len(), 21);
    for (n, event) in log.iter().enumerate() {
        assert_eq!(event.position, n as u64 + 1);
        assert_eq!(event.id.millis(), event.created_at.millis());
        let stored: Event = serde_json::from_slice(&event.envelope).unwrap();
        assert_eq!((stored.id, stored.created_at), (event.id, event.created_at));
    }
    assert!(log.is_sorted_by(|a, b| a.id < b.id && a.created_at <= b.created_at));
}

fn pages_have_no_gap(harness: Harness) {
    let (developer, _) = harness.developer();
    let id = developer.developer_id;
    let log = harness.append(id, 50);
    let size = log[0].envelope.len();
    for (limit, max_bytes) in [(7, usize::MAX), (50, size * 3), (50, 0), (1, size)] {
        let mut got = Vec::new();
        loop {
            let after = got.last().map_or(0, |event: &StoredEvent| event.position);
            let page = harness.read(move |store| Ok(store.events(id, after, limit, max_bytes)?));
            if page.is_empty() {
                break;
            }
            assert!(
                page.len() <= limit as usize && (page.len() == 1 || page.len() * size <= max_bytes)
            );
            got.extend(page);
        }
        assert_eq!(got, log);
    }
}

fn backwards_the_same_events_come(harness: Harness) {
    let (developer, _) = harness.developer();
    let id = developer.developer_id;
    let log = harness.append(id, 50);
    harness.write(move |tx| Ok(tx.trim(id, 9, 100)?)).unwrap();
    let size = log[0].envelope.len();
    let page = |after, limit, max_bytes| {
        harness.read(move |store| {
            let scan =
                Scan { order: Order::NewestFirst, after, limit, max_bytes, with_subjects: true };
            let mut shown = Vec::new();
            store.scan_events(id, scan, &mut |event| shown.extend(event.to_stored()))?;
            Ok(shown)
        })
    };
    for (limit, max_bytes) in [(7, usize::MAX), (50, size * 3), (50, 0), (1, size)] {
        let mut got = Vec::new();
        loop {
            let after = got.last().map_or(51, |event: &StoredEvent| event.position);
            let page = page(after, limit, max_bytes);
            if page.is_empty() {
                break;
            }
            assert!(
                page.len() <= limit as usize && (page.len() == 1 || page.len() * size <= max_bytes)
            );
            got.extend(page);
        }
        got.reverse();
        assert_eq!(got, log[9..]);
    }
    assert_eq!(page(60, 1, 0), log[49..], "from beyond the head it starts there");
    for nothing_below in [0, 1, 9, 10] {
        assert!(page(nothing_below, 10, usize::MAX).is_empty());
    }
}

fn places_are_found_by_id_and_by_time(harness: Harness) {
    let (developer, _) = harness.developer();
    let id = developer.developer_id;
    for n in 0..40 {
        harness.turn_clock(n % 4);
        harness.append(id, 1);
    }
    harness.write(move |tx| Ok(tx.trim(id, 9, 100)?)).unwrap();
    let log = all(&harness, id);
    assert_eq!(log.len(), 31);
    let probes: Vec<u64> =
        (log[0].created_at.millis() - 2..log[30].created_at.millis() + 3).collect();
    harness.read(move |store| {
        for event in &log {
            assert_eq!(store.position_of(id, event.id)?, Some(event.position));
            assert_eq!(store.id_at(id, event.position)?, Some(event.id));
            assert_eq!(store.position_below(id, event.id)?, Some(event.position - 1));
            let never = EventId::from_parts(event.id.millis(), 0);
            assert_eq!(
                (store.position_of(id, never)?, store.position_below(id, never)?),
                (None, None)
            );
        }
        assert_eq!(
            store.position_below(id, EventId::ZERO)?,
            Some(9),
            "nothing lies before what was trimmed"
        );
        for probe in probes {
            let at = Timestamp::from_millis(probe);
            let expected = log.iter().filter(|event| event.created_at < at).count() as u64 + 9;
            assert_eq!(store.position_before(id, at)?, expected, "{probe}");
            assert_eq!(store.position_until(id, at)?, expected, "{probe}");
        }
        Ok(())
    });
}

fn trimming_keeps_the_newest_and_moves_the_bounds(harness: Harness) {
    let (developer, _) = harness.developer();
    let id = developer.developer_id;
    let log = harness.append(id, 10);
    let retention = |age, count| Retention { age: Lifetime::from_seconds(age), count };
    let trim_to =
        |retention, limit| harness.write(move |tx| trim(tx, id, retention, limit)).unwrap();
    assert_eq!(trim_to(retention(3600, 100), 100), 0);
    assert_eq!(trim_to(retention(3600, 6), 3), 3, "in slices");
    assert_eq!(trim_to(retention(3600, 6), 3), 1);
    let bounds = harness.read(move |store| Ok(store.log_bounds(id)?));
    assert_eq!((bounds.trimmed, bounds.trimmed_id, bounds.head), (4, log[3].id, 10));
    harness.turn_clock(3_600_001);
    assert_eq!(trim_to(retention(3600, 6), 100), 5, "all but the newest");
    assert_eq!(trim_to(retention(1, 1), 100), 0);
    assert_eq!(all(&harness, id), log[9..]);
    // The log continues after its head.
    assert_eq!(harness.append(id, 1)[0].position, 11);
}

fn cursors_are_refused_only_if_something_is_missed(harness: Harness) {
    let (developer, _) = harness.developer();
    let id = developer.developer_id;
    let place = |harness: &Harness, start| {
        harness.block(store::read(harness.store.as_ref(), id, QueryKind::Point, move |store| {
            locate(store, id, start)
        }))
    };
    assert_eq!(place(&harness, Start::After(EventId::ZERO)).unwrap().position, 0);
    let log = harness.append(id, 10);
    assert_eq!(place(&harness, Start::After(EventId::ZERO)).unwrap().position, 0);
    harness.write(move |tx| Ok(tx.trim(id, 4, 100)?)).unwrap();
    let code = |start| place(&harness, start).unwrap_err().code().unwrap();
    assert_eq!(code(Start::After(EventId::ZERO)), ErrorCode::EventsExpired);
    assert_eq!(code(Start::After(log[2].id)), ErrorCode::EventsExpired);
    assert_eq!(place(&harness, Start::After(log[3].id)).unwrap().position, 4);
    assert_eq!(place(&harness, Start::After(log[9].id)).unwrap().position, 10);
    assert_eq!(
        code(Start::After(EventId::from_parts(u64::from(u32::MAX), 0))),
        ErrorCode::EventsExpired
    );
    assert_eq!(
        code(Start::After(EventId::from_parts(log[9].id.millis() + 1, 0))),
        ErrorCode::EventUnknown
    );
    let oldest = place(&harness, Start::Oldest).unwrap();
    assert_eq!((oldest.position, oldest.id), (4, log[3].id));
    assert_eq!(place(&harness, Start::Since(Timestamp::EPOCH)).unwrap(), oldest);
    assert_eq!(place(&harness, Start::Now).unwrap().id, log[9].id);
}

fn concurrent_writers_make_one_dense_order(harness: Harness) {
    let developers: Vec<DeveloperId> = (0..3).map(|_| harness.developer().0.developer_id).collect();
    let writers: Vec<_> = (0..300_usize)
        .map(|n| {
            let (store, id) = (Arc::clone(&harness.store), developers[n % 3]);
            harness.spawn(async move {
                store::write(store.as_ref(), id, store::Needs::NONE, "test", move |tx| {
                    append(tx, id, n as u64)
                })
                .await
                .unwrap()
            })
        })
        .collect();
    for writer in writers {
        harness.block(writer).unwrap();
    }
    // The listener is notified after the answers: one more command waits for it.
    harness.append(developers[0], 1);
    let mut recorded: HashMap<DeveloperId, Vec<StoredEvent>> = HashMap::new();
    for (id, event) in harness.recorded.events.lock().iter() {
        recorded.entry(*id).or_default().push(event.clone());
    }
    for id in developers {
        let log = all(&harness, id);
        assert!(log.iter().enumerate().all(|(n, event)| event.position == n as u64 + 1));
        let recorded = &recorded[&id];
        assert_eq!(recorded[..], log[..recorded.len()], "in log order, each once");
        assert!(recorded.len() >= 100);
    }
    assert_eq!(harness.read(|store| Ok(store.developers_with_events(None, 10)?)).len(), 3);
}
