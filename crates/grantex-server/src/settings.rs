//! The operator's settings, with defaults that suit one machine.

use std::time::Duration;

use grantex_core::store::MOST_QUEUED;
use grantex_core::usecase::maintenance::Retention;
use grantex_core::usecase::quotas::Quotas;
use grantex_types::Lifetime;

/// Notices of commits in this process are not lost, so a shorter period would only cost queries: in
/// each period, one for each row that is used and one for each developer with streams.
const MEMORY_PERIOD: Duration = Duration::from_secs(15);

/// The service's settings.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent switch of the operator's"
)]
pub struct Settings {
    /// The base of every URL that the service gives out, and the issuer of tokens. Never taken from
    /// a request's Host header, which the client chooses.
    pub public_base: String,
    /// Whether signup is open.
    pub signup: bool,
    /// Whether consent can also be given through the public JSON routes, besides the page.
    pub public_consent_api: bool,
    /// How many delegations a chain may have, 1 to 10.
    pub delegation_depth: u8,
    /// The longest lifetime of a grant token: a leaked token works no longer than this, and a
    /// signing key that was replaced leaves the key set after it.
    pub token_lifetime: Lifetime,
    /// Browsers' origins that may call the API; `*` for any.
    pub cors_origins: Vec<String>,
    /// Whether `/metrics` is served on the main address, to every client that reaches it.
    pub serve_metrics: bool,
    /// Whether the client's address is the last one in `X-Forwarded-For`: only behind a proxy
    /// that sets it.
    pub trust_forwarded_for: bool,
    /// How long browsers that used TLS have to use TLS only (`Strict-Transport-Security`); zero
    /// sends no such header.
    pub hsts: Duration,
    /// The rate limits.
    pub rates: Rates,
    /// The limits on what requests share.
    pub requests: RequestSettings,
    /// The limits on connections.
    pub connections: ConnectionSettings,
    /// Half of the age that copies in memory reach at most: rows, the key set, and what streams
    /// know of their keys and of their log's head.
    pub memory_period: Duration,
    /// How much of each log is kept.
    pub retention: Retention,
    /// How long ended objects are kept: requests that became grants, grants, their tokens and
    /// debits, revoked keys. `None` for ever.
    pub history_age: Option<Lifetime>,
    /// How much one developer may have.
    pub quotas: Quotas,
    /// The streams' settings.
    pub streams: StreamSettings,
}

/// A rate limit: a burst after a pause, then a rate.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Times per second; 0 switches the limit off.
    pub per_second: f64,
    /// Times at once.
    pub burst: u32,
}

impl Rate {
    /// A rate per minute, with a minute's worth as the burst.
    pub fn a_minute(count: u32) -> Self {
        Self { per_second: f64::from(count) / 60.0, burst: count }
    }
}

/// The rate limits.
#[derive(Debug, Clone)]
pub struct Rates {
    /// Requests of one developer, with whichever of their keys.
    pub developer: Rate,
    /// Requests with one API key, as an additional limit: one of a developer's programs then leaves
    /// room for the others.
    pub key: Rate,
    /// Requests without an API key from one address. An IPv6 network of 64 bits counts as one.
    pub address: Rate,
    /// Streams opened with one ticket: a page's reconnections fit, and they take nothing from the
    /// developer's own requests.
    pub ticket: Rate,
    /// Developers that may sign up from one address: each takes rows that stay, and is a tenant of
    /// its own for all limits by tenant.
    pub signup_address: Rate,
    /// Developers that may sign up in all.
    pub signup: Rate,
}

impl Rates {
    /// No limit at all.
    pub fn off() -> Self {
        let off = Rate { per_second: 0.0, burst: 0 };
        Self {
            developer: off,
            key: off,
            address: off,
            ticket: off,
            signup_address: off,
            signup: off,
        }
    }
}

impl Default for Rates {
    fn default() -> Self {
        let requests = Rate { per_second: 1000.0, burst: 5000 };
        Self {
            developer: requests,
            key: Rate { per_second: 0.0, burst: requests.burst },
            address: requests,
            ticket: Rate { per_second: 10.0, burst: 100 },
            signup_address: Rate { per_second: 1.0, burst: 100 },
            signup: Rate::a_minute(600),
        }
    }
}

