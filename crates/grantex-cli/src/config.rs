//! Options of the service: flags over environment over configuration file over defaults.

mod file;
#[cfg(test)]
mod sample;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use grantex_core::usecase::maintenance::Retention;
use grantex_server::{
    ConnectionSettings, NewKeys, Quotas, Rate, Rates, RequestSettings, Settings, StreamSettings,
    allowed_origin,
};
use grantex_store::sqlite::Loss;
use grantex_types::Lifetime;
use serde::Deserialize;

use crate::CommandError;
use crate::listen::Listen;
use crate::logging::LogFormat;

const DEFAULT_LISTEN: Listen =
    Listen::Address(SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080));
pub(crate) const DEFAULT_DATA_DIR: &str = "./grantex-data";
const DEFAULT_LOG: &str = "info";
/// The burst of one API key: as many seconds' worth as a developer's by default.
const KEY_BURST_SECONDS: u32 = 5;
/// A body takes a share, and what is free beside it has to be as much.
const LEAST_BODY_BYTES: usize = 4 << 20;
/// Clients take 5 s of silence for a dead connection; more often than ten times a second is a load.
const KEEP_ALIVE: std::ops::Range<Duration> = Duration::from_millis(100)..Duration::from_secs(5);
/// What a ticket may open at once: this many seconds of its rate.
const TICKET_BURST_SECONDS: u32 = 10;

