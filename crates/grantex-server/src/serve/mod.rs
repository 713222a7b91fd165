//! Accepting connections, serving them, and ending them all at a shutdown.

mod connection;
mod threads;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connection::Tasks;
use self::threads::Threads;
use crate::app::App;
use crate::net::connections::Connections;
use crate::net::limit_log::LimitLog;
use crate::net::socket::{self, Tls};
use crate::routes;
use crate::settings::ConnectionSettings;

static NOT_ACCEPTED: LimitLog = LimitLog::new("descriptors");

/// Connections that the address for metrics alone may have.
const METRICS_CONNECTIONS: usize = 32;
/// How long accepting pauses after a failure.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The part of the drain time over which streams are ended. The rest is for the bytes that their
/// clients still have to accept.
const ENDING: (u32, u32) = (3, 4);
/// The part of the drain time after which all remaining connections are cut. The rest is for
/// closing the store.
const CUTTING: (u32, u32) = (15, 16);

/// Serves `router` until `shutdown`, then lets streams and requests end.
///
/// At shutdown no further connection is accepted, `/readyz` turns 503, streams are ended spread
/// over most of the drain time, requests finish, further requests are refused, and the connections
/// that are left are cut. It takes no longer than the drain time, whatever the clients do.
pub async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    app: Arc<App>,
    tls: Tls,
    shutdown: CancellationToken,
) {
    let admissions = Connections::new(&app.settings.connections, !app.settings.trust_forwarded_for);
    let streams = Threads::start();
    serve_on(&admissions, listeners, router, app, tls, shutdown, streams.handle()).await;
}

/// Serves only metrics, on listeners of their own.
pub async fn serve_metrics(
    listeners: Vec<TcpListener>,
    app: Arc<App>,
    shutdown: CancellationToken,
) {
    let admissions = Connections::new(
        &ConnectionSettings { most: METRICS_CONNECTIONS, ..app.settings.connections.clone() },
        false,
    );
    let router = routes::metrics_router(&app);
    serve_on(&admissions, listeners, router, app, Tls::default(), shutdown, Handle::current())
        .await;
}

async fn serve_on(
    admissions: &Arc<Connections>,
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
            accepted = socket::accept(&listeners) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: other connections will close theirs.
                    NOT_ACCEPTED.reached(&format!("a connection could not be accepted: {error}"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let tls = tls.acceptor();
        let Some(admission) = admissions.admit(address.ip(), tls.is_some()) else { continue };
        socket::prepare(&stream, app.settings.streams.stall_timeout);
        let (router, app) = (router.clone(), Arc::clone(&app));
        let tasks = Tasks {
            ending: ending.clone(),
            connections: connections.clone(),
            streams: streams.clone(),
        };
        let serving = async move {
            let settings = &app.settings;
            let first = tokio::time::sleep(settings.connections.first_request);
            tokio::pin!(first);
            let Some(tls) = tls else {
                return connection::serve(stream, admission, router, settings, tasks, first).await;
            };
            let shared = Arc::clone(admission.connection());
            tokio::select! {
                shaken = tls.accept(stream) => match shaken {
                    Ok(stream) => {
                        connection::serve(stream, admission, router, settings, tasks, first).await;
                    }
                    Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
                },
                () = first.as_mut() => tracing::debug!("a TLS handshake took too long"),
                () = shared.leave.wait() => {}
            }
        };
        let cutting = cutting.clone();
        connections.spawn(async move {
            tokio::select! {
                () = serving => {}
                () = cutting.cancelled() => {}
            }
        });
        admissions.settle().await;
    }
    drop(listeners);
    connections.close();
    let (drain, streams) = (app.settings.streams.drain, &app.memory.streams);
    tracing::info!(streams = streams.count(), "shutting down: closing streams");
    ending.cancel();
    let ended = async {
        streams.drain(part(drain, ENDING)).await;
        connections.wait().await;
    };
    if tokio::time::timeout(part(drain, CUTTING), ended).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "connections were closed before their \
            answers were complete because the shutdown took too long"
        );
        cutting.cancel();
        streams.cut_all();
        connections.wait().await;
    }
}

fn part(time: Duration, (count, of): (u32, u32)) -> Duration {
    time.saturating_mul(count).checked_div(of).unwrap_or(time)
}
