//! State folders of earlier formats.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use grantex_destinations::conformance::MemoryLog;
use grantex_destinations::{DeadLetters, SendError, State};

use crate::support::{Scripted, quick, source, start, until};

/// A folder with what format 1 held.
fn of_format_1() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let database = rusqlite::Connection::open(folder.path().join("forward.db")).unwrap();
    database.pragma_update(None, "journal_mode", "WAL").unwrap();
    database.execute_batch(include_str!("../fixtures/state-1.sql")).unwrap();
    folder
}

#[tokio::test]
async fn a_folder_of_format_1_says_what_it_holds() {
    let folder = of_format_1();
    let log = MemoryLog::default();
    log.append(10);
    let all = log.ids();
    // `status` and `dead-letters` look before any forwarder of this version has run.
    let state = State::look(folder.path()).unwrap();
    let checkpoint = state.checkpoint("one").await.unwrap().unwrap();
    assert_eq!((checkpoint.cursor, checkpoint.delivered), (all[3], Some(all[3])));
    let letters = state.dead_letters(DeadLetters::default()).await.unwrap();
    let said: Vec<_> = letters
        .iter()
        .map(|letter| (letter.event_id, letter.tries, letter.reason.as_str()))
        .collect();
    assert_eq!(said, [(all[1], 2, "400 Bad Request"), (all[5], 1, "422 Unprocessable Entity")]);
    let reports = state.reports().await.unwrap();
    assert_eq!(
        (reports[0].0.as_str(), reports[0].1.state.as_str(), reports[0].1.retries),
        ("one", "retrying", 2)
    );
    assert_eq!(state.gaps().await.unwrap()[0].reason, "the log begins later");
}

/// The batch in flight is sent again as it was, the rest follows, and a refusal still needs a
/// proof: format 1 knew none.
#[tokio::test]
async fn a_folder_of_format_1_is_forwarded_from_where_it_was() {
    let folder = of_format_1();
    let log = MemoryLog::default();
    log.append(10);
    let all = log.ids();
    let is_down = Arc::new(AtomicBool::new(true));
    let down = Arc::clone(&is_down);
    let destination = Scripted::judging("one", move |_| {
        if down.load(Ordering::SeqCst) { Err(SendError::rejected("400")) } else { Ok(()) }
    });
    let destination = destination.behind_a_network();
    let source = source(&log, folder.path());
    source.add_destination_with(destination.clone(), &quick()).unwrap();
    let running = start(&source);
    until("it is refused", || source.stats()[0].is_failing).await;
    assert_eq!(source.stats()[0].dead_letters, 0, "nothing was accepted yet");
    {
        let seen = destination.seen.lock();
        let (events, place, is_repeat) = &seen.sent[0];
        assert_eq!((events.as_slice(), *is_repeat), (&[all[4], all[6]][..], true));
        assert_eq!(*place, serde_json::json!({"first": all[4].to_string(), "sent": 3}));
    }
    is_down.store(false, Ordering::SeqCst);
    let expected = [&all[4..5], &all[6..]].concat();
    until("the rest arrives", || destination.accepted().len() == expected.len()).await;
    let letters = source.state().dead_letters(DeadLetters::default()).await.unwrap();
    let numbers: Vec<i64> = letters.iter().map(|letter| letter.number).collect();
    source.state().retry_dead_letters(&numbers).await.unwrap();
    until("dead letters are delivered", || destination.accepted().len() == expected.len() + 2)
        .await;
    source.stop().await;
    running.await.unwrap().unwrap();
    let accepted = destination.accepted();
    assert_eq!(
        (&accepted[..expected.len()], &accepted[expected.len()..]),
        (&expected[..], &[all[1], all[5]][..])
    );
    assert_eq!(source.state().checkpoint("one").await.unwrap().unwrap().cursor, all[9]);
    assert_eq!(ids_of(&destination), accepted.len(), "each once");
}

fn ids_of(destination: &Scripted) -> usize {
    destination.accepted().into_iter().collect::<std::collections::BTreeSet<_>>().len()
}