/// Every option of the service. The configuration file (TOML) has the same names, with
/// underscores.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    /// Address or host name to listen on, with a port. Port 0 takes any free port. A name stands
    /// for every address that it resolves to [default: 127.0.0.1:8080]
    #[arg(long, env = "GRANTEX_LISTEN", value_name = "ADDRESS")]
    pub(crate) listen: Option<Listen>,
    /// Data directory; created if it does not exist [default: ./grantex-data]
    #[arg(long, env = "GRANTEX_DATA_DIR", value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Base of the service's public URLs, and the issuer of its tokens. It may have a path, which a
    /// proxy in front must strip [default: the address it listens on]
    #[arg(long, env = "GRANTEX_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// PEM file with the TLS certificate chain; reloaded on SIGHUP
    #[arg(long, env = "GRANTEX_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// PEM file with the TLS private key; reloaded on SIGHUP
    #[arg(long, env = "GRANTEX_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Whether signing up is allowed [default: true]
    #[arg(long, env = "GRANTEX_SIGNUP", value_name = "BOOL", value_parser = boolean)]
    signup: Option<bool>,
    /// Whether consent can be given through `/v1/consent/{id}` (JSON) as well as on the page
    /// [default: true]
    #[arg(long, env = "GRANTEX_CONSENT_API", value_name = "BOOL", value_parser = boolean)]
    consent_api: Option<bool>,
    /// How many times in a row a grant can be delegated, 1 to 10 [default: 3]
    #[arg(long, env = "GRANTEX_DELEGATION_DEPTH", value_name = "N", value_parser = clap::value_parser!(u8).range(1..=10))]
    delegation_depth: Option<u8>,
    /// Longest lifetime of a grant token; it can be refreshed until the grant ends [default: 24h]
    #[arg(long, env = "GRANTEX_TOKEN_LIFETIME", value_name = "DURATION", value_parser = lifetime)]
    token_lifetime: Option<Lifetime>,
    /// Origins of web pages that may call the API, separated by commas; `*` for any
    #[arg(long, env = "GRANTEX_CORS_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    cors_origins: Option<Vec<String>>,
    /// Whether the main address serves /metrics too, to every client that reaches it [default:
    /// false; dev: true]
    #[arg(long, env = "GRANTEX_METRICS", value_name = "BOOL", value_parser = boolean)]
    metrics: Option<bool>,
    /// Separate address that serves /metrics
    #[arg(long, env = "GRANTEX_METRICS_LISTEN", value_name = "ADDRESS")]
    pub(crate) metrics_listen: Option<Listen>,
    /// For how long browsers that connected with TLS use only TLS (the max-age of
    /// Strict-Transport-Security); 0s sends no such header [default: 365d]
    #[arg(long, env = "GRANTEX_HSTS", value_name = "DURATION", value_parser = whole_seconds)]
    #[serde(deserialize_with = "de_whole_seconds")]
    hsts: Option<Duration>,
    /// Whether client addresses are taken from X-Forwarded-For; use it only behind a proxy that
    /// sets the header [default: false]
    #[arg(long, env = "GRANTEX_TRUST_FORWARDED_FOR", value_name = "BOOL", value_parser = boolean)]
    trust_forwarded_for: Option<bool>,
    /// Requests per second for one developer, and for one address without a key. Every 4 KiB of a
    /// body after the first count as a further request. 0 for no limit [default: 1000]
    #[arg(long, env = "GRANTEX_RATE_LIMIT", value_name = "N")]
    rate_limit: Option<u32>,
    /// Size of a burst of requests, 1 or more [default: 5000]
    #[arg(long, env = "GRANTEX_RATE_BURST", value_name = "N")]
    rate_burst: Option<u32>,
    /// Requests per second for one API key, within those of its developer; a burst is five times as
    /// many. 0 for no limit [default: 0]
    #[arg(long, env = "GRANTEX_KEY_RATE_LIMIT", value_name = "N")]
    key_rate_limit: Option<u32>,
    /// Streams per second that one ticket may open; a burst is ten times as many. 0 for no limit
    /// [default: 10]
    #[arg(long, env = "GRANTEX_TICKET_RATE_LIMIT", value_name = "N")]
    ticket_rate_limit: Option<u32>,
    /// Signups per minute from one address; 0 for no limit [default: 60]
    #[arg(long, env = "GRANTEX_SIGNUP_RATE", value_name = "N")]
    signup_rate: Option<u32>,
    /// Size of a burst of signups from one address, 1 or more [default: 100]
    #[arg(long, env = "GRANTEX_SIGNUP_BURST", value_name = "N")]
    signup_burst: Option<u32>,
    /// Signups per minute from all addresses together; a burst is as many. 0 for no limit [default:
    /// 600]
    #[arg(long, env = "GRANTEX_SIGNUP_RATE_IN_ALL", value_name = "N")]
    signup_rate_in_all: Option<u32>,
    /// How long events are retained [default: 30d]
    #[arg(long, env = "GRANTEX_RETENTION_AGE", value_name = "DURATION", value_parser = lifetime)]
    retention_age: Option<Lifetime>,
    /// How many events are retained for each developer [default: 1000000]
    #[arg(long, env = "GRANTEX_RETENTION_COUNT", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    retention_count: Option<u64>,
    /// How long grants with their requests, tokens and debits, and revoked keys, are retained after
    /// they end; 0 keeps them for ever [default: 0]
    #[arg(long, env = "GRANTEX_HISTORY_AGE", value_name = "DURATION", value_parser = age)]
    #[serde(deserialize_with = "de_age")]
    history_age: Option<Age>,
    /// Interval of keep-alive comments on an idle SSE stream, at least 100ms and below 5s [default:
    /// 4s]
    #[arg(long, env = "GRANTEX_KEEP_ALIVE", value_name = "DURATION", value_parser = duration)]
    #[serde(deserialize_with = "de_duration")]
    keep_alive: Option<Duration>,
    /// How long a stream waits for a client that reads nothing before it is closed [default: 30s]
    #[arg(long, env = "GRANTEX_STALL_TIMEOUT", value_name = "DURATION", value_parser = duration)]
    #[serde(deserialize_with = "de_duration")]
    stall_timeout: Option<Duration>,
    /// Maximum number of agents per developer; 0 for no limit [default: 100000]
    #[arg(long, env = "GRANTEX_MAX_AGENTS", value_name = "N")]
    max_agents: Option<u64>,
    /// Maximum number of grants in force per developer; 0 for no limit [default: 1000000]
    #[arg(long, env = "GRANTEX_MAX_GRANTS", value_name = "N")]
    max_grants: Option<u64>,
    /// Maximum number of working API keys per developer; 0 for no limit [default: 100]
    #[arg(long, env = "GRANTEX_MAX_API_KEYS", value_name = "N")]
    max_api_keys: Option<u32>,
    /// Approximate maximum of stored bytes per developer; 0 for no limit [default: 10737418240]
    #[arg(long, env = "GRANTEX_MAX_STORED_BYTES", value_name = "BYTES")]
    max_stored_bytes: Option<u64>,
    /// Maximum number of open streams per developer; 0 for no limit [default: 10000, at most half
    /// of all]
    #[arg(long, env = "GRANTEX_MAX_STREAMS", value_name = "N")]
    pub(crate) max_streams: Option<usize>,
    /// Maximum number of open streams per developer that tickets opened; 0 for no limit [default:
    /// three quarters of --max-streams]
    #[arg(long, env = "GRANTEX_MAX_TICKET_STREAMS", value_name = "N")]
    max_ticket_streams: Option<usize>,
    /// Maximum number of open streams per ticket; 0 for no limit [default: 32]
    #[arg(long, env = "GRANTEX_MAX_STREAMS_PER_TICKET", value_name = "N")]
    max_streams_per_ticket: Option<usize>,
    /// Maximum number of open streams in all; 0 for no limit but that of connections [default:
    /// seven eighths of the connections]
    #[arg(long, env = "GRANTEX_MAX_STREAMS_IN_ALL", value_name = "N")]
    pub(crate) max_streams_in_all: Option<usize>,
    /// Maximum number of connections, streams included; 0 for as many as the limit of open files
    /// allows [default: 32768, or as many as that limit allows]
    #[arg(long, env = "GRANTEX_MAX_CONNECTIONS", value_name = "N")]
    pub(crate) max_connections: Option<usize>,
    /// Maximum number of connections from one address that have not sent an API key; 0 for no
    /// limit. Not applied with --trust-forwarded-for [default: 1024, at most a quarter of all]
    #[arg(long, env = "GRANTEX_MAX_CONNECTIONS_PER_ADDRESS", value_name = "N")]
    pub(crate) max_connections_per_address: Option<usize>,
    /// Time limit for the head of a connection's first request, TLS handshake included [default:
    /// 10s]
    #[arg(long, env = "GRANTEX_FIRST_REQUEST_TIMEOUT", value_name = "DURATION", value_parser = duration)]
    #[serde(deserialize_with = "de_duration")]
    first_request_timeout: Option<Duration>,
    /// How long a connection may be idle before it is closed [default: 75s]
    #[arg(long, env = "GRANTEX_IDLE_TIMEOUT", value_name = "DURATION", value_parser = duration)]
    #[serde(deserialize_with = "de_duration")]
    idle_timeout: Option<Duration>,
    /// Time limit for the body of a request [default: 10s]
    #[arg(long, env = "GRANTEX_BODY_TIMEOUT", value_name = "DURATION", value_parser = duration)]
    #[serde(deserialize_with = "de_duration")]
    body_timeout: Option<Duration>,
    /// Memory for the bodies of all requests together, at least 4194304 bytes; 0 for no limit
    /// [default: 67108864]
    #[arg(long, env = "GRANTEX_BODY_BYTES", value_name = "BYTES")]
    body_bytes: Option<usize>,
    /// Maximum number of requests in progress per developer; 0 for no limit [default: 512]
    #[arg(long, env = "GRANTEX_MAX_REQUESTS", value_name = "N")]
    max_requests: Option<usize>,
    /// Memory in bytes for recent events, shared by all streams [default: 67108864]
    #[arg(long, env = "GRANTEX_TAIL_BYTES", value_name = "BYTES")]
    tail_bytes: Option<usize>,
    /// Longest time that a shutdown takes; streams are closed gradually during it [default: 5s]
    #[arg(long, env = "GRANTEX_DRAIN", value_name = "DURATION", value_parser = duration)]
    #[serde(deserialize_with = "de_duration")]
    drain: Option<Duration>,
    /// Format of log lines [default: auto]
    #[arg(long, env = "GRANTEX_LOG_FORMAT", value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// Log level (error, warn, info, debug), or a filter such as `grantex=debug` [default: info]
    #[arg(long, env = "GRANTEX_LOG", value_name = "FILTER")]
    log: Option<String>,
}

