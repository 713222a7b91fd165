//! Accepting connections, serving them, and ending them all in good order.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::{Mutex, RwLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::connection::{Connection, StallGuard};
use super::signal::Signal;
use super::takeover::{self, TakenOver};
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
        let (router, app) = (router.clone(), Arc::clone(&app));
        let (tls, tasks) =
            (tls.acceptor(), Tasks { ending: ending.clone(), connections: connections.clone() });
        connections.spawn(async move {
            let Some(tls) = tls else {
                return connection(stream, (address, false), router, &app, tasks).await;
            };
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                Ok(Ok(stream)) => connection(stream, (address, true), router, &app, tasks).await,
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
    // Streams have left their connection's task: they end with their farewell.
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

/// Where connections' tasks are, and what tells them to end.
struct Tasks {
    ending: CancellationToken,
    connections: TaskTracker,
}

async fn connection<S>(
    stream: S,
    (address, is_secure): (SocketAddr, bool),
    router: Router,
    app: &App,
    tasks: Tasks,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = Arc::new(Connection {
        peer: address.ip(),
        is_secure,
        cut: Signal::default(),
        is_blocked: AtomicBool::new(false),
    });
    let stall_timeout = app.settings.streams.stall_timeout;
    let io = TokioIo::new(StallGuard::new(stream, Arc::clone(&shared), stall_timeout));
    let offered: Arc<Mutex<Option<Box<TakenOver>>>> = Arc::default();
    let service = service_fn({
        let (shared, offered) = (Arc::clone(&shared), Arc::clone(&offered));
        move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Arc::clone(&shared));
            let (router, offered) = (router.clone(), Arc::clone(&offered));
            let (method, version) = (request.method().clone(), request.version());
            async move {
                let mut response = router.oneshot(request).await.unwrap_or_else(|never| match never {});
                if let Some(stream) = takeover::take(&method, version, &mut response) {
                    *offered.lock() = Some(stream);
                    // The socket is taken away before this could be answered.
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>(response)
            }
        }
    });
    let mut serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.settings.head_timeout)
        .max_buf_size(WRITE_BUFFER)
        .serve_connection(io, service);
    let mut graceful = false;
    let stream = loop {
        let served = poll_fn(|context| match Pin::new(&mut serving).poll(context) {
            Poll::Ready(served) => Poll::Ready(Served::Ended(served)),
            // What was answered before has to be on its way first.
            Poll::Pending if shared.is_blocked.load(Ordering::Relaxed) => Poll::Pending,
            Poll::Pending => {
                offered.lock().take().map_or(Poll::Pending, |stream| Poll::Ready(Served::Taken(stream)))
            }
        });
        tokio::select! {
            served = served => match served {
                Served::Taken(stream) => break stream,
                Served::Ended(Ok(())) => return,
                Served::Ended(Err(error)) => return tracing::debug!(%error, "a connection ended early"),
            },
            () = shared.cut.heard() => return,
            () = tasks.ending.cancelled(), if !graceful => {
                graceful = true;
                Pin::new(&mut serving).graceful_shutdown();
            }
        }
    };
    let parts = serving.into_parts();
    let TakenOver { head, is_chunked, stream } = *stream;
    // Hardly ever anything; but it would keep all of the buffer that the request was read into.
    let early = Bytes::copy_from_slice(&parts.read_buf);
    // A task of its own: this one is as large as what HTTP needs.
    stream.spawn(parts.io.into_inner(), head, is_chunked, early, (&tasks.connections, shared));
}

/// How far serving a connection has come.
enum Served {
    Ended(hyper::Result<()>),
    Taken(Box<TakenOver>),
}
