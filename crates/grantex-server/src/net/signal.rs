//! A value that is set once and waited for by one task. It is smaller than a channel, which takes
//! about a hundred bytes; every idle stream has one.

use std::future::poll_fn;
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

/// Wakes the task that waited last. Waiting ends at once where the value is set already.
#[derive(Debug)]
pub(crate) struct Signal<T> {
    value: Mutex<Option<T>>,
    waiting: AtomicWaker,
}

impl<T> Default for Signal<T> {
    fn default() -> Self {
        Self { value: Mutex::new(None), waiting: AtomicWaker::new() }
    }
}

impl<T: Copy> Signal<T> {
    /// Sets the value, also over another one.
    pub(crate) fn set(&self, value: T) {
        *self.value.lock() = Some(value);
        self.waiting.wake();
    }

    /// Sets the value unless there is one.
    pub(crate) fn set_first(&self, value: T) {
        self.value.lock().get_or_insert(value);
        self.waiting.wake();
    }

    /// The value, if it is set.
    pub(crate) fn get(&self) -> Option<T> {
        *self.value.lock()
    }

    /// Waits for the value.
    pub(crate) async fn wait(&self) -> T {
        poll_fn(|context| self.poll_wait(context)).await
    }

    /// Waits for the value and clears it.
    pub(crate) async fn take(&self) -> T {
        poll_fn(|context| {
            self.waiting.register(context.waker());
            self.value.lock().take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// As [`wait`](Self::wait).
    pub(crate) fn poll_wait(&self, context: &mut Context<'_>) -> Poll<T> {
        // Registered before looking, so that a value that is set meanwhile wakes the task.
        self.waiting.register(context.waker());
        self.get().map_or(Poll::Pending, Poll::Ready)
    }
}
