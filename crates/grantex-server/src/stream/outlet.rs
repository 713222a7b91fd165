//! A stream's socket. Shared bytes are written from where they lie in memory.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Semaphore;

/// Pieces that one system call takes. The kernel's limit is 1,024; this many already fill a
/// socket's buffer.
const PIECES: usize = 64;

/// A socket and the bytes that wait for it. Nothing is copied, and an idle outlet holds no memory.
pub(super) struct Outlet<S> {
    socket: S,
    /// Unsent, first to last.
    waiting: Vec<Bytes>,
    /// The socket accepted bytes since [`take_progress`](Self::take_progress) was called.
    has_progressed: bool,
    /// The socket buffers bytes that it has not sent yet, as TLS may.
    is_held_up: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Outlet<S> {
    pub(super) fn new(socket: S) -> Self {
        Self { socket, waiting: Vec::new(), has_progressed: false, is_held_up: false }
    }

    /// Puts bytes behind those that wait.
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.waiting.push(bytes);
    }

    /// Writes all that waits. Dropping the future loses nothing: the next call continues.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    /// As [`flush`](Self::flush), but writes only while it holds a permit. A permit is held for one
    /// attempt to write, not while the client reads.
    pub(super) async fn flush_by_turns(&mut self, turns: &Semaphore) -> io::Result<()> {
        loop {
            let turn = turns.acquire().await.map_err(io::Error::other)?;
            let flushed = poll_fn(|context| Poll::Ready(self.poll_flush(context))).await;
            drop(turn);
            if let Poll::Ready(flushed) = flushed {
                tokio::task::yield_now().await;
                return flushed;
            }
            // The socket wakes this task when it takes more.
            let mut is_woken = false;
            poll_fn(|_| {
                if std::mem::replace(&mut is_woken, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.iter().fold(0, |sum, piece| sum.saturating_add(piece.len()))
    }

    /// Whether the socket has accepted bytes since this was called last.
    pub(super) fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.has_progressed)
    }

    /// As [`flush`](Self::flush). Unsent bytes still wait afterwards, also after an error.
    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sent = 0_usize;
        let result = loop {
            let pieces = self.waiting.get(sent..).unwrap_or_default();
            if pieces.is_empty() {
                self.waiting = Vec::new();
                ready!(Pin::new(&mut self.socket).poll_flush(context))?;
                self.is_held_up = false;
                return Poll::Ready(Ok(()));
            }
            let socket = Pin::new(&mut self.socket);
            let written = if let [piece] = pieces {
                // The cheaper call.
                socket.poll_write(context, piece)
            } else {
                let mut slices = [IoSlice::new(&[]); PIECES];
                for (slice, piece) in slices.iter_mut().zip(pieces) {
                    *slice = IoSlice::new(piece);
                }
                let count = pieces.len().min(PIECES);
                socket.poll_write_vectored(context, slices.get(..count).unwrap_or_default())
            };
            match written {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    self.has_progressed = true;
                    self.is_held_up = true;
                    sent = self.advance(sent, written);
                }
                failed_or_pending => break failed_or_pending.map_ok(|_| ()),
            }
        };
        self.waiting.drain(..sent);
        result
    }

    /// Removes `written` bytes from the pieces, beginning with piece `sent`. Returns how many
    /// pieces are sent then.
    fn advance(&mut self, mut sent: usize, mut written: usize) -> usize {
        while let Some(piece) = self.waiting.get_mut(sent) {
            if piece.len() > written {
                piece.advance(written);
                break;
            }
            written = written.saturating_sub(piece.len());
            // A slow client must not keep sent chunks alive.
            *piece = Bytes::new();
            sent = sent.saturating_add(1);
        }
        sent
    }

    /// Whether no bytes wait.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && !self.is_held_up
    }

    /// Reads what the client sends next; empty when it sends nothing more.
    pub(super) async fn read(&mut self) -> io::Result<Bytes> {
        poll_fn(|context| self.poll_read(context)).await
    }

    /// As [`read`](Self::read).
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        // Larger than what clients send, mostly.
        let mut bytes = [0; 256];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.socket).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled())))
    }

    /// Waits until the client sends nothing more, and discards what it sends.
    pub(super) async fn closed(&mut self) -> io::Result<()> {
        poll_fn(|context| {
            /// Reads before other tasks run: a client may send without end.
            const READS: usize = 16;
            let mut ignored = [0; 256];
            for _ in 0..READS {
                let mut buffer = ReadBuf::new(&mut ignored);
                ready!(Pin::new(&mut self.socket).poll_read(context, &mut buffer))?;
                if buffer.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }

    /// Closes the writing side.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        poll_fn(|context| Pin::new(&mut self.socket).poll_shutdown(context)).await
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt as _, BufWriter};

    use super::*;

    #[tokio::test]
    async fn what_the_socket_holds_back_still_waits() {
        // It takes all at once, and passes on four bytes at a time.
        let (near, mut far) = tokio::io::duplex(4);
        let mut outlet = Outlet::new(BufWriter::new(near));
        outlet.push(Bytes::from_static(b"all "));
        outlet.push(Bytes::from_static(b"of it arrives"));
        assert!(outlet.poll_flush(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(outlet.waiting.is_empty() && !outlet.is_empty());
        let mut read = [0; 17];
        let (sent, got) = tokio::join!(outlet.flush(), far.read_exact(&mut read));
        assert!(sent.is_ok() && got.is_ok() && outlet.is_empty());
        assert_eq!(&read, b"all of it arrives");
    }
}
