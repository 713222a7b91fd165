//! Delivery of what is new: one task for many streams.
//!
//! A stream that has caught up leaves its pipe with a lane. Whoever publishes wakes the lanes of
//! the log, not every stream: a lane goes through its streams and writes to each what it lacks. A
//! stream's own task sleeps meanwhile; it is woken for what a lane must not wait for – a socket
//! that is full, events that only the store has, the stream's end – and for what the client says.

use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use super::pipe::{Heard, Pipe, Served};
use super::session::Next;
use super::tail::Tail;
use crate::net::socket::Duplex;

/// Streams that one lane serves: enough that waking it costs next to nothing for each, few enough
/// that the cores share the streams of one log.
const MOST: usize = 128;
/// Streams after which a lane lets other tasks run: some hundred microseconds, if each is written
/// to.
const BEFORE_YIELDING: usize = 32;

/// A lane rests as long as it worked, within these limits: what comes meanwhile goes out in one
/// write, and those who publish get their share of the cores. Where events are rarer than that, or
/// streams are few, nothing waits. Below a millisecond a timer would take longer than it should;
/// beyond twenty, people would begin to see it.
const SHORTEST_REST: Duration = Duration::from_millis(1);
const LONGEST_REST: Duration = Duration::from_millis(20);

/// Streams of one log that one task serves.
pub(super) struct Lane {
    /// How often it looks for streams that have been quiet for too long.
    beat: Duration,
    members: Mutex<Vec<Arc<dyn Member>>>,
    /// There may be something to deliver.
    due: Notify,
}

/// A stream, as its lane sees it.
pub(super) trait Member: Send + Sync {
    /// Writes what is due, without waiting. Returns whether there is more already.
    fn serve(&self) -> bool;
}

/// All lanes of one log.
#[derive(Default)]
pub(super) struct Lanes(Mutex<Vec<Arc<Lane>>>);

impl Lanes {
    /// Wakes all.
    pub(super) fn wake(&self) {
        for lane in self.0.lock().iter() {
            lane.due.notify_one();
        }
    }

    /// A lane with room, now with one more member.
    fn join(tail: &Arc<Tail>, beat: Duration, member: Arc<dyn Member>) -> Arc<Lane> {
        let mut lanes = tail.lanes.0.lock();
        // The newest first: the older ones are full, mostly.
        for lane in lanes.iter().rev().filter(|lane| lane.beat == beat) {
            let mut members = lane.members.lock();
            if members.len() < MOST {
                members.push(member);
                return Arc::clone(lane);
            }
        }
        let lane = Arc::new(Lane { beat, members: Mutex::new(vec![member]), due: Notify::new() });
        lanes.push(Arc::clone(&lane));
        tokio::spawn(run(Arc::clone(&lane), Arc::clone(tail)));
        lane
    }

    /// Takes a lane away if nobody is left in it.
    fn remove_empty(&self, lane: &Arc<Lane>) -> bool {
        let mut lanes = self.0.lock();
        let is_empty = lane.members.lock().is_empty();
        if is_empty {
            lanes.retain(|other| !Arc::ptr_eq(other, lane));
        }
        is_empty
    }
}

/// Serves a lane until it is empty.
async fn run(lane: Arc<Lane>, tail: Arc<Tail>) {
    let mut beats = tokio::time::interval(lane.beat);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = lane.due.notified() => {}
            _ = beats.tick() => {}
        }
        // Who joins meanwhile looks at the log for itself.
        let members = lane.members.lock().clone();
        if members.is_empty() && tail.lanes.remove_empty(&lane) {
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
            // As much as a write may carry was due, and more is: waiting would save nothing.
            lane.due.notify_one();
        } else if rest >= SHORTEST_REST {
            tokio::time::sleep(rest).await;
        }
    }
}

/// Where a stream's pipe lies while its task sleeps.
struct Berth<S> {
    pipe: Option<Box<Pipe<S>>>,
    /// Wakes the stream's task.
    task: Option<Waker>,
}

impl<S: Duplex> Member for Mutex<Berth<S>> {
    fn serve(&self) -> bool {
        // Where no pipe lies, the stream's task is awake; it looks at the log before it leaves it
        // here.
        let mut berth = self.lock();
        let Berth { pipe: Some(pipe), task: Some(task) } = &mut *berth else { return false };
        let serve = AssertUnwindSafe(|| pipe.serve(&mut Context::from_waker(task)));
        match catch_unwind(serve) {
            Ok(Served::All) => false,
            Ok(Served::Some) => true,
            Ok(Served::NotByLane) => {
                task.wake_by_ref();
                false
            }
            // A defect ends one stream, not all of the lane.
            Err(_) => {
                tracing::error!("delivering to a stream panicked; the stream is ended");
                task.wake_by_ref();
                berth.pipe = None;
                false
            }
        }
    }
}

