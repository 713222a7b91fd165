//! One client connection: who it is, how to cut it, and a limit on how long it may refuse bytes.

use std::future::Future as _;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::signal::Signal;

/// A connection, as its requests see it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The address of the other end.
    pub(crate) peer: IpAddr,
    /// It came by TLS.
    pub(crate) is_secure: bool,
    /// Said to close the socket at once, whatever is unsent.
    pub(crate) cut: Signal<()>,
    /// Bytes wait for the socket to take more.
    pub(super) is_blocked: AtomicBool,
}

/// A socket that fails once its peer has taken no byte for some time while bytes were waiting.
///
/// The limit sits here, below HTTP, since a stalled socket is exactly when nobody polls a
/// response's body.
pub(crate) struct StallGuard<S> {
    inner: S,
    connection: Arc<Connection>,
    limit: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> StallGuard<S> {
    pub(crate) fn new(inner: S, connection: Arc<Connection>, limit: Duration) -> Self {
        Self { inner, connection, limit, stalled: None }
    }

    /// Passes `progress` on, and turns waiting into an error when it has lasted too long.
    fn guard<T>(&mut self, context: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            if self.stalled.take().is_some() {
                self.connection.is_blocked.store(false, Ordering::Relaxed);
            }
            return progress;
        }
        self.connection.is_blocked.store(true, Ordering::Relaxed);
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(stalled.as_mut().poll(context));
        metrics::counter!("grantex_readers_cut_total", "at" => "socket").increment(1);
        tracing::info!(seconds = limit.as_secs_f64(), "a reader that took no bytes was cut");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes no bytes")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallGuard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallGuard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.guard(context, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.guard(context, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.inner).poll_flush(context);
        self.guard(context, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.inner).poll_shutdown(context);
        self.guard(context, progress)
    }
}
