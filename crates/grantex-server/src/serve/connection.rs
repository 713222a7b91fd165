//! One connection: HTTP until a request opens a stream, which takes the socket.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
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
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::runtime::Handle;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::net::connection::Connection;
use crate::net::connections::Admission;
use crate::net::socket::Socket;
use crate::net::stall::StallGuard;
use crate::settings::Settings;
use crate::stream::takeover::{self, Stream};

/// How long a connection is kept after its last answer for a client that still sends the body of a
/// request: the answer would be lost if the socket were closed with bytes unread.
const LINGER: Duration = Duration::from_secs(2);
/// How many bytes of such a body are read and discarded.
const LINGER_BYTES: usize = 2 << 20;
/// How many bytes one call reads.
const LINGER_BUFFER: usize = 16 << 10;
/// The longest head of a request in bytes; a longer one is answered with 431. HTTP buffers as many
/// bytes of an answer above the socket. This is the memory that a client takes who sends half a
/// head or stops reading. Heads have some hundred bytes; a session, a cookie or a ticket may be
/// long.
const BUFFER: usize = 16 << 10;

/// Where the tasks of connections run, and what ends them.
pub(super) struct Tasks {
    pub(super) ending: CancellationToken,
    pub(super) connections: TaskTracker,
    /// The threads of streams.
    pub(super) streams: Handle,
}

/// How far serving a connection has come.
enum Outcome {
    Ended(hyper::Result<()>),
    Taken(Bytes, Stream),
}

/// Serves a connection until it ends or becomes a stream. `first` is the time limit for its first
/// request.
pub(super) async fn serve<S: Socket>(
    socket: S,
    admission: Admission,
    router: Router,
    settings: &Settings,
    tasks: Tasks,
    mut first: Pin<&mut Sleep>,
) {
    let admitted = admission.admitted().clone();
    let connection = Arc::clone(admission.connection());
    let io = TokioIo::new(StallGuard::new(socket, admission, settings.streams.stall_timeout));
    let taken: Arc<Mutex<Option<(Bytes, Stream)>>> = Arc::default();
    let service = service_fn({
        let (admitted, taken) = (admitted.clone(), Arc::clone(&taken));
        move |mut request: Request<Incoming>| {
            let connection = Arc::clone(admitted.connection());
            connection.begin_request(!request.body().is_end_stream());
            request.extensions_mut().insert(admitted.clone());
            let (router, taken) = (router.clone(), Arc::clone(&taken));
            let method = request.method().clone();
            async move {
                let mut response =
                    router.oneshot(request).await.unwrap_or_else(|never| match never {});
                if let Some(stream) = takeover::take(&method, &mut response) {
                    *taken.lock() = Some(stream);
                    // The socket is taken from HTTP before this could be answered.
                    std::future::pending::<()>().await;
                }
                if connection.ends_after_answer() {
                    response
                        .headers_mut()
                        .insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                connection.end_request();
                Ok::<_, Infallible>(response)
            }
        }
    });
    let mut serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.connections.idle)
        .max_buf_size(BUFFER)
        .serve_connection(io, service);
    let mut graceful = false;
    let (head, stream) = loop {
        let outcome = poll_fn(|context| match Pin::new(&mut serving).poll(context) {
            Poll::Ready(ended) => Poll::Ready(Outcome::Ended(ended)),
            // The answers to earlier requests have to be written first.
            Poll::Pending if connection.is_blocked() => Poll::Pending,
            Poll::Pending => match taken.lock().take() {
                Some((head, stream)) => Poll::Ready(Outcome::Taken(head, stream)),
                None => Poll::Pending,
            },
        });
        tokio::select! {
            outcome = outcome => match outcome {
                Outcome::Taken(head, stream) => break (head, stream),
                Outcome::Ended(Ok(())) if connection.has_unread_body() => {
                    let socket = serving.into_parts().io.into_inner();
                    return linger(socket, &connection).await;
                }
                Outcome::Ended(Ok(())) => return,
                Outcome::Ended(Err(error)) => {
                    return tracing::debug!(%error, "a connection ended early");
                }
            },
            () = connection.cut.wait() => {
                if connection.is_reset() {
                    serving.into_parts().io.into_inner().reset();
                }
                return;
            }
            () = connection.leave.take() => {
                if connection.is_idle() {
                    return;
                }
                admitted.stay();
            }
            () = first.as_mut(), if !connection.has_asked() => if !connection.has_asked() {
                return tracing::debug!("the first request took too long");
            },
            () = tasks.ending.cancelled(), if !graceful => {
                graceful = true;
                Pin::new(&mut serving).graceful_shutdown();
            }
        }
    };
    admitted.become_stream();
    let parts = serving.into_parts();
    // Mostly empty. A slice would keep the whole buffer that the request was read into.
    let early = Bytes::copy_from_slice(&parts.read_buf);
    // A task of its own: this one is as large as what HTTP needs.
    let tasks = (&tasks.connections, &tasks.streams);
    stream.spawn(parts.io.into_inner(), head, early, connection, tasks);
}

/// Reads what a client still sends after its last answer, so that the client reads that answer.
async fn linger<S: AsyncRead + Unpin>(mut socket: S, connection: &Connection) {
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
        () = connection.leave.wait() => {}
    }
}
