//! Datadog Logs: <https://docs.datadoghq.com/api/latest/logs/#send-logs>

use std::time::Duration;

use grantex::GrantexEvent;
use grantex::internal::redacted_url;
use reqwest::Client;
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::compress::gzip;
use crate::destination::{BatchLimits, EventDestination, SendError};
use crate::error::ConfigError;
use crate::http::{self, HttpOptions};
use crate::secret::Secret;
use crate::stats::now_ms;

/// Entries in one payload, at most.
const MOST_ENTRIES: usize = 1000;

/// Bytes of one payload before compression. Datadog takes 5 MB; the margin is for what it counts
/// besides.
const MOST_BYTES: usize = 4_250_000;

/// Bytes of one entry. Datadog accepts longer ones but truncates them.
const MOST_ENTRY_BYTES: usize = 1_000_000;

/// Datadog accepts a time of its own for a log only within 18 hours; older events keep theirs in
/// the message.
const OLDEST_TIME: Duration = Duration::from_secs(18 * 3600 - 600);

const DEFAULT_SITE: &str = "datadoghq.com";

/// Where the logs go, and their metadata.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatadogOptions {
    /// The API key.
    pub api_key: Secret,
    /// `datadoghq.com` unless given; `datadoghq.eu`, `us3.datadoghq.com`, …
    pub site: Option<String>,
    /// The base of another intake, such as a proxy; `/api/v2/logs` is appended. Wins over `site`.
    pub url: Option<String>,
    /// `service`; `grantex` unless given.
    pub service: Option<String>,
    /// `ddsource`; `grantex` unless given.
    pub source: Option<String>,
    /// `hostname`.
    pub hostname: Option<String>,
    /// `ddtags`, such as `["env:prod", "team:security"]`. `event_type:…` is added to each.
    #[serde(default)]
    pub tags: Vec<String>,
}

impl DatadogOptions {
    /// With this key, all else by default.
    pub fn new(api_key: impl Into<Secret>) -> Self {
        Self {
            api_key: api_key.into(),
            site: None,
            url: None,
            service: None,
            source: None,
            hostname: None,
            tags: Vec::new(),
        }
    }
}

/// Sends events as logs, gzipped. Each has the event's JSON as its message.
///
/// At least once: after a crash the batch in flight is sent again, with the same `event_id`s.
#[derive(Debug)]
pub struct DatadogDestination {
    name: String,
    client: Client,
    url: String,
    options: DatadogOptions,
    tags: String,
}

#[derive(Serialize)]
struct Entry<'a> {
    ddsource: &'a str,
    ddtags: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<&'a str>,
    service: &'a str,
    message: &'a str,
    event_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
}

impl DatadogDestination {
    /// A destination of this name.
    pub fn new(
        name: impl Into<String>,
        options: DatadogOptions,
        http: &HttpOptions,
    ) -> Result<Self, ConfigError> {
        if options.api_key.expose().is_empty() {
            return Err(ConfigError::value("api_key", "is empty"));
        }
        let base = match &options.url {
            Some(url) => http::base_url("url", url)?,
            None => {
                let site = options.site.as_deref().unwrap_or(DEFAULT_SITE);
                http::base_url("site", &format!("https://http-intake.logs.{site}"))?
            }
        };
        let tags = options.tags.join(",");
        Ok(Self {
            name: name.into(),
            client: http.client()?,
            url: format!("{base}/api/v2/logs"),
            options,
            tags,
        })
    }

    fn entry(
        &self,
        batch: &Batch,
        event: &GrantexEvent,
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        let mut message = Vec::new();
        batch.encode(event, &mut message);
        let kind = format!("event_type:{}", event.r#type);
        let age = Duration::from_millis(now_ms.saturating_sub(event.timestamp.millis()));
        let entry = Entry {
            ddsource: self.options.source.as_deref().unwrap_or("grantex"),
            ddtags: if self.tags.is_empty() { kind } else { format!("{},{kind}", self.tags) },
            hostname: self.options.hostname.as_deref(),
            service: self.options.service.as_deref().unwrap_or("grantex"),
            message: &String::from_utf8_lossy(&message),
            event_id: event.id.to_string(),
            timestamp: (age < OLDEST_TIME).then(|| event.timestamp.to_string()),
        };
        let before = out.len();
        serde_json::to_writer(&mut *out, &entry)
            .map_err(|error| SendError::rejected(error.to_string()))?;
        if out.len().saturating_sub(before) > MOST_ENTRY_BYTES {
            return Err(SendError::TooLarge(format!(
                "Datadog would cut the log off: it is longer than {MOST_ENTRY_BYTES} bytes"
            )));
        }
        Ok(())
    }

    async fn post(&self, body: &[u8]) -> Result<http::Answer, SendError> {
        let body = gzip(body).map_err(|error| SendError::retry(error.to_string()))?;
        let request =
            self.client.post(&self.url).header("DD-API-KEY", self.options.api_key.expose());
        let request =
            request.header("Content-Type", "application/json").header("Content-Encoding", "gzip");
        http::send(request.body(body)).await
    }
}

impl EventDestination for DatadogDestination {
    fn name(&self) -> &str {
        &self.name
    }

    fn refusals_need_proof(&self) -> bool {
        true
    }

    fn defaults(&self) -> BatchLimits {
        BatchLimits { events: MOST_ENTRIES, bytes: 2 << 20, age: Duration::from_secs(2) }
    }

    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        if batch.len() > MOST_ENTRIES {
            return Err(SendError::TooLarge(format!("Datadog takes {MOST_ENTRIES} logs at once")));
        }
        let now = now_ms();
        let mut body = Vec::with_capacity(batch.len().saturating_mul(512));
        for (index, event) in batch.events().iter().enumerate() {
            body.push(if index == 0 { b'[' } else { b',' });
            self.entry(batch, event, now, &mut body)?;
        }
        body.push(b']');
        if body.len() > MOST_BYTES {
            return Err(SendError::TooLarge(format!("Datadog takes {MOST_BYTES} bytes at once")));
        }
        let answer = self.post(&body).await?;
        answer.check()?;
        if is_acknowledgement(&answer) { Ok(()) } else { Err(answer.not_of("Datadog")) }
    }

    async fn probe(&self) -> Result<String, SendError> {
        let answer = self.post(b"[]").await?;
        match answer.status.as_u16() {
            // It knows the key, and has nothing to take.
            202 | 400 if answer.object().is_some() => {
                Ok(format!("{} accepts the API key", redacted_url(&self.url)))
            }
            401 | 403 => Err(SendError::refused(format!(
                "{}; is api_key a key of this site ({})?",
                answer.quote(),
                self.options.site.as_deref().unwrap_or(DEFAULT_SITE)
            ))),
            200..=499 => Err(answer.not_of("Datadog")),
            _ => Err(answer.retry()),
        }
    }
}

/// Datadog's own word: 202 and a JSON object.
fn is_acknowledgement(answer: &http::Answer) -> bool {
    answer.status == reqwest::StatusCode::ACCEPTED && answer.object().is_some()
}