/// What an operator must confirm for each start, so it cannot be set in the configuration file.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Accept {
    /// Start although key files are missing or differ from those that the database depends on.
    /// Everything that the missing keys signed or derived becomes invalid
    #[arg(long, env = "GRANTEX_ACCEPT_NEW_KEYS")]
    accept_new_keys: bool,
    /// Start although the database has lost committed data, and continue with what is left
    #[arg(long, env = "GRANTEX_ACCEPT_LOSS")]
    accept_loss: bool,
}

impl Accept {
    pub(crate) fn new_keys(self) -> NewKeys {
        if self.accept_new_keys { NewKeys::Accept } else { NewKeys::Refuse }
    }

    pub(crate) fn loss(self) -> Loss {
        if self.accept_loss { Loss::Accept } else { Loss::Refuse }
    }
}

/// Accepts the spellings of other programs too.
fn boolean(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("expected true or false (or 1 or 0, yes or no, on or off)".into()),
    }
}

/// How long something is kept; `None` for ever, which is written `0`.
type Age = Option<Lifetime>;

fn age(text: &str) -> Result<Age, String> {
    if text == "0" { Ok(None) } else { lifetime(text).map(Some) }
}

fn de_age<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Age>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    text.map(|text| age(&text)).transpose().map_err(serde::de::Error::custom)
}

