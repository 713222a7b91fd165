//! Answers that are not a success.

use axum::Json;
use axum::response::{IntoResponse, Response};
use grantex_core::log::Damage;
use grantex_core::{Error, StoreError};
use grantex_types::{ErrorBody, ErrorCode, EventId};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::request_id::RequestId;

/// When a client is to come back after a shutdown, in seconds: the next process listens by then.
const COME_BACK: u64 = 1;

/// What a handler returns.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// An error that is answered to the client. The outermost layer adds the `requestId`.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
    oldest: Option<EventId>,
    damage: Option<Box<Damage>>,
    retry_after_seconds: Option<u64>,
}

impl ApiError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            oldest: None,
            damage: None,
            retry_after_seconds: None,
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(ErrorCode::NotFound, format!("{what} not found"))
    }

    pub(crate) fn no_such_path(path: &str) -> Self {
        let hint = if path.starts_with("/v1/v1/") {
            "unknown path: the base URL must not end in /v1, which the client adds"
        } else {
            "unknown path"
        };
        Self::new(ErrorCode::NotFound, hint)
    }

    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unauthorized, message)
    }

    /// What a request is refused with once the service shuts down.
    pub(crate) fn shutting_down() -> Self {
        Self::new(ErrorCode::Unavailable, "the service is shutting down; try again")
            .retry_after(COME_BACK)
    }

    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed because of a defect of the service");
        Self::new(
            ErrorCode::InternalError,
            "the service failed; its log has the reason under this request id",
        )
    }

    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The headers of the answer.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == ErrorCode::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        headers
    }

    /// The complete answer, with its body.
    pub(crate) fn respond(self, request_id: &RequestId) -> Response {
        let (status, headers) = (self.status(), self.headers());
        let body = ErrorBody {
            message: self.message,
            code: self.code,
            request_id: request_id.to_string(),
            oldest_event_id: self.oldest,
            resume_after: self.damage.as_ref().and_then(|damage| damage.resume_after),
            resume_before: self.damage.as_ref().and_then(|damage| damage.resume_before),
        };
        let mut response = (status, Json(body)).into_response();
        response.headers_mut().extend(headers);
        response
    }
}

impl IntoResponse for ApiError {
    /// An answer without its body. The outermost layer finds the error in the extensions and
    /// completes the answer with the request's id.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused { code, message, oldest } => Self { oldest, ..Self::new(code, message) },
            Error::Store(StoreError::Unavailable(detail)) => {
                tracing::warn!(%detail, "a request failed because the store is unavailable");
                Self::new(
                    ErrorCode::Unavailable,
                    "the service is unavailable; nothing was changed, try again",
                )
                .retry_after(1)
            }
            Error::Store(StoreError::Overloaded) => Self::new(
                ErrorCode::Unavailable,
                "the service is overloaded; nothing was changed, try again",
            )
            .retry_after(1),
            Error::Store(StoreError::Conflict { .. }) => Self::new(
                ErrorCode::Unavailable,
                "the request conflicted with a concurrent change; nothing was changed, try again",
            )
            .retry_after(1),
            // Logged once, where the damage was found.
            Error::Store(StoreError::Damaged(damage)) => {
                let mut ways = Vec::new();
                ways.extend(damage.resume_before.map(|id| format!("before {id} (`resumeBefore`)")));
                ways.extend(damage.resume_after.map(|id| format!("after {id} (`resumeAfter`)")));
                let pass_over = match ways.join(" or ") {
                    none if none.is_empty() => none,
                    ways => format!(", or skip the damaged events: read on {ways}"),
                };
                let message = format!(
                    "{damage}; ask the operator to restore the log from a backup{pass_over}"
                );
                Self {
                    damage: Some(Box::new(damage)),
                    ..Self::new(ErrorCode::EventDamaged, message)
                }
            }
            Error::Store(error @ StoreError::Internal(_)) => Self::internal(&error),
        }
    }
}
