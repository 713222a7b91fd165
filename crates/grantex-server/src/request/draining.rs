//! Requests that arrive during the shutdown, over connections that were accepted before it.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::app::App;
use crate::http::error::ApiError;
use crate::net::connections::Admitted;

/// Health checks are answered until the service has ended.
const HEALTH: [&str; 3] = ["/health", "/healthz", "/readyz"];
const STREAMS: [&str; 2] = ["/v1/events/stream", "/v1/events/ws"];

/// Refuses requests that arrive after the shutdown began.
pub(crate) async fn refuse(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if !app.shutdown.is_cancelled() || HEALTH.contains(&route) {
        return next.run(request).await;
    }
    let admitted = request.extensions().get::<Admitted>();
    match admitted.filter(|_| STREAMS.contains(&route)) {
        Some(admitted) => admitted.connection().reset().await,
        None => ApiError::shutting_down().into_response(),
    }
}
