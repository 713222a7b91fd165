//! The threads that streams run on.

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime for streams alone. Hundreds of streams that replay keep a runtime's threads busy, and
/// it looks for sockets that became ready only now and then: on the threads of requests, each
/// request would wait tens of milliseconds for them (`bench`, `neighbour`). Here the kernel shares
/// the cores between the two kinds of threads.
pub(crate) struct Threads(Option<Runtime>);

impl Threads {
    /// Starts a thread for each core. Where the system gives none, streams share those of requests.
    pub(crate) fn start() -> Self {
        let built = Builder::new_multi_thread().thread_name("streams").enable_all().build();
        if let Err(error) = &built {
            tracing::warn!(%error, "no threads for streams can be started: they share those of requests");
        }
        Self(built.ok())
    }

    /// Where to spawn streams.
    pub(crate) fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A runtime that is dropped within another would block it.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
