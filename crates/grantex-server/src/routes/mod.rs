//! The routes, by resource. A handler extracts, calls one use case, and responds.

mod agents;
mod api;
mod audit;
mod authorization;
mod budgets;
mod developers;
mod documents;
mod events;
mod filter_query;
mod grants;
mod history;
pub(crate) mod openapi;
mod operations;
mod pages;
mod principals;
mod scopes;
mod tokens;

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use grantex_types::ErrorCode;
use http::{HeaderName, HeaderValue, Method, Uri, header};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::app::App;
use crate::http::error::ApiError;
use crate::http::origin::allowed_origin;
use crate::request::draining;
use crate::request::observe::observe;

/// How long browsers may remember what CORS allows, in seconds.
const CORS_MAX_AGE: u64 = 3600;

/// The whole service as a router.
pub fn router(app: &Arc<App>) -> Router {
    let (router, _) = api::router().split_for_parts();
    let mut router =
        router.merge(pages::router()).merge(documents::router()).merge(operations::plain_router());
    if app.settings.serve_metrics {
        router = router.merge(operations::metrics_router());
    }
    router
        .fallback(async |path: Uri| ApiError::no_such_path(path.path()))
        .method_not_allowed_fallback(async || {
            ApiError::new(ErrorCode::MethodNotAllowed, "this path does not support this method")
        })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(app), draining::refuse))
        .layer(from_fn(pages::show_errors))
        .layer(cors(&app.settings.cors_origins))
        .layer(from_fn_with_state(Arc::clone(app), observe))
        .with_state(Arc::clone(app))
}

/// Only `/metrics`, for an address of its own.
pub(crate) fn metrics_router(app: &Arc<App>) -> Router {
    operations::metrics_router().with_state(Arc::clone(app))
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that the layer asks for")]
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    ApiError::internal(&format!("a handler panicked: {text}")).into_response()
}

fn cors(origins: &[String]) -> CorsLayer {
    let origin = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        let sent = origins.iter().filter_map(|origin| allowed_origin(origin).ok());
        AllowOrigin::list(sent.filter_map(|origin| HeaderValue::from_str(&origin).ok()))
    };
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::CONTENT_TYPE,
            header::AUTHORIZATION,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers(
            [
                "x-request-id",
                "retry-after",
                "x-ratelimit-limit",
                "x-ratelimit-remaining",
                "x-ratelimit-reset",
            ]
            .map(HeaderName::from_static),
        )
        .max_age(std::time::Duration::from_secs(CORS_MAX_AGE))
}