/// A limit where 0 means that there is none.
pub(crate) fn unless_off(most: usize) -> usize {
    if most == 0 { usize::MAX } else { most }
}

/// The limits on what requests share.
#[derive(Debug, Clone)]
pub struct RequestSettings {
    /// Requests of one developer that are handled at once: an eighth of what the writer's queue
    /// holds, so that one tenant's burst leaves room for the others'. 0 for no limit.
    pub most_at_once: usize,
    /// Memory for the bodies of all requests together; 0 for no limit.
    pub body_bytes: usize,
    /// How long a client may take to send a body.
    pub body_timeout: Duration,
}

impl Default for RequestSettings {
    fn default() -> Self {
        Self {
            most_at_once: MOST_QUEUED / 8,
            body_bytes: 64 << 20,
            body_timeout: Duration::from_secs(10),
        }
    }
}

/// The limits on connections.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    /// Connections in all, streams among them; 0 for no limit. The process's limit of open files
    /// bounds them too.
    pub most: usize,
    /// Connections from one address that have had no request with an API key; 0 for no limit.
    pub most_per_address: usize,
    /// How long a client may take to send the head of its first request, a TLS handshake included.
    pub first_request: Duration,
    /// How long a connection may be idle between two requests, including the head of the next one:
    /// clients keep idle connections for about a minute.
    pub idle: Duration,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            most: 32_768,
            most_per_address: 1024,
            first_request: Duration::from_secs(10),
            idle: Duration::from_secs(75),
        }
    }
}

/// The settings of streams.
#[derive(Debug, Clone)]
pub struct StreamSettings {
    /// How long an SSE stream may be silent. Clients take 5 s of silence for a dead connection.
    pub keep_alive: Duration,
    /// The time without an event after which a WebSocket is pinged.
    pub ping: Duration,
    /// How long a client may accept no bytes before its connection is closed.
    pub stall_timeout: Duration,
    /// Streams that one developer may have open. It bounds the sockets and the memory that one
    /// tenant takes. 0 for no limit.
    pub most_per_developer: usize,
    /// How many of these tickets may have opened. The rest is reserved for API keys. Three
    /// quarters, unless set.
    pub most_by_tickets: Option<usize>,
    /// Streams that one ticket may have open: more than the pages of one person.
    pub most_per_ticket: usize,
    /// Streams that may be open in all; 0 for no limit. The remaining connections are for requests.
    pub most: usize,
    /// Bytes that all tails together may hold.
    pub tail_bytes: usize,
    /// The longest time that a shutdown takes, below the 10 s that container runtimes wait. The
    /// ends of open streams are spread over most of it, so that their clients do not all reconnect
    /// at once.
    pub drain: Duration,
}

impl StreamSettings {
    /// Streams of one developer that tickets may have opened.
    pub(crate) fn most_by_tickets(&self) -> usize {
        let all = self.most_per_developer;
        let three_quarters = || all.saturating_sub(all.checked_div(4).unwrap_or(0));
        self.most_by_tickets.unwrap_or_else(three_quarters)
    }
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(4),
            ping: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(30),
            most_per_developer: 10_000,
            most: 28_672,
            most_by_tickets: None,
            most_per_ticket: 32,
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
            token_lifetime: Lifetime::from_seconds(24 * 3600),
            cors_origins: Vec::new(),
            serve_metrics: false,
            trust_forwarded_for: false,
            hsts: Duration::from_secs(365 * 24 * 3600),
            rates: Rates::default(),
            requests: RequestSettings::default(),
            connections: ConnectionSettings::default(),
            memory_period: MEMORY_PERIOD,
            retention: Retention { age: Lifetime::from_seconds(30 * 24 * 3600), count: 1_000_000 },
            history_age: None,
            quotas: Quotas::default(),
            streams: StreamSettings::default(),
        }
    }
}
