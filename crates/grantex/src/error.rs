//! Errors.

use std::time::Duration;

use crate::text::{explained, redacted};
use crate::trust;

/// Why a call or a stream failed.
///
/// ```no_run
/// # async fn example(client: grantex::Client) -> Result<(), grantex::Error> {
/// match client.grants().get("grnt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA").await {
///     Err(error) if error.kind() == grantex::ErrorKind::NotFound => println!("there is no such grant"),
///     other => println!("{}", other?.grant_id),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The service answered with an error.
    #[error(transparent)]
    Api(Box<ApiError>),
    /// The connection could not be opened, or it broke.
    #[error("{0}")]
    Connection(String),
    /// The service sent nothing in time.
    #[error("the service sent nothing within {0:?}")]
    Timeout(Duration),
    /// The answer is not one that this service sends.
    #[error("not an answer of Grantex: {0}; is the base URL right?")]
    Protocol(String),
    /// A 204 ended the stream: the server asked clients not to reconnect.
    #[error(
        "the stream ended with status 204, by which a server asks clients not to reconnect; this service never sends it: is the base URL right, or does a proxy answer?"
    )]
    Ended,
    /// A token is not valid, and must not be accepted; the text says why.
    #[error("the token is not valid: {0}")]
    InvalidToken(String),
    /// A setting of the client or an argument of a call is invalid.
    #[error("{0}")]
    Configuration(String),
    /// The key callback failed.
    #[error("the key callback failed: {0}")]
    KeyCallback(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// An [`Error`] by what the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// 400: change the request.
    BadRequest,
    /// 401: get a working API key.
    Unauthorized,
    /// 402: the budget does not cover the amount; nothing was debited.
    InsufficientBudget,
    /// 403: the caller is not allowed to do this.
    Forbidden,
    /// 404: it does not exist, or it belongs to another developer.
    NotFound,
    /// 409: the request conflicts with the current state.
    Conflict,
    /// 410: it has ended; for a stream: the log no longer reaches back to the cursor.
    Gone,
    /// 429: wait as long as [`ApiError::retry_after`] says.
    RateLimited,
    /// 5xx: the service failed.
    Server,
    /// Any other status.
    Api,
    /// [`Error::Connection`]
    Connection,
    /// [`Error::Timeout`]
    Timeout,
    /// [`Error::Protocol`]
    Protocol,
    /// [`Error::Ended`]
    Ended,
    /// [`Error::InvalidToken`]
    InvalidToken,
    /// [`Error::Configuration`] or [`Error::KeyCallback`]
    Configuration,
}

/// An error answer of the service.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// The stable code, such as `NOT_FOUND`; `None` where the answer is not the service's own.
    pub code: Option<String>,
    /// What is wrong and what to do about it, as the service says it.
    pub message: String,
    /// Identifies the request in the service's log.
    pub request_id: Option<String>,
    /// How long the service asks to wait.
    pub retry_after: Option<Duration>,
    /// With 410 on a stream: the oldest event that is still there.
    pub oldest_event_id: Option<String>,
    /// With `EVENT_DAMAGED`: the event after which to continue, past the damage, if there is one.
    pub resume_after: Option<String>,
    /// With `EVENT_DAMAGED` in a history with the newest first: the event before which to continue,
    /// if there is one.
    pub resume_before: Option<String>,
    pub(crate) hint: Option<&'static str>,
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}", self.message, self.status)?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        if let Some(id) = &self.request_id {
            write!(f, ", request {id}")?;
        }
        f.write_str("]")?;
        if let Some(oldest) = &self.oldest_event_id {
            write!(f, " (the oldest event still there is {oldest})")?;
        }
        self.hint.map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for ApiError {}

impl ApiError {
    /// The status as a kind.
    pub const fn kind(&self) -> ErrorKind {
        match self.status {
            400 => ErrorKind::BadRequest,
            401 => ErrorKind::Unauthorized,
            402 => ErrorKind::InsufficientBudget,
            403 => ErrorKind::Forbidden,
            404 => ErrorKind::NotFound,
            409 => ErrorKind::Conflict,
            410 => ErrorKind::Gone,
            429 => ErrorKind::RateLimited,
            500..=599 => ErrorKind::Server,
            _ => ErrorKind::Api,
        }
    }

