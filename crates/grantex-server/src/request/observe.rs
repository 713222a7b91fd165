//! The outermost layer: request ids, the access log, HTTP metrics, security headers, and the
//! bodies of errors.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use grantex_core::env::Rng as _;
use grantex_types::ErrorCode;
use http::{HeaderName, HeaderValue, Method, header};

use crate::app::App;
use crate::crypto::SystemRng;
use crate::http::account::Account;
use crate::http::error::ApiError;
use crate::http::host;
use crate::http::request_id::RequestId;
use crate::net::connection::Connection;
use crate::net::connections::Admitted;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Surrounds every request. The path is logged as its route, never with its query, which may hold
/// tickets, consent links and session tokens.
pub(crate) async fn observe(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = RequestId::new(app.clock.now().millis(), SystemRng.bits());
    let account = Account::default();
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(account.clone());
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched".into(), |path| path.as_str().to_owned());

    let from = request.extensions().get::<Admitted>().map(|from| Arc::clone(from.connection()));

    let span = tracing::info_span!("request", id = %id);
    let mut response = match admit(&request, from.as_deref()) {
        Ok(()) => tracing::Instrument::instrument(next.run(request), span).await,
        Err(error) => error.into_response(),
    };
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        let headers = std::mem::take(response.headers_mut());
        response = error.respond(&id);
        for (name, value) in headers {
            // The error's own headers win over those that other layers added.
            if let Some(name) = name
                && !response.headers().contains_key(&name)
                && name != header::CONTENT_LENGTH
                && name != header::CONTENT_TYPE
            {
                response.headers_mut().insert(name, value);
            }
        }
    }
    account.write_headers(response.headers_mut());
    finish_headers(&mut response, &id);
    let hsts = app.settings.hsts.as_secs();
    if from.is_some_and(|from| from.is_secure)
        && hsts > 0
        && let Ok(value) = HeaderValue::from_str(&format!("max-age={hsts}"))
    {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, value);
    }

    let status = response.status().as_u16();
    let seconds = started.elapsed().as_secs_f64();
    let labels = [
        ("method", method_label(&method)),
        ("route", route.clone()),
        ("status", status.to_string()),
    ];
    metrics::histogram!("grantex_http_request_seconds", &labels).record(seconds);
    if status >= 500 {
        tracing::warn!(%id, %method, route, status, seconds, "request failed");
    } else {
        tracing::info!(%id, %method, route, status, seconds, "request");
    }
    response
}

/// Refuses a request before anything else handles it. Its connection ends with the answer.
fn admit(request: &Request, from: Option<&Connection>) -> Result<(), ApiError> {
    let checked = host::check(request.version(), request.headers());
    if let (Err(_), Some(from)) = (&checked, from) {
        from.end_after_answer();
    }
    checked?;
    let is_health = matches!(request.uri().path(), "/healthz" | "/readyz" | "/health" | "/metrics");
    if from.is_some_and(|from| from.is_spare) && !is_health {
        let message = "the service has its maximum of connections; try again";
        return Err(ApiError::new(ErrorCode::Unavailable, message).retry_after(1));
    }
    Ok(())
}

fn method_label(method: &Method) -> String {
    // A client can invent methods; a metric must not grow with them.
    match *method {
        Method::GET
        | Method::POST
        | Method::PATCH
        | Method::DELETE
        | Method::HEAD
        | Method::OPTIONS => method.to_string(),
        _ => "other".into(),
    }
}

fn finish_headers(response: &mut Response, id: &RequestId) {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        headers.insert(X_REQUEST_ID, value);
    }
    let mut default = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    default(header::CACHE_CONTROL, "no-store");
    default(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    default(header::X_FRAME_OPTIONS, "DENY");
    default(header::REFERRER_POLICY, "no-referrer");
    default(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
}
