//! Accepting connections, serving them, and ending them all in good order.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use bytes::Bytes;
use http::{HeaderValue, header};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::{Mutex, RwLock};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::connection::{Connection, Socket, StallGuard};
use super::connections::{Connections, Place};
use super::reached::Reached;
use super::takeover::{self, TakenOver};
use crate::settings::ConnectionSettings;
use crate::stream::Threads;
use crate::{App, routes};

static NOT_ACCEPTED: Reached = Reached::new("descriptors");

/// Connections that the address for metrics alone may have.
const METRICS_CONNECTIONS: usize = 32;

/// How long a connection is kept after its last answer for a client that still sends the body of a
/// request: the answer would be lost if the socket were closed with bytes unread.
const LINGER: Duration = Duration::from_secs(2);
/// How much of such a body is read and thrown away.
const LINGER_BYTES: usize = 2 << 20;
/// How much at a time.
const LINGER_BUFFER: usize = 16 << 10;
/// How much of a request's head HTTP takes (431 beyond), and how much of an answer it buffers above
/// the socket: the most that a client who sends half a head, or stops reading, holds there. Heads
/// have some hundred bytes; what may be long in one is a session, a cookie or a ticket.
const BUFFER: usize = 16 << 10;
/// The socket's own send buffer. The kernel would let it grow to megabytes for each reader.
const SOCKET_BUFFER: usize = 256 << 10;
/// The part of the drain time over which streams are ended. The rest is for what they have to take
/// yet.
const ENDING: (u32, u32) = (3, 4);
/// The part after which whatever is left is cut. The rest is for closing the store.
const CUTTING: (u32, u32) = (15, 16);

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
/// At shutdown no further connection is accepted, `/readyz` turns 503, streams are ended spread
/// over most of the drain time, requests finish, further ones are refused, and what is left is cut:
/// it takes no longer than the drain time, whatever the other ends do.
pub async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    app: Arc<App>,
    tls: Tls,
    shutdown: CancellationToken,
) {
    let places = Connections::new(&app.settings.connections, !app.settings.trust_forwarded_for);
    let streams = Threads::start();
    serve_among(&places, listeners, router, app, tls, shutdown, streams.handle()).await;
}

/// Serves only metrics, on listeners of their own.
pub async fn serve_metrics(
    listeners: Vec<TcpListener>,
    app: Arc<App>,
    shutdown: CancellationToken,
) {
    let places = Connections::new(
        &ConnectionSettings { most: METRICS_CONNECTIONS, ..app.settings.connections.clone() },
        false,
    );
    let router = routes::metrics_router(&app);
    serve_among(&places, listeners, router, app, Tls::default(), shutdown, Handle::current()).await;
}

async fn serve_among(
    places: &Arc<Connections>,
    listeners: Vec<TcpListener>,
    router: Router,
    app: Arc<App>,
    tls: Tls,
    shutdown: CancellationToken,
    streams: Handle,
) {
    let connections = TaskTracker::new();
    let (ending, cutting) = (CancellationToken::new(), CancellationToken::new());
    loop {
        let (stream, address) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listeners) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: others will close theirs.
                    NOT_ACCEPTED.note(&format!("a connection could not be accepted: {error}"));
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let tls = tls.acceptor();
        let Some(place) = places.admit(address.ip(), tls.is_some()) else { continue };
        prepare(&stream, app.settings.streams.stall_timeout);
        let (router, app) = (router.clone(), Arc::clone(&app));
        let tasks = Tasks {
            ending: ending.clone(),
            connections: connections.clone(),
            streams: streams.clone(),
        };
        let serving = async move {
            let first = tokio::time::sleep(app.settings.connections.first_request);
            tokio::pin!(first);
            let Some(tls) = tls else {
                return connection(stream, place, router, &app, tasks, first).await;
            };
            let shared = Arc::clone(place.connection());
            tokio::select! {
                shaken = tls.accept(stream) => match shaken {
                    Ok(stream) => connection(stream, place, router, &app, tasks, first).await,
                    Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
                },
                () = first.as_mut() => tracing::debug!("a TLS handshake took too long"),
                () = shared.leave.heard() => {}
            }
        };
        let cutting = cutting.clone();
        connections.spawn(async move {
            tokio::select! {
                () = serving => {}
                () = cutting.cancelled() => {}
            }
        });
        places.settle().await;
    }
    drop(listeners);
    connections.close();
    let (drain, streams) = (app.settings.streams.drain, &app.memory.streams);
    tracing::info!(streams = streams.count(), "shutting down: streams are being ended");
    ending.cancel();
    let ended = async {
        streams.drain(part(drain, ENDING)).await;
        connections.wait().await;
    };
    if tokio::time::timeout(part(drain, CUTTING), ended).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections were cut at shutdown");
        cutting.cancel();
        streams.cut_all();
        connections.wait().await;
    }
}

