use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use grantex_types::api::events::TicketRequest;

use crate::Error;

type OpenHook = Arc<dyn Fn() + Send + Sync>;
type ReconnectHook = Arc<dyn Fn(&Reconnect) + Send + Sync>;

/// Which events to stream, and how.
///
/// ```
/// use std::time::Duration;
/// let options = grantex::StreamOptions::new()
///     .event_types(["grant.created", "grant.revoked"])
///     .since("2026-03-01T12:00:00Z")
///     .on_reconnect(|reconnect| eprintln!("again in {:?}: {:?}", reconnect.delay, reconnect.reason));
/// ```
#[derive(Clone)]
#[must_use]
pub struct StreamOptions {
    pub(crate) event_types: Vec<String>,
    pub(crate) since: Option<String>,
    pub(crate) last_event_id: Option<String>,
    pub(crate) agent_id: Option<String>,
    pub(crate) principal_id: Option<String>,
    pub(crate) grant_id: Option<String>,
    pub(crate) reconnect: bool,
    pub(crate) reconnect_delay: Duration,
    pub(crate) max_reconnect_delay: Duration,
    pub(crate) silence_timeout: Duration,
    pub(crate) max_event_bytes: usize,
    pub(crate) on_open: Option<OpenHook>,
    pub(crate) on_reconnect: Option<ReconnectHook>,
}

/// A stream has lost its connection and will reconnect.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reconnect {
    /// The number of this attempt since the last working connection, from 1.
    pub attempt: u32,
    /// The wait before it.
    pub delay: Duration,
    /// What ended the connection; `None` when the service ended it in order.
    pub reason: Option<Error>,
    /// The event after which it resumes.
    pub last_event_id: Option<String>,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            event_types: Vec::new(),
            since: None,
            last_event_id: None,
            agent_id: None,
            principal_id: None,
            grant_id: None,
            reconnect: true,
            reconnect_delay: Duration::from_secs(1),
            max_reconnect_delay: Duration::from_secs(30),
            silence_timeout: Duration::from_secs(15),
            max_event_bytes: 4 << 20,
            on_open: None,
            on_reconnect: None,
        }
    }
}

impl fmt::Debug for StreamOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamOptions")
            .field("event_types", &self.event_types)
            .field("since", &self.since)
            .field("last_event_id", &self.last_event_id)
            .finish_non_exhaustive()
    }
}

impl StreamOptions {
    /// All events from now on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only these types; all of them when empty.
    pub fn event_types<T: ToString>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.event_types = types.into_iter().map(|kind| kind.to_string()).collect();
        self
    }

    /// From this time on (RFC 3339, inclusive): first the history, then live.
    pub fn since(mut self, time: impl fmt::Display) -> Self {
        self.since = Some(time.to_string());
        self
    }

    /// Starts right after this event; takes precedence over `since`.
    pub fn last_event_id(mut self, id: impl fmt::Display) -> Self {
        self.last_event_id = Some(id.to_string().trim().to_owned());
        self
    }

    /// Only events of this agent's grants.
    pub fn agent_id(mut self, id: impl fmt::Display) -> Self {
        self.agent_id = Some(id.to_string());
        self
    }

    /// Only events of this principal's grants.
    pub fn principal_id(mut self, id: impl fmt::Display) -> Self {
        self.principal_id = Some(id.to_string());
        self
    }

    /// Only events of this grant.
    pub fn grant_id(mut self, id: impl fmt::Display) -> Self {
        self.grant_id = Some(id.to_string());
        self
    }

    /// Whether to reconnect; on unless given. Without it the stream ends with its connection: in
    /// order, or with the error that broke it.
    pub fn reconnect(mut self, reconnect: bool) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// The first reconnection waits a random part of this; the limit doubles with each further one
    /// in a row. 1 s unless given. The service's own `retry:` field replaces it.
    pub fn reconnect_delay(mut self, delay: Duration) -> Self {
        self.reconnect_delay = delay;
        self
    }

    /// The longest wait, unless the service asks for a longer one; 30 s unless given.
    pub fn max_reconnect_delay(mut self, delay: Duration) -> Self {
        self.max_reconnect_delay = delay;
        self
    }

    /// A connection that delivers nothing for this long is replaced; 15 s unless given. The service
    /// sends something at least every 5 s. Time in which the stream is not polled does not count.
    pub fn silence_timeout(mut self, timeout: Duration) -> Self {
        self.silence_timeout = timeout;
        self
    }

    /// The longest event that is accepted, in bytes; 4 MiB unless given. It bounds memory.
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.max_event_bytes = bytes;
        self
    }

    /// Called whenever a connection has been opened.
    pub fn on_open(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_open = Some(Arc::new(hook));
        self
    }

    /// Called before each reconnection.
    pub fn on_reconnect(mut self, hook: impl Fn(&Reconnect) + Send + Sync + 'static) -> Self {
        self.on_reconnect = Some(Arc::new(hook));
        self
    }
}

/// Which part of the history.
#[derive(Debug, Clone, Default)]
pub struct HistoryParams {
    /// Only these types; all of them when empty.
    pub event_types: Vec<String>,
    /// From this time on (RFC 3339, inclusive).
    pub since: Option<String>,
    /// Before this time (RFC 3339, exclusive).
    pub until: Option<String>,
    /// Only events of this agent's grants.
    pub agent_id: Option<String>,
    /// Only events of this principal's grants.
    pub principal_id: Option<String>,
    /// Only events of this grant.
    pub grant_id: Option<String>,
    /// How many events a page holds at most.
    pub limit: Option<u32>,
    /// Only what was committed after this event; takes precedence over `since`.
    pub after: Option<String>,
    /// Only what was committed before this event; takes precedence over `until`.
    pub before: Option<String>,
    /// Newest first. The `next_cursor` of a page is then the `before` of the next one.
    pub newest_first: bool,
}

/// What a ticket allows to stream, and how long it lasts.
#[derive(Debug, Clone, Default)]
pub struct TicketParams {
    /// `15m` unless given, at most `24h`.
    pub expires_in: Option<String>,
    /// Only these types; all of them when empty.
    pub event_types: Vec<grantex_types::EventType>,
    /// Only events of this agent's grants.
    pub agent_id: Option<String>,
    /// Only events of this principal's grants.
    pub principal_id: Option<String>,
    /// Only events of this grant.
    pub grant_id: Option<String>,
}

impl From<TicketParams> for TicketRequest {
    fn from(params: TicketParams) -> Self {
        Self {
            expires_in: params.expires_in,
            types: (!params.event_types.is_empty()).then_some(params.event_types),
            agent_id: params.agent_id,
            principal_id: params.principal_id,
            grant_id: params.grant_id,
        }
    }
}
