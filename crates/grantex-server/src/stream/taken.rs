//! A stream that has its socket to itself.

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::{Session, sse, ws};
use crate::net::connection::Connection;

/// What a socket is taken over for.
pub(crate) enum Stream {
    Sse(Box<Session>),
    WebSocket(Box<ws::Socket>),
}

impl Stream {
    /// Writes the answer's head and the stream, in a task of its own on the threads of streams,
    /// until one side ends it or it is cut. `early` is what the client said after its request.
    pub(crate) fn spawn<S>(
        self,
        socket: S,
        head: Bytes,
        is_chunked: bool,
        early: Bytes,
        (tasks, threads, connection): (&TaskTracker, &Handle, Arc<Connection>),
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Two kinds of tasks: one that could be either would be as large as the larger.
        match self {
            Self::Sse(session) => {
                tasks.spawn_on(sse::run(socket, connection, head, is_chunked, session), threads);
            }
            Self::WebSocket(ws) => {
                tasks.spawn_on(ws::run(ws, socket, connection, head, early), threads);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;
    use crate::net::stall::StallGuard;

    type Socket = StallGuard<TcpStream>;

    /// What every idle stream takes, thousands of times: look twice before one of these grows.
    #[test]
    fn streams_are_small() {
        fn sse<F>(_: impl FnOnce(Socket, Arc<Connection>, Bytes, Box<Session>) -> F) -> usize {
            size_of::<F>()
        }
        fn ws<F>(
            _: impl FnOnce(Box<ws::Socket>, Socket, Arc<Connection>, Bytes, Bytes) -> F,
        ) -> usize {
            size_of::<F>()
        }
        let sizes = (
            sse(|socket, cut, head, session| sse::run(socket, cut, head, true, session)),
            ws(ws::run),
        );
        assert!(sizes.0 <= 560 && sizes.1 <= 592, "{sizes:?}");
        assert!(size_of::<Session>() <= 336);
        assert!(size_of::<ws::Socket>() <= 384);
    }
}