fn lifetime(text: &str) -> Result<Lifetime, String> {
    text.parse().map_err(|error: grantex_types::time::ParseLifetimeError| error.to_string())
}

fn duration(text: &str) -> Result<Duration, String> {
    let millis = match text.strip_suffix("ms") {
        Some(digits) => {
            digits.parse().map_err(|_| "expected a duration such as 500ms".to_owned())?
        }
        None => lifetime(text)?.millis(),
    };
    if millis == 0 {
        Err("a duration must be above zero".into())
    } else {
        Ok(Duration::from_millis(millis))
    }
}

fn whole_seconds(text: &str) -> Result<Duration, String> {
    if text == "0s" {
        Ok(Duration::ZERO)
    } else {
        lifetime(text).map(|lifetime| Duration::from_millis(lifetime.millis()))
    }
}

fn de_whole_seconds<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    text.map(|text| whole_seconds(&text)).transpose().map_err(serde::de::Error::custom)
}

fn de_duration<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    text.map(|text| duration(&text)).transpose().map_err(serde::de::Error::custom)
}

macro_rules! prefer {
    ($first:ident, $second:ident; $($field:ident),*) => {
        Options { $($field: $first.$field.or($second.$field)),* }
    };
}

impl Options {
    /// These options, completed with those of a file.
    pub(crate) fn over_file(self, file: Option<&Path>) -> Result<Self, CommandError> {
        let Some(path) = file else { return Ok(self) };
        let below = file::read(path)?;
        Ok(prefer!(self, below;
            listen, data_dir, public_url, tls_cert, tls_key, signup, consent_api,
            delegation_depth, token_lifetime, cors_origins,
            metrics, metrics_listen, hsts, trust_forwarded_for, rate_limit, rate_burst,
            key_rate_limit, signup_rate,
            signup_burst, signup_rate_in_all, retention_age, retention_count, history_age,
            keep_alive,
            stall_timeout, max_agents, max_grants, max_api_keys, max_stored_bytes, max_streams,
            max_ticket_streams, max_streams_per_ticket, ticket_rate_limit, max_streams_in_all,
            max_connections, max_connections_per_address,
            first_request_timeout, idle_timeout, body_timeout, body_bytes, max_requests,
            tail_bytes, drain, log_format, log))
    }

