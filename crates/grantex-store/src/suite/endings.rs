//! How commands and queries end: each is finished, and nothing is reported before it is committed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use grantex_core::store::{Command, Needs, Query, QueryKind, Scope, StoreResult, Tx, Verdict};
use grantex_core::{Error, StoreError};
use grantex_types::DeveloperId;

use super::harness::{Case, Harness, Recorder, Step, append};

/// The cases about endings, by name.
pub const CASES: &[Case] = &[
    ("changes come before answers and answers before events", changes_answers_events),
    ("a notice says how far logs reach", a_notice_says_how_far_logs_reach),
    ("a commit that fails changed nothing", a_commit_that_fails_changed_nothing),
    ("a store that hangs does not look healthy", a_store_that_hangs_does_not_look_healthy),
    ("commands end although a listener panics", commands_end_although_a_listener_panics),
    ("queries that panic end themselves alone", queries_that_panic_end_themselves_alone),
    ("what is queued ends when the store is closed", what_is_queued_ends_when_the_store_is_closed),
];

/// Revokes a key and appends an event, and notes when it is finished.
struct Noted {
    developer: DeveloperId,
    recorded: Arc<Recorder>,
    ended: Sender<StoreResult<()>>,
}

impl Command for Noted {
    fn name(&self) -> &'static str {
        "noted"
    }

    fn run(&mut self, tx: &mut dyn Tx) -> Verdict {
        let now = tx.now();
        tx.set_suspended(self.developer, Some(now)).unwrap();
        append(tx, self.developer, 1).unwrap();
        Verdict::Keep
    }

    fn finish(self: Box<Self>, outcome: StoreResult<()>) {
        self.recorded.steps.lock().push(Step::Finished);
        let _ = self.ended.send(outcome);
    }
}

fn noted(harness: &Harness, developer: DeveloperId) -> Receiver<StoreResult<()>> {
    let (ended, outcome) = channel();
    let command = Noted { developer, recorded: Arc::clone(&harness.recorded), ended };
    harness.store.submit(developer.into(), Needs::NONE, Box::new(command));
    outcome
}

/// A command that holds the store until its gate opens.
struct Gate {
    begun: Sender<()>,
    open: Receiver<()>,
}

impl Command for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn run(&mut self, _: &mut dyn Tx) -> Verdict {
        self.begun.send(()).unwrap();
        let _ = self.open.recv();
        Verdict::Undo
    }

    fn finish(self: Box<Self>, _: StoreResult<()>) {}
}

/// Holds the store until what is returned is dropped.
pub(super) fn held(harness: &Harness) -> Sender<()> {
    let (begun, has_begun) = channel();
    let (opener, open) = channel();
    harness.store.submit(Scope::Global, Needs::NONE, Box::new(Gate { begun, open }));
    has_begun.recv().unwrap();
    opener
}

fn changes_answers_events(harness: Harness) {
    let (developer, _) = harness.developer();
    harness.append(developer.developer_id, 1);
    let answered = noted(&harness, developer.developer_id).recv().unwrap();
    answered.unwrap();
    // The next commit comes after all steps of this one.
    harness.append(developer.developer_id, 1);
    let steps = harness.recorded.steps.lock().clone();
    let finished = steps.iter().position(|step| *step == Step::Finished).unwrap();
    assert_eq!(steps[finished - 1..=finished + 1], [Step::Changed, Step::Finished, Step::Appended]);
}

fn a_notice_says_how_far_logs_reach(harness: Harness) {
    let ((one, _), (two, _)) = (harness.developer(), harness.developer());
    let (one, two) = (one.developer_id, two.developer_id);
    harness
        .write(move |tx| {
            for (n, developer) in [one, one, two, one].into_iter().enumerate() {
                append(tx, developer, n as u64)?;
            }
            Ok(())
        })
        .unwrap();
    harness.append(two, 1);
    harness.developer();
    let heads = harness.recorded.heads.lock().clone();
    let reaches =
        |developer| heads.iter().filter(|(id, _)| *id == developer).map(|(_, head)| *head).max();
    assert_eq!((reaches(one), reaches(two)), (Some(3), Some(2)));
}

