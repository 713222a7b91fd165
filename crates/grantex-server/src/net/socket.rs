//! Sockets: with TLS or without, and how they are accepted.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The socket's own send buffer, in bytes. The kernel would let it grow to megabytes for each
/// reader.
const SEND_BUFFER: usize = 256 << 10;

/// Bytes in both directions.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Duplex for S {}

/// A TCP socket, with TLS or without.
pub(crate) trait Socket: Duplex {
    /// The socket below TLS.
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

/// The TLS configuration in force; replaced when certificates are renewed.
#[derive(Clone, Default)]
pub struct Tls(Arc<RwLock<Option<Arc<rustls::ServerConfig>>>>);

impl Tls {
    /// Uses this configuration for connections from now on.
    pub fn set(&self, config: rustls::ServerConfig) {
        *self.0.write() = Some(Arc::new(config));
    }

    /// What performs the handshake; `None` without TLS.
    pub(crate) fn acceptor(&self) -> Option<TlsAcceptor> {
        self.0.read().clone().map(TlsAcceptor::from)
    }
}

/// The next connection to any of the listeners.
pub(crate) async fn accept(listeners: &[TcpListener]) -> std::io::Result<(TcpStream, SocketAddr)> {
    poll_fn(|context| {
        let mut accepted = listeners.iter().map(|listener| listener.poll_accept(context));
        accepted.find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
}

/// Sets the options of a socket that was accepted.
pub(crate) fn prepare(stream: &TcpStream, stall_timeout: Duration) {
    let socket = socket2::SockRef::from(stream);
    let set = || -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        // A peer that vanished without closing the connection acknowledges nothing.
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(stall_timeout.saturating_mul(2)))?;
        Ok(())
    };
    if let Err(error) = set() {
        tracing::debug!(%error, "a socket option cannot be set");
    }
}
