//! Something that is said once and heard by one task: a word, where a channel would be a hundred
//! bytes.

use std::future::poll_fn;
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

/// Heard by the task that waited last; whoever asks later hears it at once.
#[derive(Debug)]
pub(crate) struct Signal<T> {
    said: Mutex<Option<T>>,
    listener: AtomicWaker,
}

impl<T> Default for Signal<T> {
    fn default() -> Self {
        Self { said: Mutex::new(None), listener: AtomicWaker::new() }
    }
}

impl<T: Copy> Signal<T> {
    /// Says it, whatever was said before.
    pub(crate) fn say(&self, what: T) {
        *self.said.lock() = Some(what);
        self.listener.wake();
    }

    /// Says it unless something was said before.
    pub(crate) fn suggest(&self, what: T) {
        self.said.lock().get_or_insert(what);
        self.listener.wake();
    }

    /// What was said.
    pub(crate) fn said(&self) -> Option<T> {
        *self.said.lock()
    }

    /// Waits until something is said.
    pub(crate) async fn heard(&self) -> T {
        poll_fn(|context| self.poll_heard(context)).await
    }

    /// Waits until something is said, and forgets it.
    pub(crate) async fn taken(&self) -> T {
        poll_fn(|context| {
            self.listener.register(context.waker());
            self.said.lock().take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// As [`heard`](Self::heard).
    pub(crate) fn poll_heard(&self, context: &mut Context<'_>) -> Poll<T> {
        // Before looking, so that what is said meanwhile wakes.
        self.listener.register(context.waker());
        self.said().map_or(Poll::Pending, Poll::Ready)
    }
}
