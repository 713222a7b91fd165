//! Turns: no developer waits for what another has queued.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use grantex_core::store::{
    Command, GrantFilter, MOST_LOOKED_AT, Needs, Page, Query, QueryKind, Scope, StoreResult, Tx,
    Verdict,
};
use grantex_core::{Error, StoreError};
use grantex_types::api::grants::GrantStatus;
use grantex_types::{AgentId, AuthRequestId, DeveloperId, Timestamp};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::endings::held;
use super::harness::{Case, Harness, grant};

/// The cases about turns, by name.
pub const CASES: &[Case] = &[
    ("developers write by turns", developers_write_by_turns),
    ("commands of a scope keep their order", commands_of_a_scope_keep_their_order),
    ("whoever queues too much is refused alone", whoever_queues_too_much_is_refused_alone),
    (
        "long reads leave room for look-ups and for others",
        long_reads_leave_room_for_look_ups_and_for_others,
    ),
    ("a list stops where its filter hides too many", a_list_stops_where_its_filter_hides_too_many),
];

/// A developer who queues a lot, and one who does not.
fn two() -> (DeveloperId, DeveloperId) {
    (DeveloperId::from_bytes([1; 16]), DeveloperId::from_bytes([2; 16]))
}

/// A developer's command, by its number among theirs.
type Name = (DeveloperId, usize);
/// How one of a developer's commands ended.
type Ended = (DeveloperId, StoreResult<()>);

/// A command that notes that it ran, and how it ended.
struct Noted {
    name: Name,
    ran: Arc<Mutex<Vec<Name>>>,
    ended: Sender<Ended>,
}

impl Command for Noted {
    fn name(&self) -> &'static str {
        "noted"
    }

    fn run(&mut self, _: &mut dyn Tx) -> Verdict {
        self.ran.lock().push(self.name);
        Verdict::Keep
    }

    fn finish(self: Box<Self>, outcome: StoreResult<()>) {
        self.ended.send((self.name.0, outcome)).unwrap();
    }
}

/// Queues so many commands of two developers behind a held writer; gives the order in which they
/// ran, and how they ended.
fn queued(harness: &Harness, commands: &[(DeveloperId, usize)]) -> (Vec<Name>, Vec<Ended>) {
    let opener = held(harness);
    let ran = Arc::new(Mutex::new(Vec::new()));
    let (ended, all) = channel();
    for (developer, count) in commands {
        for number in 0..*count {
            let command =
                Noted { name: (*developer, number), ran: Arc::clone(&ran), ended: ended.clone() };
            harness.store.submit(Scope::Developer(*developer), Needs::NONE, Box::new(command));
        }
    }
    drop(ended);
    drop(opener);
    let all = all.iter().collect();
    let ran = std::mem::take(&mut *ran.lock());
    (ran, all)
}

fn developers_write_by_turns(harness: Harness) {
    let (many, one) = two();
    let (ran, ended) = queued(&harness, &[(many, 600), (one, 2)]);
    assert!(ended.iter().all(|(_, outcome)| outcome.is_ok()));
    assert_eq!(ran[..4], [(many, 0), (one, 0), (many, 1), (one, 1)]);
    let own: Vec<_> =
        ran.iter().filter(|(developer, _)| *developer == many).map(|(_, n)| *n).collect();
    assert_eq!(own, (0..600).collect::<Vec<_>>(), "a developer's commands keep their order");
}

fn commands_of_a_scope_keep_their_order(harness: Harness) {
    const EACH: usize = 50;
    let scopes = [
        Scope::Developer(two().0),
        Scope::AuthRequest(AuthRequestId::from_parts(1, 1)),
        Scope::Global,
    ];
    let opener = held(&harness);
    let ran = Arc::new(Mutex::new(Vec::new()));
    let (ended, all) = channel();
    for number in 0..EACH {
        for (label, scope) in (0_u8..).zip(scopes) {
            let name = (DeveloperId::from_bytes([label; 16]), number);
            let command = Noted { name, ran: Arc::clone(&ran), ended: ended.clone() };
            harness.store.submit(scope, Needs::NONE, Box::new(command));
        }
    }
    drop(ended);
    drop(opener);
    assert!(all.iter().all(|(_, outcome)| outcome.is_ok()));
    let ran = ran.lock();
    for label in 0..3 {
        let label = DeveloperId::from_bytes([label; 16]);
        let own = ran.iter().filter(|(of, _)| *of == label).map(|(_, number)| *number);
        assert_eq!(own.collect::<Vec<_>>(), (0..EACH).collect::<Vec<_>>());
    }
}

fn whoever_queues_too_much_is_refused_alone(harness: Harness) {
    let (many, one) = two();
    let (ran, ended) = queued(&harness, &[(many, 10_000), (one, 1)]);
    assert!(ended.iter().any(|(_, outcome)| matches!(outcome, Err(StoreError::Overloaded))));
    assert_eq!(ended.iter().filter(|(_, outcome)| outcome.is_ok()).count(), ran.len());
    assert!(ran.contains(&(one, 0)));
}

fn long_reads_leave_room_for_look_ups_and_for_others(harness: Harness) {
    const READS: usize = 50;
    let (many, one) = two();
    let (opener, open) = channel::<()>();
    let open = Arc::new(Mutex::new(open));
    let (ended, all) = channel();
    for _ in 0..READS {
        let (open, ended) = (Arc::clone(&open), ended.clone());
        let held: Query = Box::new(move |snapshot| {
            let _ = open.lock().recv();
            ended.send(snapshot.is_ok()).unwrap();
        });
        harness.store.query(many.into(), QueryKind::Long, held);
    }
    let ask = |developer: DeveloperId, kind| {
        let (reply, answer) = oneshot::channel();
        let query: Query = Box::new(move |snapshot| {
            let bounds =
                snapshot.map_err(Error::from).and_then(|store| Ok(store.log_bounds(developer)?));
            let _ = reply.send(bounds);
        });
        harness.store.query(developer.into(), kind, query);
        harness.block(answer).unwrap().unwrap();
    };
    // None of these waits for the reads that are held.
    ask(one, QueryKind::Point);
    ask(one, QueryKind::Long);
    ask(many, QueryKind::Point);
    drop(opener);
    assert_eq!(all.iter().take(READS).filter(|ok| *ok).count(), READS);
}

fn a_list_stops_where_its_filter_hides_too_many(harness: Harness) {
    let (developer, _) = harness.developer();
    let (id, agent) = (developer.developer_id, AgentId::from_parts(1, 1));
    let oldest = harness
        .write(move |tx| {
            let oldest = grant(tx, id, agent, None)?;
            tx.revoke_grant(id, oldest.id, Timestamp::EPOCH)?;
            Ok(oldest.id)
        })
        .unwrap();
    harness.turn_clock(1);
    let hidden = MOST_LOOKED_AT + 500;
    harness
        .write(move |tx| (0..hidden).try_for_each(|_| grant(tx, id, agent, None).map(drop)))
        .unwrap();
    let list = |page| {
        let filter = GrantFilter { status: Some(GrantStatus::Revoked), ..GrantFilter::default() };
        harness.read(move |store| Ok(store.grants(id, &filter, page)?))
    };
    let page = Page { after: None, offset: 0, limit: 2 };
    let first = list(page);
    assert!(first.rows.is_empty() && first.stopped_at.is_some());
    let second = list(Page { after: first.stopped_at, ..page });
    assert_eq!(second.rows.iter().map(|grant| grant.id).collect::<Vec<_>>(), [oldest]);
    assert!(second.stopped_at.is_none());
}
