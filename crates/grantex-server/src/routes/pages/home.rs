//! What a browser shows at the service's base URL.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, header};

use super::layout::{STYLE, page, wants_html};
use crate::app::App;
use crate::http::error::ApiError;
use crate::http::origin::public_path;

#[derive(Template)]
#[template(path = "home.html")]
struct Home<'a> {
    /// The path under which the service is reached.
    base: &'a str,
    version: &'static str,
    serves_metrics: bool,
    style: &'static str,
}

/// A page for browsers; for everyone else a path that does not exist, as any other.
pub(super) async fn show(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let mut response = if wants_html(&headers) {
        let home = Home {
            base: public_path(&app.settings.public_base),
            version: env!("CARGO_PKG_VERSION"),
            serves_metrics: app.settings.serve_metrics,
            style: STYLE,
        };
        page(&home, None)
    } else {
        ApiError::no_such_path("/").into_response()
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}
