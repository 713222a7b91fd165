//! Queries of one kind that wait for the readers' threads of that kind.

use grantex_core::StoreError;
use grantex_core::store::{Query, Scope};
use grantex_types::DeveloperId;
use parking_lot::{Condvar, Mutex};

use crate::fair_queue::{FairQueue, Limits};

/// Queries of a kind that may wait; later ones are refused and can be retried. A stream that
/// replays has one waiting at most, a request too.
const WAITING: usize = 16_384;
/// Those of one developer.
const WAITING_EACH: usize = 4096;

/// Whose turn a query takes.
pub(super) type Turn = Option<DeveloperId>;

/// Developers' queries, in turn, and the sleep of threads that have none.
pub(super) struct Desk {
    state: Mutex<State>,
    came: Condvar,
}

struct State {
    /// By developer; all others' queries share a turn.
    queue: FairQueue<Turn, Query>,
    is_open: bool,
    /// Sleeping threads that were not woken yet.
    asleep: usize,
}

impl Desk {
    /// For so many threads. One developer never has the last of them: whatever they ask, another's
    /// next query finds a thread.
    pub(super) fn new(threads: usize) -> Self {
        let lent_each = threads.saturating_sub(1).max(1);
        let limits = Limits { waiting: WAITING, waiting_each: WAITING_EACH, lent_each };
        let state = State { queue: FairQueue::new(limits), is_open: true, asleep: 0 };
        Self { state: Mutex::new(state), came: Condvar::new() }
    }

    pub(super) fn query(&self, scope: Scope, query: Query) {
        let mut state = self.state.lock();
        if !state.is_open {
            drop(state);
            return query(Err(StoreError::Unavailable("the store is closed for reads".into())));
        }
        let refused = state.queue.push(scope.developer(), query);
        self.wake(&mut state);
        drop(state);
        if let Err(query) = refused {
            query(Err(StoreError::Overloaded));
        }
    }

    /// Returns the thread of `done` and waits for its next query. `None` when no more will come.
    pub(super) fn next(&self, done: Option<Turn>) -> Option<(Turn, Query)> {
        let mut state = self.state.lock();
        if let Some(turn) = done {
            state.queue.returned(turn);
        }
        loop {
            if let Some(next) = state.queue.lend() {
                // What was given back may have made room for one more.
                self.wake(&mut state);
                return Some(next);
            }
            if !state.is_open {
                return None;
            }
            state.asleep = state.asleep.saturating_add(1);
            self.came.wait(&mut state);
        }
    }

    /// Wakes a thread if one sleeps that could work. Each that wakes up wakes the next.
    fn wake(&self, state: &mut State) {
        if state.asleep > 0 && state.queue.has_turn() {
            state.asleep = state.asleep.saturating_sub(1);
            self.came.notify_one();
        }
    }

    /// Lets no more in. What waits is still answered.
    pub(super) fn close(&self) {
        self.state.lock().is_open = false;
        self.came.notify_all();
    }
}
