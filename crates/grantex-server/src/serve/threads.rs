//! The threads that streams run on.

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime for streams alone. Hundreds of streams that replay keep the threads of a runtime busy,
/// and a busy runtime looks for ready sockets only now and then. On the threads of requests, each
/// request would wait tens of milliseconds for the streams (`bench`, `neighbour`). With two
/// runtimes the kernel shares the cores between the two kinds of threads.
pub(super) struct Threads(Option<Runtime>);

impl Threads {
    /// Starts a thread for each core. Where that fails, streams share the threads of requests.
    pub(super) fn start() -> Self {
        let built = Builder::new_multi_thread().thread_name("streams").enable_all().build();
        if let Err(error) = &built {
            tracing::warn!(
                %error,
                "the threads of streams cannot be started; streams share the threads of requests"
            );
        }
        Self(built.ok())
    }

    /// Where to spawn streams.
    pub(super) fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Dropping a runtime within another one would block the other one.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
