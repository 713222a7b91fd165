//! The rules of the pipeline: order, retry, splitting, dead letters, checkpoints, isolation.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use grantex_destinations::conformance::MemoryLog;
use grantex_destinations::{
    DeadLetters, DeliveryFailure, DeliveryOptions, EventId, EventSource, Observer, OnLostPosition,
    Phase, PipelineError, RejectedEvent, SendError, SourceError, State, StateError,
};
use parking_lot::Mutex;

use crate::support::{Scripted, ids, quick, source, start, until};

fn log_of(events: usize) -> MemoryLog {
    let log = MemoryLog::default();
    log.append(events);
    log
}

#[tokio::test]
async fn events_arrive_in_order_in_batches_and_the_checkpoint_follows() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(25);
    let destination = Scripted::new("one");
    let source = source(&log, folder.path());
    source.add_destination(destination.clone()).unwrap();
    let running = start(&source);
    until("all arrive", || destination.accepted() == log.ids()).await;
    let stats = source.stop().await;
    running.await.unwrap().unwrap();

    {
        let seen = destination.seen.lock();
        assert_eq!(seen.accepted.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5]);
        assert_eq!((seen.flushes, seen.is_closed), (3, true));
    }
    assert_eq!((stats[0].delivered, stats[0].phase), (25, Phase::Stopped));
    let checkpoint = source.state().checkpoint("one").await.unwrap().unwrap();
    assert_eq!((checkpoint.cursor, checkpoint.delivered), (log.ids()[24], Some(log.ids()[24])));
}

#[tokio::test]
async fn what_may_pass_is_sent_again_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(10);
    let asked =
        SendError::Retry { message: "busy".into(), after: Some(Duration::from_millis(300)) };
    let destination =
        Scripted::answering("one", [SendError::retry("down"), asked, SendError::refused("no key")]);
    let source = source(&log, folder.path());
    source.add_destination_with(destination.clone(), &quick()).unwrap();
    let begun = Instant::now();
    let running = start(&source);
    until("all arrive", || destination.accepted() == log.ids()).await;
    assert!(begun.elapsed() >= Duration::from_millis(300), "the receiver asked to wait");
    let stats = source.stop().await;
    running.await.unwrap().unwrap();

    assert_eq!((stats[0].retries, stats[0].is_retrying), (3, false));
    let seen = destination.seen.lock();
    let (first, place, _) = &seen.sent[0];
    assert_eq!(seen.sent.len(), 4);
    assert!(
        seen.sent.iter().all(|(events, at, _)| events == first && at == place),
        "the same batch and place"
    );
    assert_eq!(
        seen.sent.iter().map(|(_, _, again)| *again).collect::<Vec<_>>(),
        [false, true, true, true]
    );
}

#[tokio::test]
async fn a_poison_event_is_found_by_halving_and_kept_with_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(64);
    let poison = [log.ids()[13], log.ids()[14], log.ids()[63]];
    let destination = Scripted::judging("one", move |batch| {
        let is_poisoned = ids(batch).iter().any(|id| poison.contains(id));
        if is_poisoned { Err(SendError::rejected("400: not JSON that I like")) } else { Ok(()) }
    });
    let source = source(&log, folder.path());
    let options = DeliveryOptions { batch_size: Some(64), ..quick() };
    source.add_destination_with(destination.clone(), &options).unwrap();
    let running = start(&source);
    until("all others arrive", || destination.accepted().len() == 61).await;
    until("the last one is a dead letter", || source.stats()[0].dead_letters == 3).await;
    source.stop().await;
    running.await.unwrap().unwrap();

    let expected: Vec<EventId> = log.ids().into_iter().filter(|id| !poison.contains(id)).collect();
    assert_eq!(destination.accepted(), expected, "in order, each once");
    assert!(destination.seen.lock().sent.len() < 50, "halving, not one by one");
    let letters = source.state().dead_letters(DeadLetters::default()).await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.event_id).collect::<Vec<_>>(), poison);
    assert!(letters.iter().all(|letter| letter.reason == "400: not JSON that I like"));
    let checkpoint = source.state().checkpoint("one").await.unwrap().unwrap();
    assert_eq!(checkpoint.cursor, log.ids()[63], "past the dead letter at the end");
}

