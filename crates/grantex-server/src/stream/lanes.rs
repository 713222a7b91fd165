//! Delivery of new events: one task for many subscribers.
//!
//! A publication wakes the lanes of the log, not every subscriber. A lane goes through its members
//! and writes to each what is due.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, MissedTickBehavior};

/// Members of a lane at most: enough that waking the lane costs next to nothing for each, few
/// enough that the cores share the subscribers of one log.
const MOST_MEMBERS: usize = 128;
/// Members after which a lane lets other tasks run: some hundred microseconds, if each is written
/// to.
const BEFORE_YIELDING: usize = 32;
/// Streams of one log that write many bytes at the same time: as many as the smallest machines have
/// cores.
const WRITING_AT_ONCE: usize = 2;

/// A lane rests as long as it worked, within these limits: events that arrive meanwhile go out in
/// one write, and publishers get their share of the cores. Where events are rarer, or members are
/// few, nothing waits. Below 1 ms a timer would take longer than it should; above 20 ms people
/// would begin to notice.
const SHORTEST_REST: Duration = Duration::from_millis(1);
const LONGEST_REST: Duration = Duration::from_millis(20);

/// A subscriber, as its lane uses it.
pub(super) trait Member: Send + Sync {
    /// Writes what is due, without waiting. Returns whether more is due already.
    fn serve(&self) -> bool;
}

/// Members of one log that one task serves.
pub(super) struct Lane {
    /// How often it looks for members that are due a keep-alive.
    beat: Duration,
    members: Mutex<Vec<Arc<dyn Member>>>,
    /// There may be something to deliver.
    due: Notify,
}

impl Lane {
    /// Takes a member out.
    pub(super) fn leave<M>(&self, member: &Arc<M>) {
        let own: *const () = Arc::as_ptr(member).cast();
        let mut members = self.members.lock();
        if let Some(index) = members.iter().position(|member| Arc::as_ptr(member).cast() == own) {
            members.swap_remove(index);
        }
        if members.is_empty() {
            self.due.notify_one();
        }
    }
}

/// All lanes of one log.
pub(super) struct Lanes {
    all: Mutex<Vec<Arc<Lane>>>,
    /// Permits to write many bytes to a subscriber of this log at a time
    /// ([`Pipe::flush`](super::pipe::Pipe::flush)).
    pub(super) turns: Semaphore,
}

impl Lanes {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { all: Mutex::default(), turns: Semaphore::new(WRITING_AT_ONCE) })
    }

    /// Wakes all lanes.
    pub(super) fn wake(&self) {
        for lane in self.all.lock().iter() {
            lane.due.notify_one();
        }
    }

    /// Puts a member into a lane that has room. Starts a lane if none has.
    pub(super) fn join(self: &Arc<Self>, beat: Duration, member: Arc<dyn Member>) -> Arc<Lane> {
        let mut lanes = self.all.lock();
        // The newest first: the older ones are full, mostly.
        for lane in lanes.iter().rev().filter(|lane| lane.beat == beat) {
            let mut members = lane.members.lock();
            if members.len() < MOST_MEMBERS {
                members.push(member);
                return Arc::clone(lane);
            }
        }
        let lane = Arc::new(Lane { beat, members: Mutex::new(vec![member]), due: Notify::new() });
        lanes.push(Arc::clone(&lane));
        tokio::spawn(run(Arc::clone(&lane), Arc::clone(self)));
        lane
    }

    /// Removes a lane if it has no members.
    fn remove_empty(&self, lane: &Arc<Lane>) -> bool {
        let mut lanes = self.all.lock();
        let is_empty = lane.members.lock().is_empty();
        if is_empty {
            lanes.retain(|other| !Arc::ptr_eq(other, lane));
        }
        is_empty
    }
}

/// Serves a lane until it is empty.
async fn run(lane: Arc<Lane>, lanes: Arc<Lanes>) {
    let mut beats = tokio::time::interval(lane.beat);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = lane.due.notified() => {}
            _ = beats.tick() => {}
        }
        // A member that joins meanwhile looks at the log itself.
        let members = lane.members.lock().clone();
        if members.is_empty() && lanes.remove_empty(&lane) {
            return;
        }
        let begun = Instant::now();
        let mut has_more = false;
        for some in members.chunks(BEFORE_YIELDING) {
            for member in some {
                has_more |= member.serve();
            }
            tokio::task::yield_now().await;
        }
        drop(members);
        let rest = begun.elapsed().min(LONGEST_REST);
        if has_more {
            // A member got as much as one write may carry, and more is due: resting would save
            // nothing.
            lane.due.notify_one();
        } else if rest >= SHORTEST_REST {
            tokio::time::sleep(rest).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Idle;

    impl Member for Idle {
        fn serve(&self) -> bool {
            false
        }
    }

    #[tokio::test]
    async fn lanes_come_and_go_with_their_members() {
        let lanes = Lanes::new();
        let join = || {
            let member = Arc::new(Idle);
            (lanes.join(Duration::from_secs(4), Arc::clone(&member) as _), member)
        };
        let leave = |(lane, member): (Arc<Lane>, Arc<Idle>)| lane.leave(&member);
        let mut joined: Vec<_> = (0..=MOST_MEMBERS).map(|_| join()).collect();
        assert_eq!(lanes.all.lock().len(), 2, "one member more than a lane takes");
        joined.drain(1..).for_each(leave);
        until(|| lanes.all.lock().len() == 1).await;
        joined.push(join());
        assert_eq!(lanes.all.lock().len(), 1, "there is room again");
        joined.drain(..).for_each(leave);
        until(|| lanes.all.lock().is_empty()).await;
    }

    async fn until(holds: impl Fn() -> bool) {
        let waited = async {
            while !holds() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waited).await.expect("it never held");
    }
}
