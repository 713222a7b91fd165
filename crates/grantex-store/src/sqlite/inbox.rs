//! Commands that wait for the writer, and its sleep while there are none.

use std::time::{Duration, Instant};

use grantex_core::StoreError;
use grantex_core::store::{Command, MOST_QUEUED, Scope};
use grantex_types::DeveloperId;
use parking_lot::{Condvar, Mutex};

use crate::fair_queue::{FairQueue, Limits};

/// One scope may fill a quarter of the queue. A developer reaches at most half of that: the server
/// works on an eighth of [`MOST_QUEUED`] requests of one developer at once.
const LIMITS: Limits =
    Limits { waiting: MOST_QUEUED, waiting_each: MOST_QUEUED / 4, lent_each: usize::MAX };

/// The result of waiting.
pub(super) enum Next {
    Command(Box<dyn Command>),
    /// None came in time.
    Nothing,
    /// None will come any more.
    Closed,
}

/// Developers' commands, in turn.
pub(super) struct Inbox {
    state: Mutex<State>,
    came: Condvar,
}

struct State {
    /// By developer; all others' commands share a turn.
    queue: FairQueue<Option<DeveloperId>, Box<dyn Command>>,
    is_open: bool,
    /// The writer's thread has ended.
    is_abandoned: bool,
    /// When the writer last took work up, or work came to it while it slept.
    moved: Instant,
    /// Whether the writer has to be woken: while it works it finds what comes by itself.
    sleeps: bool,
}

impl Inbox {
    pub(super) fn new() -> Self {
        let state = State {
            queue: FairQueue::new(LIMITS),
            is_open: true,
            is_abandoned: false,
            moved: Instant::now(),
            sleeps: false,
        };
        Self { state: Mutex::new(state), came: Condvar::new() }
    }

    pub(super) fn submit(&self, scope: Scope, command: Box<dyn Command>) {
        let mut state = self.state.lock();
        if !state.is_open {
            drop(state);
            return command.finish(Err(ended()));
        }
        let refused = state.queue.push(scope.developer(), command);
        let wake = std::mem::take(&mut state.sleeps);
        if wake {
            state.moved = Instant::now();
        }
        drop(state);
        if wake {
            self.came.notify_one();
        }
        if let Err(command) = refused {
            command.finish(Err(StoreError::Overloaded));
        }
    }

    /// The command whose turn it is, if any waits.
    pub(super) fn take(&self) -> Option<Box<dyn Command>> {
        self.state.lock().queue.take()
    }

    /// Waits for a command, for as long as there is patience.
    pub(super) fn wait(&self, patience: Option<Duration>) -> Next {
        let mut state = self.state.lock();
        state.moved = Instant::now();
        loop {
            if let Some(command) = state.queue.take() {
                return Next::Command(command);
            }
            if !state.is_open {
                return Next::Closed;
            }
            state.sleeps = true;
            match patience {
                None => self.came.wait(&mut state),
                Some(patience) => {
                    if self.came.wait_for(&mut state, patience).timed_out() {
                        state.sleeps = false;
                        state.moved = Instant::now();
                        return Next::Nothing;
                    }
                }
            }
        }
    }

    /// How many wait, and for how long the writer has been at work without taking up more. `None`
    /// when the writer has ended.
    pub(super) fn progress(&self) -> Option<(usize, Duration)> {
        let state = self.state.lock();
        let idle = state.sleeps && state.queue.len() == 0;
        let stalled = if idle { Duration::ZERO } else { state.moved.elapsed() };
        (!state.is_abandoned).then(|| (state.queue.len(), stalled))
    }

    /// Lets no more in. What waits is still taken.
    pub(super) fn close(&self) {
        self.state.lock().is_open = false;
        self.came.notify_one();
    }

    /// Lets no more in, and fails what waits.
    pub(super) fn abandon(&self) {
        self.close();
        self.state.lock().is_abandoned = true;
        while let Some(command) = self.take() {
            command.finish(Err(ended()));
        }
    }
}

pub(super) fn ended() -> StoreError {
    StoreError::Unavailable("the store is closed for writes".into())
}
