//! What an operator can set, with the defaults that suit one machine.

use std::time::Duration;

use grantex_core::usecase::maintenance::Retention;
use grantex_types::Lifetime;

/// The service's settings.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent switch of the operator's")]
pub struct Settings {
    /// The base of every URL that the service gives out, and the tokens' issuer. Never taken from
    /// a request's Host header, which a caller can choose.
    pub public_base: String,
    /// Whether anybody may sign up.
    pub signup: bool,
    /// Whether consent can be given through the public JSON door besides the page.
    pub public_consent_api: bool,
    /// How often a grant can be delegated in a row, 1 to 10.
    pub delegation_depth: u8,
    /// Browsers' origins that may call the API; `*` for any.
    pub cors_origins: Vec<String>,
    /// Whether `/metrics` is served on the main address.
    pub serve_metrics: bool,
    /// Whether the client's address is the last one in `X-Forwarded-For`: only behind a proxy
    /// that sets it.
    pub trust_forwarded_for: bool,
    /// Requests a second for one API key, and for one address on public routes; 0 switches off.
    pub rate_per_second: u32,
    /// Requests that may come at once after a pause.
    pub rate_burst: u32,
    /// How long a client may take to send a request's head, and how long a connection may be idle
    /// between two requests: clients keep theirs for about a minute.
    pub head_timeout: Duration,
    /// How much of each log is kept.
    pub retention: Retention,
    /// The streams' settings.
    pub streams: StreamSettings,
}

/// What concerns streams.
#[derive(Debug, Clone)]
pub struct StreamSettings {
    /// How long an SSE stream may be silent. Clients take 5 s of silence for a dead connection.
    pub keep_alive: Duration,
    /// After how long without an event a WebSocket is pinged.
    pub ping: Duration,
    /// How long a reader may refuse to take bytes before it is cut.
    pub stall_timeout: Duration,
    /// Streams that one developer may have open: a bound on what one tenant can take of the
    /// sockets and the memory that all share.
    pub most_per_developer: usize,
    /// Bytes that all tails together may hold.
    pub tail_bytes: usize,
    /// Over how long open streams are ended at shutdown, so that their clients do not all
    /// reconnect at once.
    pub drain: Duration,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(4),
            ping: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(30),
            most_per_developer: 10_000,
            tail_bytes: 64 << 20,
            drain: Duration::from_secs(5),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            public_base: "http://127.0.0.1:8080".into(),
            signup: true,
            public_consent_api: true,
            delegation_depth: 3,
            cors_origins: Vec::new(),
            serve_metrics: true,
            trust_forwarded_for: false,
            rate_per_second: 1000,
            rate_burst: 5000,
            head_timeout: Duration::from_secs(75),
            retention: Retention { age: Lifetime::from_seconds(30 * 24 * 3600), count: 1_000_000 },
            streams: StreamSettings::default(),
        }
    }
}
