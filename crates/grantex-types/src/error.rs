//! The error body and its stable codes.

use serde::{Deserialize, Serialize};

use crate::EventId;

/// What went wrong, for programs. The meaning of a code is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ErrorCode {
    /// 400: the request is malformed or asks for what cannot be.
    BadRequest,
    /// 401: no API key, or one that is unknown or revoked.
    Unauthorized,
    /// 402: the budget has less left than the amount; nothing was debited.
    InsufficientBudget,
    /// 403: the caller may not do this.
    Forbidden,
    /// 403: only the principal can give this consent.
    ConsentRequired,
    /// 403: the chain of delegations has its maximum length.
    DelegationDepthExceeded,
    /// 403: the operator of the service has suspended the developer, until they resume it.
    DeveloperSuspended,
    /// 403: the developer has the maximum that the operator allows; remove some, or ask the
    /// operator for more.
    QuotaExceeded,
    /// 404: there is no such object, or it belongs to another developer.
    NotFound,
    /// 405: the path exists, the method does not.
    MethodNotAllowed,
    /// 409: it already exists, or the idempotency key was used with another body.
    Conflict,
    /// 409: the grant is revoked or expired.
    GrantInactive,
    /// 410: it existed and has ended.
    Gone,
    /// 410: the cursor is older than the retained events.
    EventsExpired,
    /// 410: the cursor is well-formed, but not an event of this log.
    EventUnknown,
    /// 413: the body is larger than allowed.
    PayloadTooLarge,
    /// 415: the body is not JSON.
    UnsupportedMediaType,
    /// 429: too many requests; wait as `retry-after` says.
    RateLimited,
    /// 429: too many open streams.
    TooManyConnections,
    /// 500: the next event of the log is damaged; `resumeAfter` or `resumeBefore` leads past it.
    EventDamaged,
    /// 500: a defect of the service.
    InternalError,
    /// 503: the service is unavailable; nothing was changed.
    Unavailable,
}

impl ErrorCode {
    /// The HTTP status that goes with the code.
    ///
    /// ```
    /// assert_eq!(grantex_types::ErrorCode::InsufficientBudget.status(), 402);
    /// ```
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::InsufficientBudget => 402,
            Self::Forbidden
            | Self::ConsentRequired
            | Self::DelegationDepthExceeded
            | Self::DeveloperSuspended
            | Self::QuotaExceeded => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict | Self::GrantInactive => 409,
            Self::Gone | Self::EventsExpired | Self::EventUnknown => 410,
            Self::PayloadTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::RateLimited | Self::TooManyConnections => 429,
            Self::EventDamaged | Self::InternalError => 500,
            Self::Unavailable => 503,
        }
    }
}

/// The body of every error response.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// What is wrong and what to do about it, for people.
    pub message: String,
    /// The stable code, for programs.
    pub code: ErrorCode,
    /// The id of this response, also in the `x-request-id` header and in the service's log.
    pub request_id: String,
    /// With `EVENTS_EXPIRED` and `EVENT_UNKNOWN`: the oldest event still in the log, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub oldest_event_id: Option<EventId>,
    /// With `EVENT_DAMAGED`: the cursor that leads past the damaged events, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub resume_after: Option<EventId>,
    /// With `EVENT_DAMAGED` and newest first: the `before` that leads past the damaged events, if
    /// older events can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub resume_before: Option<EventId>,
}
