//! The documents of the API, as the service serves them.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use super::openapi;
use super::operations::document;
use crate::app::App;

/// The streams' document.
const ASYNCAPI: &str = include_str!("../../../../docs/asyncapi.yaml");

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/openapi.json", get(async || document(openapi::json(), "application/json")))
        .route("/asyncapi.yaml", get(async || document(ASYNCAPI, "application/yaml")))
}
