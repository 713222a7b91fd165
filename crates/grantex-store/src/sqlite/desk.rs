//! Queries that wait for the readers.

use grantex_core::StoreError;
use grantex_core::store::{Query, QueryKind, Scope};
use parking_lot::{Condvar, Mutex};

use crate::fair_queue::{FairQueue, Limits};

/// Queries of a kind that may wait; whoever comes later is told to try again. A stream that replays
/// has one waiting at most, a request too.
const WAITING: usize = 16_384;
/// Those of one developer.
const WAITING_EACH: usize = 4096;

/// What a reader's thread takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Look-ups only, so that however long the long reads are, a look-up finds a thread soon.
    Points,
    /// Long reads, and look-ups while no long read can have its turn.
    Any,
}

/// How the threads are shared out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shares {
    threads: usize,
}

impl Shares {
    pub(super) fn of(threads: usize) -> Self {
        Self { threads: threads.max(2) }
    }

    /// The roles: three of four threads take long reads too.
    pub(super) fn roles(self) -> impl Iterator<Item = Role> {
        let any = self.most_threads();
        (0..self.threads).map(move |number| if number < any { Role::Any } else { Role::Points })
    }

    /// How many long reads are at work at once, and how many look-ups of one developer.
    fn most_threads(self) -> usize {
        (self.threads.saturating_mul(3) / 4).max(1)
    }

    /// How many long reads of one developer are at work at once: there is always a thread for
    /// another's.
    fn long_each(self) -> usize {
        (self.threads / 2).max(1)
    }
}

/// A query that is being answered. Given back, it makes room for its developer's next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    scope: Scope,
    kind: QueryKind,
}

/// Developers' queries, by turns, and the sleep of threads that have none.
pub(super) struct Desk {
    state: Mutex<State>,
    /// For sleeping threads with [`Role::Points`].
    point_came: Condvar,
    /// For sleeping threads with [`Role::Any`].
    any_came: Condvar,
}

struct State {
    points: FairQueue<Scope, Query>,
    long: FairQueue<Scope, Query>,
    is_open: bool,
    /// Threads asleep that nobody has woken.
    points_asleep: usize,
    any_asleep: usize,
}

impl Desk {
    pub(super) fn new(shares: Shares) -> Self {
        let queue =
            |lent_each| FairQueue::new(Limits { waiting: WAITING, waiting_each: WAITING_EACH, lent_each });
        let state = State {
            points: queue(shares.most_threads()),
            long: queue(shares.long_each()),
            is_open: true,
            points_asleep: 0,
            any_asleep: 0,
        };
        Self { state: Mutex::new(state), point_came: Condvar::new(), any_came: Condvar::new() }
    }

    pub(super) fn query(&self, scope: Scope, kind: QueryKind, query: Query) {
        let mut state = self.state.lock();
        if !state.is_open {
            drop(state);
            return query(Err(StoreError::Unavailable("the readers have ended".into())));
        }
        let refused = state.queue(kind).push(scope, query);
        self.wake(&mut state);
        drop(state);
        if let Err(query) = refused {
            query(Err(StoreError::Overloaded));
        }
    }

    /// Gives back the thread's place and waits for its next query. `None` when no more will come.
    pub(super) fn next(&self, role: Role, done: Option<Place>) -> Option<(Place, Query)> {
        let mut state = self.state.lock();
        if let Some(Place { scope, kind }) = done {
            state.queue(kind).returned(scope);
        }
        loop {
            if let Some(next) = state.lend(role) {
                // What the place made room for may be another thread's to take.
                self.wake(&mut state);
                return Some(next);
            }
            if !state.is_open {
                return None;
            }
            match role {
                Role::Points => {
                    state.points_asleep = state.points_asleep.saturating_add(1);
                    self.point_came.wait(&mut state);
                }
                Role::Any => {
                    state.any_asleep = state.any_asleep.saturating_add(1);
                    self.any_came.wait(&mut state);
                }
            }
        }
    }

    /// Wakes a thread if one sleeps that could work. Each that wakes up wakes the next.
    fn wake(&self, state: &mut State) {
        let (point, long) = (state.points.has_turn(), state.long.has_turn());
        if point && state.points_asleep > 0 {
            state.points_asleep = state.points_asleep.saturating_sub(1);
            self.point_came.notify_one();
        } else if (point || long) && state.any_asleep > 0 {
            state.any_asleep = state.any_asleep.saturating_sub(1);
            self.any_came.notify_one();
        }
    }

    /// Lets no more in. What waits is still answered.
    pub(super) fn close(&self) {
        self.state.lock().is_open = false;
        self.point_came.notify_all();
        self.any_came.notify_all();
    }
}

impl State {
    fn queue(&mut self, kind: QueryKind) -> &mut FairQueue<Scope, Query> {
        match kind {
            QueryKind::Point => &mut self.points,
            QueryKind::Long => &mut self.long,
        }
    }

    fn lend(&mut self, role: Role) -> Option<(Place, Query)> {
        let kinds: &[QueryKind] = match role {
            Role::Points => &[QueryKind::Point],
            Role::Any => &[QueryKind::Long, QueryKind::Point],
        };
        kinds.iter().find_map(|kind| {
            let (scope, query) = self.queue(*kind).lend()?;
            Some((Place { scope, kind: *kind }, query))
        })
    }
}