/// What an observer heard.
#[derive(Clone, Default)]
struct Heard {
    failures: Arc<Mutex<Vec<(String, u32, bool)>>>,
    rejected: Arc<Mutex<Vec<EventId>>>,
}

impl Observer for Heard {
    fn failed(&self, failure: &DeliveryFailure<'_>) {
        assert_eq!(failure.destination, "one");
        assert!(failure.retry_in.is_some());
        let heard = (failure.message.to_owned(), failure.failures, failure.needs_action);
        self.failures.lock().push(heard);
    }

    fn rejected(&self, destination: &str, letters: &[RejectedEvent]) {
        assert_eq!(destination, "one");
        self.rejected.lock().extend(letters.iter().map(|letter| letter.event.id));
    }
}

#[tokio::test]
async fn an_observer_is_notified_of_every_failure_and_every_dead_letter() {
    let log = log_of(4);
    let poison = log.ids()[2];
    let mut answers = vec![SendError::refused("no key"), SendError::retry("down")];
    let destination = Scripted::judging("one", move |batch| match answers.pop() {
        Some(error) => Err(error),
        None if ids(batch).contains(&poison) => Err(SendError::rejected("bad")),
        None => Ok(()),
    });
    let heard = Heard::default();
    let builder = EventSource::builder().log(log.clone()).since("1970-01-01T00:00:00Z");
    let source = builder.observer(heard.clone()).build().unwrap();
    source.add_destination_with(destination.clone(), &quick()).unwrap();
    let running = start(&source);
    until("all is settled", || source.stats()[0].delivered == 3 && source.stats()[0].pending == 0)
        .await;
    source.stop().await;
    running.await.unwrap().unwrap();
    let failures = heard.failures.lock().clone();
    assert_eq!(failures, [("down".to_owned(), 1, false), ("no key".to_owned(), 2, true)]);
    assert_eq!(*heard.rejected.lock(), [poison]);
}

#[tokio::test]
async fn too_large_a_batch_is_halved_and_too_large_an_event_is_a_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(20);
    let huge = log.ids()[7];
    let destination = Scripted::judging("one", move |batch| {
        let fits = batch.len() <= 3 && !ids(batch).contains(&huge);
        if fits { Ok(()) } else { Err(SendError::TooLarge("413".into())) }
    });
    let source = source(&log, folder.path());
    source.add_destination_with(destination.clone(), &quick()).unwrap();
    let running = start(&source);
    until("all others arrive", || destination.accepted().len() == 19).await;
    source.stop().await;
    running.await.unwrap().unwrap();
    assert!(destination.accepted().is_sorted());
    assert_eq!(source.state().count_dead_letters("one").await.unwrap(), 1);
}

#[tokio::test]
async fn rejected_events_are_taken_out_and_only_the_others_are_sent_again() {
    for others_delivered in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let log = log_of(10);
        let bad = [log.ids()[0], log.ids()[9]];
        let destination = Scripted::judging("one", move |batch| {
            let is_bad = |id: &EventId| bad.contains(id);
            let found = ids(batch).into_iter().enumerate().filter(|(_, id)| is_bad(id));
            let events: Vec<_> = found.map(|(index, id)| (index, format!("bad: {id}"))).collect();
            if events.is_empty() {
                Ok(())
            } else {
                Err(SendError::EventsRejected { events, others_delivered })
            }
        });
        let source = source(&log, folder.path());
        source.add_destination_with(destination.clone(), &quick()).unwrap();
        let running = start(&source);
        until("the others arrive", || destination.accepted() == log.ids()[1..9]).await;
        let state = source.state().clone();
        source.stop().await;
        running.await.unwrap().unwrap();
        let repeats: Vec<bool> =
            destination.seen.lock().sent.iter().map(|(_, _, is_repeat)| *is_repeat).collect();
        assert_eq!(repeats, if others_delivered { &[false][..] } else { &[false, true] });
        let letters = state.dead_letters(DeadLetters::default()).await.unwrap();
        let told: Vec<_> = letters.iter().map(|letter| letter.reason.clone()).collect();
        assert_eq!(told, bad.map(|id| format!("bad: {id}")));
        let checkpoint = state.checkpoint("one").await.unwrap().unwrap();
        assert_eq!(checkpoint.cursor, log.ids()[9]);
    }
}