fn part(time: Duration, (count, of): (u32, u32)) -> Duration {
    time.saturating_mul(count).checked_div(of).unwrap_or(time)
}

/// The next connection to any of them.
async fn accept(listeners: &[TcpListener]) -> std::io::Result<(TcpStream, SocketAddr)> {
    poll_fn(|context| {
        let mut accepted = listeners.iter().map(|listener| listener.poll_accept(context));
        accepted.find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
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
    /// Where streams run.
    streams: Handle,
}

async fn connection<S>(
    stream: S,
    place: Place,
    router: Router,
    app: &App,
    tasks: Tasks,
    mut first: Pin<&mut Sleep>,
) where
    S: Socket,
{
    let shared = Arc::clone(place.connection());
    let io = TokioIo::new(StallGuard::new(stream, place, app.settings.streams.stall_timeout));
    let offered: Arc<Mutex<Option<Box<TakenOver>>>> = Arc::default();
    let service = service_fn({
        let (shared, offered) = (Arc::clone(&shared), Arc::clone(&offered));
        move |mut request: Request<Incoming>| {
            shared.begins(!request.body().is_end_stream());
            request.extensions_mut().insert(Arc::clone(&shared));
            let (router, offered, shared) =
                (router.clone(), Arc::clone(&offered), Arc::clone(&shared));
            let (method, version) = (request.method().clone(), request.version());
            async move {
                let mut response =
                    router.oneshot(request).await.unwrap_or_else(|never| match never {});
                if let Some(stream) = takeover::take(&method, version, &mut response) {
                    *offered.lock() = Some(stream);
                    // The socket is taken away before this could be answered.
                    std::future::pending::<()>().await;
                }
                if shared.ends_after_answer() {
                    response
                        .headers_mut()
                        .insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                shared.has_answered();
                Ok::<_, Infallible>(response)
            }
        }
    });
    let mut serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.settings.connections.idle)
        .max_buf_size(BUFFER)
        .serve_connection(io, service);
    let mut graceful = false;
    let stream = loop {
        let served = poll_fn(|context| match Pin::new(&mut serving).poll(context) {
            Poll::Ready(served) => Poll::Ready(Served::Ended(served)),
            // What was answered before has to be on its way first.
            Poll::Pending if shared.is_blocked.load(Ordering::Relaxed) => Poll::Pending,
            Poll::Pending => offered
                .lock()
                .take()
                .map_or(Poll::Pending, |stream| Poll::Ready(Served::Taken(stream))),
        });
        tokio::select! {
            served = served => match served {
                Served::Taken(stream) => break stream,
                Served::Ended(Ok(())) if shared.has_unread_body() => {
                    let socket = serving.into_parts().io.into_inner();
                    return linger(socket, &shared).await;
                }
                Served::Ended(Ok(())) => return,
                Served::Ended(Err(error)) => return tracing::debug!(%error, "a connection ended early"),
            },
            () = shared.cut.heard() => {
                if shared.is_reset() {
                    serving.into_parts().io.into_inner().reset();
                }
                return;
            }
            () = shared.leave.taken() => if shared.is_idle() { return } else { shared.stays() },
            () = first.as_mut(), if !shared.has_asked() => if !shared.has_asked() {
                return tracing::debug!("the first request took too long");
            },
            () = tasks.ending.cancelled(), if !graceful => {
                graceful = true;
                Pin::new(&mut serving).graceful_shutdown();
            }
        }
    };
    shared.streams();
    let parts = serving.into_parts();
    let TakenOver { head, is_chunked, stream } = *stream;
    // Hardly ever anything; but it would keep all of the buffer that the request was read into.
    let early = Bytes::copy_from_slice(&parts.read_buf);
    // A task of its own: this one is as large as what HTTP needs.
    let tasks = (&tasks.connections, &tasks.streams, shared);
    stream.spawn(parts.io.into_inner(), head, is_chunked, early, tasks);
}

/// Reads what a client still sends after its last answer, so that it comes to read that answer.
async fn linger<S: AsyncRead + Unpin>(mut socket: S, shared: &Connection) {
    let drained = async {
        let mut buffer = vec![0; LINGER_BUFFER];
        let mut left = LINGER_BYTES;
        while left > 0 {
            match socket.read(&mut buffer).await {
                Ok(read) if read > 0 => left = left.saturating_sub(read),
                _ => break,
            }
        }
    };
    tokio::select! {
        _ = tokio::time::timeout(LINGER, drained) => {}
        () = shared.leave.heard() => {}
    }
}

/// How far serving a connection has come.
enum Served {
    Ended(hyper::Result<()>),
    Taken(Box<TakenOver>),
}