/// A stream's place in a lane, which it leaves when this is dropped.
pub(super) struct Place<S: Duplex> {
    berth: Arc<Mutex<Berth<S>>>,
    lane: Arc<Lane>,
}

impl<S: Duplex> Place<S> {
    /// Joins a lane of the pipe's log.
    pub(super) fn join(pipe: &Pipe<S>) -> Self {
        let berth = Arc::new(Mutex::new(Berth { pipe: None, task: None }));
        let member = Arc::clone(&berth) as Arc<dyn Member>;
        let lane = Lanes::join(pipe.session.tail(), pipe.session.beat(), member);
        Self { berth, lane }
    }

    /// Waits until the stream's task has something to do. What is new meanwhile is delivered by the
    /// lane.
    pub(super) async fn attend(&self, mut pipe: Box<Pipe<S>>) -> io::Result<(Box<Pipe<S>>, Heard)> {
        loop {
            let Pipe { session, outlet, .. } = &mut *pipe;
            tokio::select! {
                biased;
                said = outlet.read() => return Ok((pipe, Heard::Said(said?))),
                next = session.next() => match next {
                    Next::Item(item) => {
                        pipe.push(item);
                        return Ok((pipe, Heard::Due));
                    }
                    Next::End(end) => return Ok((pipe, Heard::End(end))),
                    Next::Nothing => {}
                },
            }
            let said;
            (pipe, said) = self.park(pipe).await?;
            match said {
                Some(said) => return Ok((pipe, Heard::Said(said))),
                None if pipe.outlet.is_empty() => {}
                None => return Ok((pipe, Heard::Due)),
            }
        }
    }

    /// Leaves the pipe to the lane until its task has to look after it, or the client says
    /// something.
    async fn park(&self, pipe: Box<Pipe<S>>) -> io::Result<(Box<Pipe<S>>, Option<Bytes>)> {
        let mut brought = Some(pipe);
        poll_fn(|context| {
            let mut berth = self.berth.lock();
            let Some(mut pipe) = brought.take().or_else(|| berth.pipe.take()) else {
                return Poll::Ready(Err(io::Error::other("the stream's pipe was given up")));
            };
            match pipe.poll_attention(context) {
                Poll::Ready(attention) => Poll::Ready(attention.map(|said| (pipe, said))),
                Poll::Pending => {
                    berth.pipe = Some(pipe);
                    if !berth.task.as_ref().is_some_and(|task| task.will_wake(context.waker())) {
                        berth.task = Some(context.waker().clone());
                    }
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl<S: Duplex> Drop for Place<S> {
    fn drop(&mut self) {
        // The socket closes now, also where the lane still has the berth in its hand.
        drop(self.berth.lock().pipe.take());
        let own: *const () = Arc::as_ptr(&self.berth).cast();
        let mut members = self.lane.members.lock();
        if let Some(index) = members.iter().position(|member| Arc::as_ptr(member).cast() == own) {
            members.swap_remove(index);
        }
        if members.is_empty() {
            self.lane.due.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::DuplexStream;

    use super::super::outlet::Outlet;
    use super::super::pipe::Framing;
    use super::super::session::tests::{LONG, Log};
    use super::*;

    #[tokio::test]
    async fn lanes_come_and_go_with_their_streams() {
        let log = Log::with(1, 0).await;
        let join = || {
            let (near, _far) = tokio::io::duplex(64);
            let session = log.session("", 1, LONG);
            let tail = Arc::clone(session.tail());
            let pipe: Pipe<DuplexStream> =
                Pipe::new(session, Outlet::new(near), Framing::WebSocket);
            (Place::join(&pipe), pipe, tail)
        };
        let mut streams: Vec<_> = (0..=MOST).map(|_| join()).collect();
        let tail = Arc::clone(&streams[0].2);
        assert_eq!(tail.lanes.0.lock().len(), 2, "one more than a lane takes");
        streams.truncate(1);
        until(|| tail.lanes.0.lock().len() == 1).await;
        streams.push(join());
        assert_eq!(tail.lanes.0.lock().len(), 1, "there is room again");
        streams.clear();
        until(|| tail.lanes.0.lock().is_empty()).await;
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
