//! A subscriber's place in a lane.
//!
//! A subscriber that has caught up parks its pipe here, and its lane writes to it. The stream's own
//! task sleeps meanwhile. It is woken for what a lane must not wait for – a full socket, events
//! that only the store has, the end of the stream – and when the client sends something.

use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use super::end::EndReason;
use super::lanes::{Lane, Member};
use super::pipe::Pipe;
use super::subscriber::Next;
use crate::net::socket::Duplex;

/// Why a stream's task was woken.
pub(super) enum Wakeup {
    /// The client sent this; empty if it sends nothing more.
    Received(Bytes),
    /// Bytes wait for the socket.
    Unsent,
    /// The stream has to end.
    End(EndReason),
}

/// The pipe of a subscriber whose task sleeps.
struct Parked<S> {
    pipe: Option<Box<Pipe<S>>>,
    /// Wakes the stream's task.
    task: Option<Waker>,
}

impl<S: Duplex> Member for Mutex<Parked<S>> {
    fn serve(&self) -> bool {
        // Without a pipe the stream's task is awake, and looks at the log before it parks the pipe.
        let mut parked = self.lock();
        let Parked { pipe: Some(pipe), task: Some(task) } = &mut *parked else { return false };
        let serve = AssertUnwindSafe(|| pipe.serve(&mut Context::from_waker(task)));
        if let Ok(has_more) = catch_unwind(serve) {
            return has_more;
        }
        // A defect ends one stream, not all of the lane.
        tracing::error!("delivering to a stream panicked; the stream is ended");
        task.wake_by_ref();
        parked.pipe = None;
        false
    }
}

/// A subscriber's place in a lane, which it leaves when this is dropped.
pub(super) struct Membership<S: Duplex> {
    parked: Arc<Mutex<Parked<S>>>,
    lane: Arc<Lane>,
}

impl<S: Duplex> Membership<S> {
    /// Joins a lane of the pipe's log.
    pub(super) fn join(pipe: &Pipe<S>) -> Self {
        let parked = Arc::new(Mutex::new(Parked { pipe: None, task: None }));
        let member = Arc::clone(&parked) as Arc<dyn Member>;
        let lane = pipe.subscriber.lanes().join(pipe.subscriber.beat(), member);
        Self { parked, lane }
    }

    /// Waits until the stream's task has something to do. The lane delivers new events meanwhile.
    pub(super) async fn attend(
        &self,
        mut pipe: Box<Pipe<S>>,
    ) -> io::Result<(Box<Pipe<S>>, Wakeup)> {
        loop {
            let Pipe { subscriber, outlet } = &mut *pipe;
            tokio::select! {
                biased;
                received = outlet.read() => return Ok((pipe, Wakeup::Received(received?))),
                next = subscriber.next() => match next {
                    Next::Events(selections) => {
                        pipe.push_events(&selections);
                        return Ok((pipe, Wakeup::Unsent));
                    }
                    Next::KeepAlive(cursor) => {
                        pipe.push_keep_alive(cursor);
                        return Ok((pipe, Wakeup::Unsent));
                    }
                    Next::End(reason) => return Ok((pipe, Wakeup::End(reason))),
                    Next::CaughtUp => {}
                },
            }
            let received;
            (pipe, received) = self.park(pipe).await?;
            match received {
                Some(bytes) => return Ok((pipe, Wakeup::Received(bytes))),
                None if pipe.outlet.is_empty() => {}
                None => return Ok((pipe, Wakeup::Unsent)),
            }
        }
    }

    /// Parks the pipe until its task is needed, or the client sends something.
    async fn park(&self, pipe: Box<Pipe<S>>) -> io::Result<(Box<Pipe<S>>, Option<Bytes>)> {
        let mut brought = Some(pipe);
        poll_fn(|context| {
            let mut parked = self.parked.lock();
            let Some(mut pipe) = brought.take().or_else(|| parked.pipe.take()) else {
                return Poll::Ready(Err(io::Error::other("delivering to the stream panicked")));
            };
            match pipe.poll_attention(context) {
                Poll::Ready(attention) => Poll::Ready(attention.map(|received| (pipe, received))),
                Poll::Pending => {
                    parked.pipe = Some(pipe);
                    if !parked.task.as_ref().is_some_and(|task| task.will_wake(context.waker())) {
                        parked.task = Some(context.waker().clone());
                    }
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl<S: Duplex> Drop for Membership<S> {
    fn drop(&mut self) {
        // The socket closes now, also where the lane is about to serve this member.
        drop(self.parked.lock().pipe.take());
        self.lane.leave(&self.parked);
    }
}