    /// Whether the same request may succeed later: 408, 409 unless the service said that it is
    /// final, 429, 5xx except for a damaged event, which stays damaged.
    pub(crate) fn may_pass(&self) -> bool {
        match self.status {
            408 | 429 => true,
            500..=599 => self.code.as_deref() != Some("EVENT_DAMAGED"),
            409 => !matches!(self.code.as_deref(), Some("CONFLICT" | "GRANT_INACTIVE")),
            _ => false,
        }
    }

    /// Whether the answer says that the request had no effect.
    pub(crate) fn did_nothing(&self) -> bool {
        self.status == 429 || (self.status == 503 && self.code.as_deref() == Some("UNAVAILABLE"))
    }

    /// Adds what to do about a stream that ended with this.
    pub(crate) fn of_a_stream(mut self) -> Self {
        self.hint = match self.status {
            401 => Some(
                "a stream needs a working API key; a client with a key callback renews it by itself",
            ),
            410 => Some("events may be missing: read the current state, then start again"),
            _ => None,
        };
        self
    }
}

impl Error {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Api(error) => error.kind(),
            Self::Connection(_) => ErrorKind::Connection,
            Self::Timeout(_) => ErrorKind::Timeout,
            Self::Protocol(_) => ErrorKind::Protocol,
            Self::Ended => ErrorKind::Ended,
            Self::InvalidToken(_) => ErrorKind::InvalidToken,
            Self::Configuration(_) | Self::KeyCallback(_) => ErrorKind::Configuration,
        }
    }

    /// The service's answer, if it gave one.
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) => Some(error),
            _ => None,
        }
    }

    /// A failure below HTTP, in one sentence: the innermost cause. A proxy that the SDK cannot use
    /// is an error of the environment, which a retry does not correct.
    pub(crate) fn connection(base: &str, error: reqwest::Error) -> Self {
        // The URL has the query; a cause may have a proxy's URL with a password.
        let error = error.without_url();
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            reason = inner.to_string();
            source = inner.source();
        }
        if reason.contains("unsupported scheme socks") {
            let variable = socks_variable(base, |name| std::env::var(name).ok());
            let variable = variable.unwrap_or("the environment");
            return Self::Configuration(format!(
                "{variable} names a SOCKS proxy, which this SDK cannot use: name an HTTP proxy there, or list the \
                 service's host in NO_PROXY"
            ));
        }
        let hint = other_scheme(base, &reason)
            .or_else(|| trust::file_error().filter(|_| reason.contains("certificate")))
            .unwrap_or_else(|| "is the service running, and is the base URL right?".into());
        Self::Connection(format!(
            "the connection to {base} failed: {}; {hint}",
            redacted(&explained(&reason))
        ))
    }
}

/// What to do where a connection failed because the base URL has the other scheme. The reasons are
/// those of the HTTP client: an answer in TLS is no HTTP, and one in HTTP is no TLS.
fn other_scheme(base: &str, reason: &str) -> Option<String> {
    let (is, to, url) = match base.split_once("://")? {
        ("http", rest) if reason.contains("invalid HTTP version") => {
            ("with something that is not HTTP", "speaks TLS", format!("https://{rest}"))
        }
        ("https", rest) if reason.contains("InvalidContentType") => {
            ("without TLS", "does not speak TLS", format!("http://{rest}"))
        }
        _ => return None,
    };
    Some(format!("the server answered {is}: if it {to}, use {url}"))
}

/// The environment variable that names a SOCKS proxy for this base URL, in the HTTP client's order.
fn socks_variable(
    base: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Option<&'static str> {
    let own = if base.starts_with("https") {
        ["HTTPS_PROXY", "https_proxy"]
    } else {
        ["HTTP_PROXY", "http_proxy"]
    };
    let names_socks =
        |value: String| value.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("socks"));
    own.into_iter()
        .chain(["ALL_PROXY", "all_proxy"])
        .find(|name| environment(name).is_some_and(names_socks))
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        Self::Api(Box::new(error))
    }
}