fn a_commit_that_fails_changed_nothing(harness: Harness) {
    let (developer, _) = harness.developer();
    let id = developer.developer_id;
    harness.append(id, 1);
    harness.developer();
    let recorded = harness.recorded.events.lock().len();
    let broken = harness.database.break_writes();
    let failed = harness.write(move |tx| append(tx, id, 2));
    assert!(matches!(failed, Err(Error::Store(StoreError::Unavailable(_)))), "{failed:?}");
    assert!(harness.store.health().write_error.is_some());
    assert_eq!(harness.read(move |store| Ok(store.log_bounds(id)?)).head, 1, "reading goes on");
    drop(broken);
    // Whatever is asked next works, at the latest after it was tried again.
    let event = std::iter::repeat_with(|| harness.write(move |tx| append(tx, id, 3)))
        .find_map(Result::ok)
        .unwrap();
    assert_eq!(event.position, 2);
    assert!(harness.store.health().write_error.is_none());
    harness.developer();
    assert_eq!(
        harness.recorded.events.lock().len(),
        recorded + 1,
        "nothing of the failed commit is in a notice"
    );
}

fn a_store_that_hangs_does_not_look_healthy(harness: Harness) {
    let (developer, _) = harness.developer();
    let opener = held(&harness);
    let waiting = noted(&harness, developer.developer_id);
    let mut before = Duration::ZERO;
    for least in [20, 40] {
        let health = loop {
            let health = harness.store.health();
            if health.stalled_for >= Duration::from_millis(least) {
                break health;
            }
            std::thread::yield_now();
        };
        assert_eq!(health.queued, 1);
        assert!(health.stalled_for > before, "it grows");
        before = health.stalled_for;
    }
    drop(opener);
    waiting.recv().unwrap().unwrap();
    while harness.store.health().stalled_for > Duration::ZERO {
        std::thread::yield_now();
    }
    assert_eq!(harness.store.health().queued, 0);
}

fn commands_end_although_a_listener_panics(harness: Harness) {
    let ((one, _), (two, _)) = (harness.developer(), harness.developer());
    let opener = held(&harness);
    harness.recorded.is_broken.store(true, Ordering::SeqCst);
    let commands = [noted(&harness, one.developer_id), noted(&harness, two.developer_id)];
    drop(opener);
    for command in commands {
        let _ = command.recv().expect("it is finished, with success or without");
    }
    // Whether it goes on or not, it says so.
    let next = noted(&harness, one.developer_id).recv().unwrap();
    assert!(next.is_ok() || harness.store.health().write_error.is_some(), "{next:?}");
}

fn queries_that_panic_end_themselves_alone(harness: Harness) {
    let (developer, _) = harness.developer();
    let id = developer.developer_id;
    for kind in [QueryKind::Point, QueryKind::Long] {
        for _ in 0..20 {
            let query: Query = Box::new(|_| std::panic::resume_unwind(Box::new("a defect")));
            harness.store.query(id.into(), kind, query);
        }
    }
    assert_eq!(harness.read(move |store| Ok(store.log_bounds(id)?)).head, 0);
}

fn what_is_queued_ends_when_the_store_is_closed(harness: Harness) {
    let (developer, _) = harness.developer();
    let opener = held(&harness);
    let commands: Vec<_> = (0..100).map(|_| noted(&harness, developer.developer_id)).collect();
    let (ended, queries) = channel();
    for _ in 0..100 {
        let ended = ended.clone();
        let query: Query = Box::new(move |snapshot| ended.send(snapshot.is_ok()).unwrap());
        harness.store.query(developer.developer_id.into(), QueryKind::Long, query);
    }
    drop(ended);
    drop(opener);
    let harness = harness.reopen();
    let kept = commands.iter().filter(|command| command.recv().unwrap().is_ok()).count();
    assert_eq!(queries.iter().count(), 100);
    let id = developer.developer_id;
    let head = harness.read(move |store| Ok(store.log_bounds(id)?)).head;
    assert_eq!(head, kept as u64, "what was answered with success is there, and nothing else");
}