#[tokio::test]
async fn a_batch_of_nothing_but_rejected_events_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(3);
    let destination = Scripted::judging("one", |batch| {
        let events = (0..batch.len()).map(|index| (index, "no".to_owned())).collect();
        Err(SendError::EventsRejected { events, others_delivered: false })
    });
    let source = source(&log, folder.path());
    source.add_destination_with(destination.clone(), &quick()).unwrap();
    let running = start(&source);
    until("all are dead letters", || source.stats()[0].cursor == Some(log.ids()[2])).await;
    source.stop().await;
    running.await.unwrap().unwrap();
    assert_eq!(source.state().count_dead_letters("one").await.unwrap(), 3);
}

#[tokio::test]
async fn a_destination_that_rejects_unknown_events_is_not_called_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(4);
    let destination = Scripted::judging("one", |_| {
        Err(SendError::EventsRejected { events: vec![(999, "no".into())], others_delivered: false })
    });
    let source = source(&log, folder.path());
    source.add_destination_with(destination.clone(), &quick()).unwrap();
    let running = start(&source);
    until("all are settled", || source.stats()[0].dead_letters == 4).await;
    source.stop().await;
    running.await.unwrap().unwrap();
    assert_eq!(destination.seen.lock().sent.len(), 7, "halved, and no more");
}

#[tokio::test]
async fn dead_letters_are_sent_again_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(3);
    let is_repaired = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let repaired = is_repaired.clone();
    let destination = Scripted::judging("one", move |_| {
        if repaired.load(std::sync::atomic::Ordering::SeqCst) {
            Ok(())
        } else {
            Err(SendError::rejected("no"))
        }
    });
    let source = source(&log, folder.path());
    source.add_destination_with(destination.clone(), &quick()).unwrap();
    let running = start(&source);
    until("all are dead letters", || source.stats()[0].dead_letters == 3).await;
    let other = State::look(folder.path()).unwrap();
    let numbers: Vec<i64> = other
        .dead_letters(DeadLetters::default())
        .await
        .unwrap()
        .iter()
        .map(|letter| letter.number)
        .collect();

    other.retry_dead_letters(&numbers).await.unwrap();
    until("they are refused again", || source.stats()[0].refused_again == 3).await;
    assert_eq!(source.stats()[0].dead_letters, 3, "no event became a dead letter");
    let letters = other.dead_letters(DeadLetters::default()).await.unwrap();
    assert!(letters.iter().all(|letter| letter.tries == 2 && !letter.is_waiting));
    let so_far = other.redelivery(&numbers).await.unwrap();
    assert_eq!((so_far.delivered, so_far.refused, so_far.waiting), (0, 3, 0));

    is_repaired.store(true, std::sync::atomic::Ordering::SeqCst);
    other.drop_dead_letters(&numbers[..1]).await.unwrap();
    other.retry_dead_letters(&numbers[1..]).await.unwrap();
    until("the two arrive", || destination.accepted() == log.ids()[1..]).await;
    source.stop().await;
    running.await.unwrap().unwrap();
    assert_eq!(other.count_dead_letters("one").await.unwrap(), 0);
    let so_far = other.redelivery(&numbers).await.unwrap();
    assert_eq!((so_far.delivered, so_far.refused, so_far.waiting), (3, 0, 0));
}

