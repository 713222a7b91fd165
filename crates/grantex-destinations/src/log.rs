//! Where events come from: the log of a service, or one in memory.

use std::fmt;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use grantex::{Client, Error, ErrorKind, EventId, Progress, StreamOptions};
use serde::{Deserialize, Serialize};

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Only these types; all when empty.
    pub types: Vec<String>,
    /// Only events of this agent's grants.
    pub agent_id: Option<String>,
    /// Only events of grants that this principal gave.
    pub principal_id: Option<String>,
    /// Only events of this grant.
    pub grant_id: Option<String>,
}

/// Where to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With events from now on.
    Now,
    /// With events of this time (RFC 3339) or later.
    Since(String),
    /// Right after this event.
    After(EventId),
}

/// Why a log cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The position is no longer in the log: events may be missing.
    #[error("{0}")]
    Lost(String),
    /// The log never had the position: it was restored from an older copy, or it is another log.
    #[error("{0}")]
    Unknown(String),
    /// The service refuses: a key that was revoked, a filter that it does not know, an event that
    /// is damaged.
    #[error("{0}")]
    Refused(String),
    /// A temporary failure.
    #[error("{0}")]
    Broken(String),
}

/// A log of events in order.
pub trait EventLog: fmt::Debug + Send + Sync + 'static {
    /// The events after `start` that match the filter, then later ones; between them the position
    /// of the log. It reads no faster than it is polled, continues by itself after temporary
    /// failures, and ends only with an error.
    fn open(
        &self,
        filter: &Filter,
        start: &Start,
    ) -> BoxStream<'static, Result<Progress, LogError>>;

    /// What names the log in events that carry their source.
    fn source(&self) -> &str;
}

/// The log of a service.
#[derive(Debug, Clone)]
pub(crate) struct ServiceLog {
    pub(crate) client: Client,
    pub(crate) url: Arc<str>,
}

impl EventLog for ServiceLog {
    fn open(
        &self,
        filter: &Filter,
        start: &Start,
    ) -> BoxStream<'static, Result<Progress, LogError>> {
        let mut options =
            StreamOptions::new().event_types(&filter.types).on_reconnect(|reconnect| {
                // Only the first reconnection of an outage is logged.
                if let (1, Some(reason)) = (reconnect.attempt, &reconnect.reason) {
                    tracing::warn!(%reason, "the stream of events broke; reconnecting");
                }
            });
        if let Some(agent) = &filter.agent_id {
            options = options.agent_id(agent);
        }
        if let Some(principal) = &filter.principal_id {
            options = options.principal_id(principal);
        }
        if let Some(grant) = &filter.grant_id {
            options = options.grant_id(grant);
        }
        options = match start {
            Start::Now => options,
            Start::Since(time) => options.since(time),
            Start::After(id) => options.last_event_id(id),
        };
        self.client.events().stream(options).progress().map_err(|error| log_error(&error)).boxed()
    }

    fn source(&self) -> &str {
        &self.url
    }
}

fn log_error(error: &Error) -> LogError {
    let message = error.to_string();
    // It needs manual action, which may happen while the forwarder runs.
    if let Error::Api(api) = error
        && api.code.as_deref() == Some("EVENT_DAMAGED")
    {
        return LogError::Refused(message);
    }
    match error.kind() {
        ErrorKind::Gone => match error.api().and_then(|api| api.code.as_deref()) {
            Some("EVENT_UNKNOWN") => LogError::Unknown(message),
            _ => LogError::Lost(message),
        },
        ErrorKind::BadRequest
        | ErrorKind::Unauthorized
        | ErrorKind::Forbidden
        | ErrorKind::NotFound
        | ErrorKind::Configuration
        | ErrorKind::Ended => LogError::Refused(message),
        _ => LogError::Broken(message),
    }
}
