//! Accepting connections, serving them, and ending them all in good order.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::RwLock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::connection::{Connection, StallGuard};
use crate::App;

/// How long a client may take to shake hands.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer HTTP buffers above the socket: with the socket's own buffer, the most
/// that a reader who stops reading holds.
const WRITE_BUFFER: usize = 64 << 10;
/// The socket's own send buffer. The kernel would let it grow to megabytes for each reader.
const SOCKET_BUFFER: usize = 256 << 10;
/// How long requests may take to end at shutdown after the streams have ended.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// The TLS configuration in force; replaced when certificates are renewed.
#[derive(Clone, Default)]
pub struct Tls(Arc<RwLock<Option<Arc<rustls::ServerConfig>>>>);

impl Tls {
    /// Uses this configuration for connections from now on.
    pub fn set(&self, config: rustls::ServerConfig) {
        *self.0.write() = Some(Arc::new(config));
    }

    fn acceptor(&self) -> Option<TlsAcceptor> {
        self.0.read().clone().map(TlsAcceptor::from)
    }
}

/// Serves `router` until `shutdown`, then lets streams and requests end.
///
/// At shutdown `/readyz` turns 503, no further connection is accepted, streams are ended spread
/// over the drain time, requests finish, and what is left then is cut.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    app: Arc<App>,
    tls: Tls,
    shutdown: CancellationToken,
) {
    let connections = TaskTracker::new();
    let ending = CancellationToken::new();
    loop {
        let (stream, address) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: others will close theirs.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        prepare(&stream, app.settings.streams.stall_timeout);
        let (router, app, ending) = (router.clone(), Arc::clone(&app), ending.clone());
        let tls = tls.acceptor();
        connections.spawn(async move {
            let Some(tls) = tls else { return connection(stream, address, router, &app, ending).await };
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                Ok(Ok(stream)) => connection(stream, address, router, &app, ending).await,
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        });
    }
    drop(listener);
    connections.close();
    tracing::info!(streams = app.memory.streams.count(), "shutting down: streams are being ended");
    ending.cancel();
    app.memory.streams.drain(app.settings.streams.drain).await;
    // WebSockets have left their connection's task: they end with their farewell.
    app.memory.streams.all_closed(LAST_REQUESTS).await;
    if tokio::time::timeout(LAST_REQUESTS, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections were cut at shutdown");
    }
}

fn prepare(stream: &TcpStream, stall_timeout: Duration) {
    let socket = socket2::SockRef::from(stream);
    let set = || -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        socket.set_send_buffer_size(SOCKET_BUFFER)?;
        // A peer that vanished without a word acknowledges nothing.
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(stall_timeout.saturating_mul(2)))?;
        Ok(())
    };
    if let Err(error) = set() {
        tracing::debug!(%error, "a socket option could not be set");
    }
}

async fn connection<S>(stream: S, address: SocketAddr, router: Router, app: &App, ending: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = Arc::new(Connection { peer: address.ip(), cut: CancellationToken::new() });
    let cut = shared.cut.clone();
    let io = TokioIo::new(StallGuard::new(stream, app.settings.streams.stall_timeout));
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&shared));
        let router = router.clone();
        async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {})) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.settings.head_timeout)
        .max_buf_size(WRITE_BUFFER)
        .serve_connection(io, service)
        .with_upgrades();
    tokio::pin!(serving);
    let mut graceful = false;
    loop {
        tokio::select! {
            served = serving.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = cut.cancelled() => return,
            () = ending.cancelled(), if !graceful => {
                graceful = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}
