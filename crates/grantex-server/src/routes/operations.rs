//! Health, metrics, the key set, and the server's metadata.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json as Body, Router};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::http::error::{ApiError, ApiResult};
use crate::http::origin::public_path;

/// How far the clock may be behind the newest event before the service calls itself unready.
const CLOCK_LIMIT_MILLIS: u64 = 10_000;
/// How long writes may wait without any being finished before the service calls itself unready:
/// twice as long as a write waits for another process that has the database.
const STALL_LIMIT: Duration = Duration::from_secs(10);

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(jwks))
        .routes(routes!(discovery))
}

/// Routes that the OpenAPI document leaves out.
pub(super) fn plain_router() -> Router<Arc<App>> {
    Router::new()
        .route("/health", get(healthz))
        .route("/.well-known/oauth-authorization-server/{*path}", get(discovery_with_path))
}

pub(super) fn metrics_router() -> Router<Arc<App>> {
    Router::new().route("/metrics", get(metrics))
}

#[derive(Serialize, ToSchema)]
struct Health {
    /// `healthy`; `degraded` or `unavailable` with a reason.
    status: &'static str,
    /// The service's version.
    version: &'static str,
    /// The problems found, if any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

impl Health {
    fn new(status: &'static str, reasons: Vec<String>) -> Self {
        Self { status, version: env!("CARGO_PKG_VERSION"), reasons }
    }
}

/// Is the process alive
#[utoipa::path(get, path = "/healthz", tag = "Operations", security(()),
    responses((status = 200, description = "The process is alive", body = Health)))]
async fn healthz() -> Body<Health> {
    Body(Health::new("healthy", Vec::new()))
}

/// Is the service ready
///
/// 503 while the service shuts down, cannot write, has waiting writes but has finished none for 10
/// s, or has a clock more than 10 s behind its log. 200 with `degraded` after damaged events were
/// found: everything else works.
#[utoipa::path(get, path = "/readyz", tag = "Operations", security(()),
    responses((status = 200, description = "The service is \
        ready", body = Health), (status = 503, description = "The service is not \
        ready", body = Health)))]
async fn readyz(State(app): State<Arc<App>>) -> (StatusCode, Body<Health>) {
    let store = app.store.health();
    let mut reasons = Vec::new();
    if app.shutdown.is_cancelled() {
        reasons.push("shutting down".to_owned());
    }
    // Why stands in the log: anybody can read this, and the reason names paths.
    if store.write_error.is_some() {
        reasons.push("writes fail; the log has the reason".to_owned());
    }
    if store.stalled_for > STALL_LIMIT {
        let seconds = store.stalled_for.as_secs();
        reasons.push(format!("no write has finished for {seconds} s; the disk may be blocked"));
    }
    if store.clock_behind_millis > CLOCK_LIMIT_MILLIS {
        reasons
            .push(format!("the clock is {} ms behind the newest event", store.clock_behind_millis));
    }
    if !reasons.is_empty() {
        return (StatusCode::SERVICE_UNAVAILABLE, Body(Health::new("unavailable", reasons)));
    }
    if store.damaged_events == 0 {
        return (StatusCode::OK, Body(Health::new("healthy", reasons)));
    }
    let damage = format!("{} events are damaged; `grantex check` lists them", store.damaged_events);
    (StatusCode::OK, Body(Health::new("degraded", vec![damage])))
}

/// Public keys
///
/// The public keys that verify grant tokens, as a JSON Web Key Set: the current signing key, and
/// older ones while a token that they signed can still be valid.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "Operations", security(()),
    responses((status = 200, description = "The key set", body = Object)))]
async fn jwks(State(app): State<Arc<App>>) -> Response {
    document(&app.signing.published(), "application/json")
}

/// Server metadata
///
/// Authorization server metadata (RFC 8414), for the parts of OAuth 2.0 that this service
/// implements.
#[utoipa::path(get, path = "/.well-known/oauth-authorization-server", tag = "Operations", security(()),
    responses((status = 200, description = "The metadata", body = Object)))]
async fn discovery(State(app): State<Arc<App>>) -> Body<serde_json::Value> {
    let base = &app.settings.public_base;
    Body(serde_json::json!({
        "issuer": base,
        "jwks_uri": format!("{base}/.well-known/jwks.json"),
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "service_documentation": format!("{base}/openapi.json"),
    }))
}

/// RFC 8414, section 3.1: an issuer's path stands after the well-known one.
async fn discovery_with_path(
    State(app): State<Arc<App>>,
    Path(path): Path<String>,
) -> ApiResult<Body<serde_json::Value>> {
    if public_path(&app.settings.public_base).strip_prefix('/') == Some(path.as_str()) {
        Ok(discovery(State(app)).await)
    } else {
        Err(ApiError::not_found("route"))
    }
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let Some(prometheus) = &app.prometheus else { return StatusCode::NOT_FOUND.into_response() };
    let store = app.store.health();
    metrics::gauge!("grantex_clock_behind_seconds").set(seconds(store.clock_behind_millis));
    metrics::gauge!("grantex_write_failing").set(if store.write_error.is_some() {
        1.0
    } else {
        0.0
    });
    metrics::gauge!("grantex_commands_queued").set(gauge(store.queued));
    metrics::gauge!("grantex_body_bytes").set(gauge(app.memory.shares.body_bytes()));
    metrics::gauge!("grantex_wal_bytes")
        .set(gauge(usize::try_from(store.wal_bytes).unwrap_or(usize::MAX)));
    document(&prometheus.render(), "text/plain; version=0.0.4; charset=utf-8")
}

#[expect(clippy::cast_precision_loss, reason = "a gauge need not be exact")]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "a gauge need not be exact")]
fn gauge(count: usize) -> f64 {
    count as f64
}

/// An answer that is a text of this type.
pub(super) fn document(text: &str, content_type: &'static str) -> Response {
    let mut response = text.to_owned().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