#[tokio::test]
async fn a_destination_that_is_down_costs_the_others_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(30);
    let is_up = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let up = is_up.clone();
    let down = Scripted::judging("down", move |_| {
        if up.load(std::sync::atomic::Ordering::SeqCst) {
            Ok(())
        } else {
            Err(SendError::retry("down"))
        }
    });
    let well = Scripted::new("well");
    let source = source(&log, folder.path());
    source.add_destination_with(down.clone(), &quick()).unwrap();
    source.add_destination_with(well.clone(), &quick()).unwrap();
    let running = start(&source);
    until("the one arrives", || well.accepted() == log.ids()).await;
    log.append(30);
    until("also what is new", || well.accepted() == log.ids()).await;
    assert!(down.accepted().is_empty());
    is_up.store(true, std::sync::atomic::Ordering::SeqCst);
    until("the other catches up", || down.accepted() == log.ids()).await;
    assert_eq!(well.accepted(), log.ids(), "nothing was sent again");
    source.stop().await;
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_batch_in_flight_keeps_its_bounds_place_format_and_filter_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(30);
    let down = Scripted::judging("one", |_| Err(SendError::retry("down")));
    let first = source(&log, folder.path());
    first.add_destination_with(down.clone(), &quick()).unwrap();
    let running = start(&first);
    until("it was sent", || !down.seen.lock().sent.is_empty()).await;
    first.stop().await;
    running.await.unwrap().unwrap();
    drop(first);

    // Another filter, another format, another size: they count from the next batch on.
    let changed = DeliveryOptions {
        batch_size: Some(4),
        types: Some(vec!["grant.revoked".into()]),
        format: Some(grantex_destinations::FormatKind::CloudEvents),
        ..quick()
    };
    let formats = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    let told = formats.clone();
    let up = Scripted::judging("one", move |batch| {
        told.lock().push(batch.format().kind);
        Ok(())
    });
    let second = source(&log, folder.path());
    second.add_destination_with(up.clone(), &changed).unwrap();
    let running = start(&second);
    until("the rest is hidden", || second.stats()[0].cursor == Some(log.ids()[29])).await;
    second.stop().await;
    running.await.unwrap().unwrap();
    let (before, after) = (down.seen.lock(), up.seen.lock());
    assert_eq!(after.sent.len(), 1);
    assert_eq!((&after.sent[0].0, &after.sent[0].1), (&before.sent[0].0, &before.sent[0].1));
    assert!(after.sent[0].2, "it may have been sent before");
    assert_eq!(*formats.lock(), [grantex_destinations::FormatKind::Native]);
}

#[tokio::test]
async fn several_batches_are_on_their_way_at_once_and_the_checkpoint_waits_for_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(40);
    let first = log.ids()[0];
    let destination = Scripted::judging("one", move |batch| {
        if batch.first() == first { Err(SendError::retry("stuck")) } else { Ok(()) }
    });
    let options = DeliveryOptions { concurrency: Some(4), ..quick() };
    let one = source(&log, folder.path());
    one.add_destination_with(destination.clone(), &options).unwrap();
    let running = start(&one);
    until("the others arrive", || destination.accepted().len() == 30).await;
    let before = one.state().checkpoint("one").await.unwrap().unwrap();
    assert_eq!(before.delivered, None, "nothing in a row is delivered");
    assert!(one.stats()[0].cursor <= Some(before.cursor), "the figures say no more than the state");
    one.stop().await;
    running.await.unwrap().unwrap();
    drop(one);

    let destination = Scripted::new("one");
    let two = source(&log, folder.path());
    two.add_destination_with(destination.clone(), &options).unwrap();
    let running = start(&two);
    until("the first arrives", || two.stats()[0].cursor == Some(log.ids()[39])).await;
    two.stop().await;
    running.await.unwrap().unwrap();
    assert_eq!(destination.accepted(), log.ids()[..10], "what was acknowledged is not sent again");
}

#[tokio::test]
async fn a_second_forwarder_on_the_same_state_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(1);
    let first = source(&log, folder.path());
    let refused = EventSource::builder().log(log.clone()).state_dir(folder.path()).build();
    let told = refused.unwrap_err();
    assert!(matches!(told, SourceError::State(StateError::InUse { .. })), "{told}");
    drop(first);
    source(&log, folder.path());
}

#[tokio::test]
async fn a_lost_position_stops_the_destination_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(10);
    let destination = Scripted::new("one");
    let first = source(&log, folder.path());
    first.add_destination_with(destination.clone(), &quick()).unwrap();
    let running = start(&first);
    until("all arrive", || destination.accepted() == log.ids()).await;
    first.stop().await;
    running.await.unwrap().unwrap();
    drop(first);
    log.append(20);
    log.trim(log.ids()[19]);

    let stopped = source(&log, folder.path());
    stopped.add_destination_with(Scripted::new("one"), &quick()).unwrap();
    let error = start(&stopped).await.unwrap().unwrap_err();
    assert!(
        matches!(error, SourceError::Destination(PipelineError::LostPosition { .. })),
        "{error}"
    );
    assert_eq!(stopped.stats()[0].phase, Phase::Failed);
    drop(stopped);

    let destination = Scripted::new("one");
    let options = DeliveryOptions { on_lost_position: Some(OnLostPosition::Continue), ..quick() };
    let going_on = source(&log, folder.path());
    going_on.add_destination_with(destination.clone(), &options).unwrap();
    let running = start(&going_on);
    until("what is left arrives", || destination.accepted() == log.ids()[20..]).await;
    going_on.stop().await;
    running.await.unwrap().unwrap();
    let gaps = going_on.state().gaps().await.unwrap();
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].after, Some(log.ids()[9].to_string()));
}