    pub(crate) fn listen(&self) -> Listen {
        self.listen.clone().unwrap_or(DEFAULT_LISTEN)
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| DEFAULT_DATA_DIR.into())
    }

    pub(crate) fn log_format(&self) -> LogFormat {
        self.log_format.unwrap_or(LogFormat::Auto)
    }

    pub(crate) fn log(&self) -> &str {
        self.log.as_deref().unwrap_or(DEFAULT_LOG)
    }

    /// Sets what to log unless an option does.
    pub(crate) fn default_log(&mut self, filter: &str, format: LogFormat) {
        self.log.get_or_insert_with(|| filter.to_owned());
        self.log_format.get_or_insert(format);
    }

    /// Serves metrics on the main address unless an option says whether to.
    pub(crate) fn default_metrics(&mut self) {
        self.metrics.get_or_insert(true);
    }

    fn rates(&self) -> Rates {
        let base = Rates::default();
        let requests = Rate {
            per_second: self.rate_limit.map_or(base.developer.per_second, f64::from),
            burst: self.rate_burst.unwrap_or(base.developer.burst),
        };
        let key = self.key_rate_limit.filter(|limit| *limit > 0).map(|limit| Rate {
            per_second: limit.into(),
            burst: limit.saturating_mul(KEY_BURST_SECONDS),
        });
        Rates {
            developer: requests,
            key: key.unwrap_or(base.key),
            address: requests,
            ticket: self.ticket_rate_limit.map_or(base.ticket, |limit| Rate {
                per_second: limit.into(),
                burst: limit.saturating_mul(TICKET_BURST_SECONDS),
            }),
            signup_address: Rate {
                per_second: self.signup_rate.map_or(base.signup_address.per_second, |count| {
                    Rate::a_minute(count).per_second
                }),
                burst: self.signup_burst.unwrap_or(base.signup_address.burst),
            },
            signup: self.signup_rate_in_all.map_or(base.signup, Rate::a_minute),
        }
    }

    /// The origins of web pages, as browsers send them.
    fn origins(&self) -> Result<Vec<String>, String> {
        let given = self.cors_origins.iter().flatten().filter(|origin| !origin.trim().is_empty());
        given.map(|origin| allowed_origin(origin)).collect()
    }

    /// The first option with a value of the right type that the service cannot take, and why.
    fn out_of_range(&self) -> Option<(&'static str, String)> {
        let least_one = "must be 1 or more".to_owned();
        if self.delegation_depth.is_some_and(|depth| !(1..=10).contains(&depth)) {
            return Some(("delegation_depth", "must be 1 to 10".into()));
        }
        if self.keep_alive.is_some_and(|every| !KEEP_ALIVE.contains(&every)) {
            let reason = "must be at least 100ms and below 5s: clients treat 5 s of silence as a \
                          dead connection";
            return Some(("keep_alive", reason.into()));
        }
        if self.body_bytes.is_some_and(|bytes| (1..LEAST_BODY_BYTES).contains(&bytes)) {
            let least = LEAST_BODY_BYTES;
            let reason =
                format!("must be {least} or more, or 0 for no limit: one body has up to 1 MiB");
            return Some(("body_bytes", reason));
        }
        if self.signup_burst == Some(0) {
            return Some(("signup_burst", least_one + "; to forbid signups, set signup to false"));
        }
        if self.rate_burst == Some(0) {
            return Some(("rate_burst", least_one + "; for no limit, set rate_limit to 0"));
        }
        if self.retention_count == Some(0) {
            return Some(("retention_count", least_one));
        }
        // It stands in every link, token and log.
        if let Some(url) = &self.public_url
            && grantex::internal::check_base_url(url.trim_end_matches('/')).is_err()
        {
            let shown = grantex::internal::redacted_url(url);
            let reason = format!(
                "must be an http or https URL without user, password, query and fragment; it is \
                 {shown:?}"
            );
            return Some(("public_url", reason));
        }
        self.origins().err().map(|reason| ("cors_origins", format!("cannot be used: {reason}")))
    }

    /// The service's settings.
    pub(crate) fn settings(&self, listening: &str) -> Result<Settings, CommandError> {
        let base = Settings::default();
        let scheme = if self.tls_cert.is_some() { "https" } else { "http" };
        let public_base =
            self.public_url.clone().unwrap_or_else(|| format!("{scheme}://{listening}"));
        let public_base = public_base.trim_end_matches('/').to_owned();
        if let Some((name, reason)) = self.out_of_range() {
            return Err(format!("--{} {reason}", name.replace('_', "-")).into());
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err("set both --tls-cert and --tls-key, or neither".into());
        }
        Ok(Settings {
            public_base,
            signup: self.signup.unwrap_or(base.signup),
            public_consent_api: self.consent_api.unwrap_or(base.public_consent_api),
            delegation_depth: self.delegation_depth.unwrap_or(base.delegation_depth),
            token_lifetime: self.token_lifetime.unwrap_or(base.token_lifetime),
            cors_origins: self.origins()?,
            serve_metrics: self.metrics.unwrap_or(base.serve_metrics),
            trust_forwarded_for: self.trust_forwarded_for.unwrap_or(base.trust_forwarded_for),
            hsts: self.hsts.unwrap_or(base.hsts),
            rates: self.rates(),
            requests: RequestSettings {
                most_at_once: self.max_requests.unwrap_or(base.requests.most_at_once),
                body_bytes: self.body_bytes.unwrap_or(base.requests.body_bytes),
                body_timeout: self.body_timeout.unwrap_or(base.requests.body_timeout),
            },
            connections: ConnectionSettings {
                most: self.max_connections.unwrap_or(base.connections.most),
                most_per_address: self
                    .max_connections_per_address
                    .unwrap_or(base.connections.most_per_address),
                first_request: self.first_request_timeout.unwrap_or(base.connections.first_request),
                idle: self.idle_timeout.unwrap_or(base.connections.idle),
            },
            memory_period: base.memory_period,
            retention: Retention {
                age: self.retention_age.unwrap_or(base.retention.age),
                count: self.retention_count.unwrap_or(base.retention.count),
            },
            history_age: self.history_age.unwrap_or(base.history_age),
            quotas: Quotas {
                agents: self.max_agents.unwrap_or(base.quotas.agents),
                grants: self.max_grants.unwrap_or(base.quotas.grants),
                keys: self.max_api_keys.unwrap_or(base.quotas.keys),
                bytes: self.max_stored_bytes.unwrap_or(base.quotas.bytes),
            },
            streams: StreamSettings {
                keep_alive: self.keep_alive.unwrap_or(base.streams.keep_alive),
                ping: base.streams.ping,
                stall_timeout: self.stall_timeout.unwrap_or(base.streams.stall_timeout),
                most_per_developer: self.max_streams.unwrap_or(base.streams.most_per_developer),
                most: self.max_streams_in_all.unwrap_or(base.streams.most),
                most_by_tickets: self.max_ticket_streams.or(base.streams.most_by_tickets),
                most_per_ticket: self
                    .max_streams_per_ticket
                    .unwrap_or(base.streams.most_per_ticket),
                tail_bytes: self.tail_bytes.unwrap_or(base.streams.tail_bytes),
                drain: self.drain.unwrap_or(base.streams.drain),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("grantex.toml");
        std::fs::write(
            &file,
            "listen = \"127.0.0.1:1\"\nretention_age = \"2d\"\nkeep_alive = \"500ms\"\n",
        )
        .unwrap();
        let flags = Options { listen: Some("127.0.0.1:2".parse().unwrap()), ..Options::default() };
        let options = flags.over_file(Some(&file)).unwrap();
        assert_eq!(options.listen().to_string(), "127.0.0.1:2");
        let settings = options.settings(&options.listen().to_string()).unwrap();
        assert_eq!(settings.retention.age.to_string(), "2d");
        assert_eq!(settings.streams.keep_alive, Duration::from_millis(500));
        assert_eq!(settings.public_base, "http://127.0.0.1:2");
    }

    #[test]
    fn a_file_with_a_mistake_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("grantex.toml");
        std::fs::write(&file, "listne = \"127.0.0.1:1\"\n").unwrap();
        let error = Options::default().over_file(Some(&file)).unwrap_err().to_string();
        assert!(error.contains("listne") && error.contains("line 1"), "{error}");
    }

    #[test]
    fn history_is_kept_for_ever_unless_an_age_is_given() {
        let of = |text: &str| {
            let options: Options = toml::from_str(text).unwrap();
            options
                .settings(&options.listen().to_string())
                .unwrap()
                .history_age
                .map(|age| age.to_string())
        };
        assert_eq!(of(""), None);
        assert_eq!(of("history_age = \"0\""), None);
        assert_eq!(of("history_age = \"90d\""), Some("90d".into()));
        assert!(toml::from_str::<Options>("history_age = \"yesterday\"").is_err());
    }

    #[test]
    fn a_keep_alive_that_would_harm_is_refused() {
        for (millis, is_good) in [(0, false), (99, false), (100, true), (4999, true), (5000, false)]
        {
            let options =
                Options { keep_alive: Some(Duration::from_millis(millis)), ..Options::default() };
            assert_eq!(
                options.settings(&options.listen().to_string()).is_ok(),
                is_good,
                "{millis} ms"
            );
        }
    }
}
