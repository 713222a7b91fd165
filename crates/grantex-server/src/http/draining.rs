//! Requests that come while the service ends: over connections that were accepted before.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use grantex_types::ErrorCode;

use super::connection::Connection;
use super::error::ApiError;
use crate::App;

/// When a client should come back, in seconds: to the next process, which listens by then.
const COME_BACK: u64 = 1;
/// What tells whether the service ends has to be answered until it has ended.
const HEALTH: [&str; 3] = ["/health", "/healthz", "/readyz"];
const STREAMS: [&str; 2] = ["/v1/events/stream", "/v1/events/ws"];

/// Refuses what comes from the shutdown on.
pub(crate) async fn refuse(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if !app.shutdown.is_cancelled() || HEALTH.contains(&route) {
        return next.run(request).await;
    }
    let connection = request.extensions().get::<Arc<Connection>>();
    match connection.filter(|_| STREAMS.contains(&route)) {
        Some(connection) => connection.reset().await,
        None => unavailable().into_response(),
    }
}

/// What a request is refused with that may come again, to the next process.
pub(crate) fn unavailable() -> ApiError {
    ApiError::new(ErrorCode::Unavailable, "the service is shutting down; try again")
        .retry_after(COME_BACK)
}