#[tokio::test]
async fn a_log_that_was_moved_back_is_delivered_again_with_a_gap_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(10);
    let all = log.ids();
    let first = source(&log, folder.path());
    first.add_destination_with(Scripted::new("one"), &quick()).unwrap();
    let running = start(&first);
    until("all arrive", || first.stats()[0].cursor == all.last().copied()).await;
    first.stop().await;
    running.await.unwrap().unwrap();
    drop(first);
    log.restore(all[6]);

    let stopped = source(&log, folder.path());
    stopped.add_destination_with(Scripted::new("one"), &quick()).unwrap();
    let error = start(&stopped).await.unwrap().unwrap_err();
    assert!(
        matches!(error, SourceError::Destination(PipelineError::UnknownPosition { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("what was delivered before then arrives again"), "{error}");
    drop(stopped);

    let destination = Scripted::new("one");
    let options = DeliveryOptions { on_lost_position: Some(OnLostPosition::Continue), ..quick() };
    let going_on = source(&log, folder.path());
    going_on.add_destination_with(destination.clone(), &options).unwrap();
    let running = start(&going_on);
    until("the log arrives again", || destination.accepted() == all[..7]).await;
    let stats = going_on.stop().await;
    running.await.unwrap().unwrap();
    let said = "restored from an older copy or is another log";
    assert!(stats[0].last_error.as_ref().unwrap().contains(said), "{stats:?}");
    let gaps = going_on.state().gaps().await.unwrap();
    assert_eq!(gaps.len(), 1);
    assert!(gaps[0].reason.contains(said) && gaps[0].reason.contains("arrives again"), "{gaps:?}");
    assert_eq!(gaps[0].after, Some(all[9].to_string()));
}

/// Whatever ends it: a delivery, a dead letter after failures, or the end of the destination
/// itself.
#[tokio::test]
async fn nothing_is_retrying_once_everything_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(3);
    let poison = log.ids()[1];
    let mut failures = 2;
    let destination = Scripted::judging("one", move |batch| {
        let is_poison = ids(batch) == [poison];
        if is_poison && failures > 0 {
            failures -= 1;
            return Err(SendError::retry("500"));
        }
        if is_poison { Err(SendError::rejected("400")) } else { Ok(()) }
    });
    let first = source(&log, folder.path());
    let options = DeliveryOptions { batch_size: Some(1), ..quick() };
    first.add_destination_with(destination.clone(), &options).unwrap();
    let running = start(&first);
    until("it is a dead letter", || first.stats()[0].cursor == Some(log.ids()[2])).await;
    let stats = first.stats()[0].clone();
    assert_eq!((stats.retries, stats.dead_letters), (2, 1));
    assert!(
        !stats.is_retrying && !stats.is_failing && stats.recovered_at_ms.is_some(),
        "{stats:?}"
    );
    first.stop().await;
    running.await.unwrap().unwrap();
    drop(first);

    // One that is stopped while it fails, or that ends for good, tries nothing again either.
    log.append(1);
    let second = source(&log, folder.path());
    let down = Scripted::judging("one", |_| Err(SendError::refused("no key")));
    second.add_destination_with(down, &options).unwrap();
    let running = start(&second);
    until("it fails", || second.stats()[0].is_failing).await;
    let stats = second.stop().await;
    running.await.unwrap().unwrap();
    assert_eq!(
        (stats[0].phase, stats[0].is_retrying, stats[0].is_failing),
        (Phase::Stopped, false, false)
    );
    assert_eq!(stats[0].recovered_at_ms, None, "what was wrong is not over");
    let reports = second.state().reports().await.unwrap();
    assert_eq!((reports[0].1.state.as_str(), reports[0].1.recovered_at_ms), ("stopped", None));
}

#[tokio::test]
async fn what_was_read_before_the_position_was_lost_is_delivered_first() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(10);
    let is_up = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let up = is_up.clone();
    let destination = Scripted::judging("one", move |_| {
        if up.load(std::sync::atomic::Ordering::SeqCst) {
            Ok(())
        } else {
            Err(SendError::retry("down"))
        }
    });
    let source = source(&log, folder.path());
    let options = DeliveryOptions { on_lost_position: Some(OnLostPosition::Continue), ..quick() };
    source.add_destination_with(destination.clone(), &options).unwrap();
    let running = start(&source);
    until("it was tried", || source.stats()[0].retries > 0).await;
    log.append(10);
    log.trim(log.ids()[14]);
    log.fail();
    is_up.store(true, std::sync::atomic::Ordering::SeqCst);
    until("all that is left arrives", || destination.accepted().last() == log.ids().last()).await;
    source.stop().await;
    running.await.unwrap().unwrap();
    assert_eq!(destination.accepted()[..10], log.ids()[..10]);
    assert!(destination.accepted().is_sorted());
}

