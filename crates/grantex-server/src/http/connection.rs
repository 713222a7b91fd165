//! One client connection: who it is, how to cut it, and a limit on how long it may refuse bytes.

use std::future::Future as _;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

use super::connections::{Connections, Place};
use super::signal::Signal;

/// A connection, as its requests see it.
pub(crate) struct Connection {
    /// The address of the other end.
    pub(crate) peer: IpAddr,
    /// It came by TLS.
    pub(crate) is_secure: bool,
    /// It came beyond the limit: it is there for a health check, or to be refused.
    pub(super) is_spare: bool,
    /// Said to close the socket at once, whatever is unsent.
    pub(crate) cut: Signal<()>,
    /// Said to close it unless a request is worked on: another needs its place.
    pub(super) leave: Signal<()>,
    /// Bytes wait for the socket to take more.
    pub(super) is_blocked: AtomicBool,
    /// The other end is to see an error when the socket closes.
    is_reset: AtomicBool,
    /// A request is worked on.
    is_busy: AtomicBool,
    /// There was a request.
    has_asked: AtomicBool,
    /// There was one with an API key.
    is_known: AtomicBool,
    /// The last request's body was not read to its end.
    has_unread_body: AtomicBool,
    /// The next answer is the last: what follows it was not read.
    ends_after_answer: AtomicBool,
    /// Its number in the line that it waits in; only [`Connections`] changes it.
    number: AtomicU64,
    among: Arc<Connections>,
}

impl Connection {
    pub(super) fn new(
        peer: IpAddr,
        is_secure: bool,
        is_spare: bool,
        among: Arc<Connections>,
    ) -> Self {
        Self {
            peer,
            is_secure,
            is_spare,
            cut: Signal::default(),
            leave: Signal::default(),
            is_blocked: AtomicBool::new(false),
            is_reset: AtomicBool::new(false),
            is_busy: AtomicBool::new(false),
            has_asked: AtomicBool::new(false),
            is_known: AtomicBool::new(false),
            has_unread_body: AtomicBool::new(false),
            ends_after_answer: AtomicBool::new(is_spare),
            number: AtomicU64::new(0),
            among,
        }
    }

    /// Closes the socket instead of answering. A reader of streams takes any answer but its stream
    /// for final, and comes again after an error of the network.
    pub(crate) async fn reset<T>(&self) -> T {
        self.is_reset.store(true, Ordering::Relaxed);
        self.cut.say(());
        // The connection's task drops this.
        std::future::pending().await
    }

    pub(super) fn is_reset(&self) -> bool {
        self.is_reset.load(Ordering::Relaxed)
    }

    /// A request on it has shown an API key, or what stands for one.
    pub(crate) fn knows(self: &Arc<Self>) {
        if !self.is_known() && !self.is_known.swap(true, Ordering::Relaxed) {
            self.among.knows(self);
        }
    }

    pub(super) fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Relaxed)
    }

    /// A request has arrived; its body, if it has one, has not.
    pub(super) fn begins(&self, has_body: bool) {
        self.is_busy.store(true, Ordering::Relaxed);
        self.has_asked.store(true, Ordering::Relaxed);
        self.has_unread_body.store(has_body, Ordering::Relaxed);
    }

    /// It is answered.
    pub(super) fn has_answered(&self) {
        self.is_busy.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.is_busy.load(Ordering::Relaxed) && !self.is_blocked.load(Ordering::Relaxed)
    }

    pub(super) fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::Relaxed)
    }

    /// The request's body was read to its end.
    pub(super) fn has_read_body(&self) {
        self.has_unread_body.store(false, Ordering::Relaxed);
    }

    pub(super) fn has_unread_body(&self) -> bool {
        self.has_unread_body.load(Ordering::Relaxed)
    }

    /// The answer to this request is the last one.
    pub(super) fn end_after_answer(&self) {
        self.ends_after_answer.store(true, Ordering::Relaxed);
    }

    pub(super) fn ends_after_answer(&self) -> bool {
        self.ends_after_answer.load(Ordering::Relaxed)
    }

    /// It was asked to leave, but is busy.
    pub(super) fn stays(self: &Arc<Self>) {
        self.among.stays(self);
    }

    /// It has become a stream.
    pub(super) fn streams(self: &Arc<Self>) {
        self.among.streams(self);
    }

    pub(super) fn among(&self) -> &Connections {
        &self.among
    }

    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    pub(super) fn set_number(&self, number: u64) {
        self.number.store(number, Ordering::Relaxed);
    }
}

/// A socket, with TLS or without.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// A socket that fails once its peer has taken no byte for some time while bytes were waiting.
///
/// The limit sits here, below HTTP, since a stalled socket is exactly when nobody polls a
/// response's body.
pub(crate) struct StallGuard<S> {
    inner: S,
    place: Place,
    limit: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> StallGuard<S> {
    pub(crate) fn new(inner: S, place: Place, limit: Duration) -> Self {
        Self { inner, place, limit, stalled: None }
    }

    /// Closes the socket so that the other end sees an error.
    pub(super) fn reset(self)
    where
        S: Socket,
    {
        let socket = socket2::SockRef::from(self.inner.tcp());
        if let Err(error) = socket.set_linger(Some(Duration::ZERO)) {
            tracing::debug!(%error, "a connection could not be reset");
        }
    }

    /// Passes `progress` on, and turns waiting into an error when it has lasted too long.
    fn guard<T>(
        &mut self,
        context: &mut Context<'_>,
        progress: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            if self.stalled.take().is_some() {
                self.place.connection().is_blocked.store(false, Ordering::Relaxed);
            }
            return progress;
        }
        self.place.connection().is_blocked.store(true, Ordering::Relaxed);
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