#[tokio::test]
async fn stopping_delivers_what_was_read_and_gives_up_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(5);
    let destination = Scripted::new("one");
    let patient =
        DeliveryOptions { flush_interval_ms: Some(3_600_000), batch_size: Some(1000), ..quick() };
    let first = source(&log, folder.path());
    first.add_destination_with(destination.clone(), &patient).unwrap();
    let running = start(&first);
    // The batch is neither full nor old; nothing tells from outside that it was read but the place.
    until("it began", || first.stats()[0].cursor.is_some()).await;
    first.stop().await;
    running.await.unwrap().unwrap();
    assert_eq!(
        destination.accepted(),
        log.ids(),
        "the log is in memory: all was read with the place"
    );
    drop(first);

    let stuck = Scripted::judging("one", |_| Err(SendError::retry("down")));
    log.append(5);
    let second = source(&log, folder.path());
    second.add_destination_with(stuck.clone(), &quick()).unwrap();
    let running = start(&second);
    until("it was sent", || !stuck.seen.lock().sent.is_empty()).await;
    let begun = Instant::now();
    let stats = second.stop().await;
    running.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!((stats[0].pending, stats[0].delivered), (5, 0), "what is left is told");
    assert!(stuck.seen.lock().is_closed, "what it holds is freed all the same");
}

#[tokio::test]
async fn destinations_come_and_go_while_the_source_runs() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(10);
    let (one, two) = (Scripted::new("one"), Scripted::new("two"));
    let source = source(&log, folder.path());
    source.add_destination_with(one.clone(), &quick()).unwrap();
    let running = start(&source);
    until("the first gets all", || one.accepted() == log.ids()).await;
    source.add_destination_with(two.clone(), &quick()).unwrap();
    assert!(source.add_destination(two.clone()).is_err(), "names are unique");
    until("the second gets all", || two.accepted() == log.ids()).await;
    source.remove_destination("one").await;
    assert!(one.seen.lock().is_closed);
    log.append(10);
    until("the second gets the rest", || two.accepted() == log.ids()).await;
    assert_eq!(one.accepted().len(), 10);
    source.add_destination_with(one.clone(), &quick()).unwrap();
    until("the first goes on where it was", || one.accepted() == log.ids()).await;
    source.stop().await;
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn memory_stays_bounded_while_a_destination_is_down() {
    let folder = tempfile::tempdir().unwrap();
    // Some 700 bytes each with what they take beside their text: far more than the buffer lends.
    let log = log_of(60_000);
    let stuck = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_stuck = stuck.clone();
    let destination = Scripted::judging("one", move |_| {
        let is_stuck = is_stuck.load(std::sync::atomic::Ordering::SeqCst);
        if is_stuck { Err(SendError::retry("down")) } else { Ok(()) }
    });
    let source = source(&log, folder.path());
    source
        .add_destination_with(
            destination.clone(),
            &DeliveryOptions { batch_size: Some(1000), ..quick() },
        )
        .unwrap();
    let running = start(&source);
    // The stream is closed after 5 s with a full buffer, and opened again for the rest.
    until("it was tried", || source.stats()[0].retries > 0).await;
    tokio::time::timeout(Duration::from_secs(30), log.all_readers_gone())
        .await
        .expect("its stream is closed");
    stuck.store(false, std::sync::atomic::Ordering::SeqCst);
    until("all arrive", || destination.accepted().len() == 60_000).await;
    let accepted = destination.accepted();
    assert_eq!(accepted.iter().collect::<BTreeSet<_>>().len(), 60_000);
    assert!(accepted.is_sorted());
    source.stop().await;
    running.await.unwrap().unwrap();
}

/// A destination behind a network that refuses while it is told so.
fn refusing() -> (Scripted, Arc<std::sync::atomic::AtomicBool>) {
    let refuses = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let told = refuses.clone();
    let destination = Scripted::judging("one", move |_| {
        let is_refusing = told.load(std::sync::atomic::Ordering::SeqCst);
        if is_refusing { Err(SendError::rejected("400 Bad Request")) } else { Ok(()) }
    });
    (destination.behind_a_network(), refuses)
}

#[tokio::test]
async fn refusals_before_the_first_success_reject_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(30);
    let (destination, refuses) = refusing();
    let first = source(&log, folder.path());
    let options = DeliveryOptions { batch_size: Some(3), ..quick() };
    first.add_destination_with(destination.clone(), &options).unwrap();
    let running = start(&first);
    until("it is failing", || first.stats()[0].is_failing && first.stats()[0].retries > 3).await;
    let stats = &first.stats()[0];
    assert_eq!((stats.dead_letters, stats.delivered), (0, 0));
    let error = stats.last_error.clone().unwrap();
    assert!(error.starts_with("400 Bad Request; the destination has accepted nothing"), "{error}");
    let tried: std::collections::BTreeSet<_> =
        destination.seen.lock().sent.iter().flat_map(|(ids, ..)| ids.clone()).collect();
    assert!(tried.len() <= 3 * 5 + 3, "a few events are tried, not the whole log: {}", tried.len());
    first.stop().await;
    running.await.unwrap().unwrap();
    drop(first);

    // A new start knows no more, and when something is accepted everything arrives in order.
    let second = source(&log, folder.path());
    second.add_destination_with(destination.clone(), &options).unwrap();
    let running = start(&second);
    until("it is failing again", || second.stats()[0].is_failing).await;
    refuses.store(false, std::sync::atomic::Ordering::SeqCst);
    until("all arrive", || destination.accepted().len() == 30).await;
    until("it is over", || {
        !second.stats()[0].is_failing && second.stats()[0].recovered_at_ms.is_some()
    })
    .await;
    assert_eq!(destination.accepted(), log.ids());

    // From now on a refusal counts, also after a new start.
    refuses.store(true, std::sync::atomic::Ordering::SeqCst);
    log.append(2);
    until("both are dead letters", || second.stats()[0].dead_letters == 2).await;
    second.stop().await;
    running.await.unwrap().unwrap();
    drop(second);
    let third = source(&log, folder.path());
    third.add_destination_with(destination, &options).unwrap();
    let running = start(&third);
    log.append(2);
    until("these too", || third.stats()[0].dead_letters == 2).await;
    third.stop().await;
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn one_that_is_accepted_makes_the_refused_ones_dead_letters() {
    for batch_size in [1, 10] {
        let folder = tempfile::tempdir().unwrap();
        let log = log_of(10);
        let bad = log.ids()[..3].to_vec();
        let destination = Scripted::judging("one", move |batch| {
            let spoils = ids(batch).iter().any(|id| bad.contains(id));
            if spoils { Err(SendError::rejected("422 no such grant")) } else { Ok(()) }
        });
        let destination = destination.behind_a_network();
        let source = source(&log, folder.path());
        let options = DeliveryOptions { batch_size: Some(batch_size), ..quick() };
        source.add_destination_with(destination.clone(), &options).unwrap();
        let running = start(&source);
        until("all is settled", || source.stats()[0].cursor == Some(log.ids()[9])).await;
        source.stop().await;
        running.await.unwrap().unwrap();
        let letters = source.state().dead_letters(DeadLetters::default()).await.unwrap();
        let rejected: Vec<EventId> = letters.iter().map(|letter| letter.event_id).collect();
        assert_eq!(rejected, log.ids()[..3]);
        assert!(letters.iter().all(|letter| letter.reason == "422 no such grant"));
        assert_eq!(destination.accepted(), log.ids()[3..], "in order, each once");
    }
}
