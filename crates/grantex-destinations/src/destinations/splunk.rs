//! The Splunk HTTP Event Collector:
//! <https://docs.splunk.com/Documentation/Splunk/latest/Data/HECRESTendpoints>

use std::time::Duration;

use grantex::GrantexEvent;
use grantex::internal::redacted_url;
use parking_lot::Mutex;
use reqwest::{Client, RequestBuilder};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};

use crate::batch::Batch;
use crate::destination::{BatchLimits, EventDestination, SendError};
use crate::error::ConfigError;
use crate::http::{self, Answer, HttpOptions};
use crate::secret::Secret;

/// Bytes of one request: collectors are often set to little more.
const MOST_BYTES: usize = 2 << 20;

/// An event that is not acknowledged for so long is sent again; Splunk advises no less than 5
/// minutes.
const ACK_LIMIT: Duration = Duration::from_secs(300);

/// Between two questions for an acknowledgement: the first, doubled up to the last.
const ACK_POLL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Where the events go, and their metadata.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplunkOptions {
    /// The collector, such as `https://splunk.example.com:8088`.
    pub hec_url: String,
    /// Its token.
    pub hec_token: Secret,
    /// `index`; the token's default unless given.
    pub index: Option<String>,
    /// `source`; `grantex` unless given.
    pub source: Option<String>,
    /// `sourcetype`; `_json` unless given.
    pub sourcetype: Option<String>,
    /// `host`.
    pub host: Option<String>,
    /// Wait until the indexers acknowledge (the token must allow it). Without it a 200 only means
    /// that the collector has the events in memory.
    #[serde(default)]
    pub ack: bool,
    /// How long to wait for that, in milliseconds; 300,000 unless given.
    pub ack_timeout_ms: Option<u64>,
    /// A success without a body counts too: some collectors that implement Splunk's protocol send
    /// none.
    #[serde(default)]
    pub accept_empty_answer: bool,
}

impl SplunkOptions {
    /// A collector and its token, all else by default.
    pub fn new(hec_url: impl Into<String>, hec_token: impl Into<Secret>) -> Self {
        Self {
            hec_url: hec_url.into(),
            hec_token: hec_token.into(),
            index: None,
            source: None,
            sourcetype: None,
            host: None,
            ack: false,
            ack_timeout_ms: None,
            accept_empty_answer: false,
        }
    }
}

/// Sends events to a collector, with `event_id` and `event_type` as indexed fields.
///
/// At least once: what was not acknowledged is sent again with the same `event_id`.
#[derive(Debug)]
pub struct SplunkDestination {
    name: String,
    client: Client,
    base: String,
    options: SplunkOptions,
    /// Acknowledgement ids belong to a channel.
    channel: String,
    /// And to one indexer, which a load balancer knows by these.
    cookies: Mutex<Vec<String>>,
}

#[derive(Serialize)]
struct HecEvent<'a> {
    /// Seconds with milliseconds, as a number.
    time: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    source: &'a str,
    sourcetype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
    event: &'a RawValue,
    fields: Fields<'a>,
}

#[derive(Serialize)]
struct Fields<'a> {
    event_id: String,
    event_type: &'a str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HecAnswer {
    code: Option<i64>,
    #[serde(rename = "ackId")]
    ack_id: Option<u64>,
    #[serde(rename = "invalid-event-number")]
    invalid_event: Option<usize>,
}

#[derive(Deserialize)]
struct Acks {
    acks: std::collections::BTreeMap<String, bool>,
}

impl SplunkDestination {
    /// A destination of this name.
    pub fn new(
        name: impl Into<String>,
        options: SplunkOptions,
        http: &HttpOptions,
    ) -> Result<Self, ConfigError> {
        let base = http::base_url("hec_url", &options.hec_url)?;
        if options.hec_token.expose().is_empty() {
            return Err(ConfigError::value("hec_token", "is empty"));
        }
        Ok(Self {
            name: name.into(),
            client: http.client()?,
            base,
            options,
            channel: guid()
                .map_err(|error| ConfigError::whole(format!("no random numbers: {error}")))?,
            cookies: Mutex::default(),
        })
    }

    fn append(
        &self,
        batch: &Batch,
        event: &GrantexEvent,
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        let mut encoded = Vec::new();
        batch.encode(event, &mut encoded);
        let raw: &RawValue = serde_json::from_slice(&encoded)
            .map_err(|error| SendError::rejected(error.to_string()))?;
        let (millis, options) = (event.timestamp.millis(), &self.options);
        let time = RawValue::from_string(format!("{}.{:03}", millis / 1000, millis % 1000));
        let hec = HecEvent {
            time: time.map_err(|error| SendError::rejected(error.to_string()))?,
            host: options.host.as_deref(),
            source: options.source.as_deref().unwrap_or("grantex"),
            sourcetype: options.sourcetype.as_deref().unwrap_or("_json"),
            index: options.index.as_deref(),
            event: raw,
            fields: Fields { event_id: event.id.to_string(), event_type: &event.r#type },
        };
        serde_json::to_writer(&mut *out, &hec)
            .map_err(|error| SendError::rejected(error.to_string()))?;
        out.push(b'\n');
        Ok(())
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> Result<Answer, SendError> {
        let request = self.client.post(format!("{}{path}", self.base)).body(body);
        let answer = http::send(self.with_session(request)).await?;
        if !answer.cookies.is_empty() {
            self.cookies.lock().clone_from(&answer.cookies);
        }
        Ok(answer)
    }

    fn with_session(&self, request: RequestBuilder) -> RequestBuilder {
        let token = format!("Splunk {}", self.options.hec_token.expose());
        let mut request =
            request.header("Authorization", token).header("Content-Type", "application/json");
        if self.options.ack {
            request = request.header("X-Splunk-Request-Channel", &self.channel);
        }
        let cookies = self.cookies.lock().join("; ");
        if cookies.is_empty() { request } else { request.header("Cookie", cookies) }
    }

    /// Asks until the indexers have it.
    async fn acknowledged(&self, id: u64) -> Result<(), SendError> {
        let limit = self.options.ack_timeout_ms.map_or(ACK_LIMIT, Duration::from_millis);
        let begun = Instant::now();
        let (mut pause, longest) = ACK_POLL;
        while begun.elapsed() < limit {
            sleep(pause).await;
            pause = pause.saturating_mul(2).min(longest);
            let answer =
                self.post("/services/collector/ack", format!("{{\"acks\":[{id}]}}").into()).await?;
            let Ok(acks) = serde_json::from_str::<Acks>(&answer.body) else {
                check(&answer)?;
                return Err(answer.not_of("a collector that acknowledges"));
            };
            if acks.acks.get(&id.to_string()) == Some(&true) {
                return Ok(());
            }
        }
        Err(SendError::retry(format!("the indexers did not acknowledge within {limit:?}")))
    }
}

/// A random GUID.
fn guid() -> Result<String, getrandom::Error> {
    let bits = (u128::from(getrandom::u64()?) << 64) | u128::from(getrandom::u64()?);
    let hex = format!("{bits:032x}");
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    Ok([part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-"))
}

/// What the collector's codes mean.
fn check(answer: &Answer) -> Result<HecAnswer, SendError> {
    let said: HecAnswer = serde_json::from_str(&answer.body).unwrap_or_default();
    match said.code {
        Some(0) if answer.status.is_success() => Ok(said),
        // Internal error, busy, unhealthy queues and indexers, and shutting down.
        Some(8 | 9 | 18..=20 | 23) => Err(answer.retry()),
        Some(14) => Err(SendError::refused(format!(
            "{}; allow indexer acknowledgement for this token, or leave `ack` out",
            answer.quote()
        ))),
        Some(7) => Err(SendError::refused(format!(
            "{}; check that this token may use the index",
            answer.quote()
        ))),
        Some(10) => Err(SendError::refused(format!(
            "{}; this token requires indexer acknowledgement: set `ack` to true",
            answer.quote()
        ))),
        Some(1..=4 | 11 | 16 | 21 | 22) => Err(SendError::refused(answer.quote())),
        // No data, invalid data, no event or a blank one, bad indexed fields.
        Some(5 | 6 | 12 | 13 | 15) => Err(match said.invalid_event {
            Some(index) => SendError::EventsRejected {
                events: vec![(index, answer.quote())],
                others_delivered: false,
            },
            None => SendError::rejected(answer.quote()),
        }),
        _ => {
            answer.check()?;
            // A status alone is no acknowledgement: `{"text":"Success","code":0}` is.
            Err(answer.not_of("a collector"))
        }
    }
}

impl EventDestination for SplunkDestination {
    fn name(&self) -> &str {
        &self.name
    }

    fn refusals_need_proof(&self) -> bool {
        true
    }

    fn defaults(&self) -> BatchLimits {
        BatchLimits { events: 500, bytes: 1 << 20, age: Duration::from_secs(2) }
    }

    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        let mut body = Vec::with_capacity(batch.len().saturating_mul(512));
        for event in batch.events() {
            self.append(batch, event, &mut body)?;
        }
        if body.len() > MOST_BYTES {
            return Err(SendError::TooLarge(format!(
                "the collector takes {MOST_BYTES} bytes at once"
            )));
        }
        let answer = self.post("/services/collector/event", body).await?;
        if self.options.accept_empty_answer
            && answer.status.is_success()
            && answer.body.trim().is_empty()
        {
            return Ok(());
        }
        let said = match check(&answer) {
            // An index beyond the batch rejects nothing.
            Err(SendError::EventsRejected { events, .. })
                if events.iter().any(|(index, _)| *index >= batch.len()) =>
            {
                Err(SendError::rejected("the collector names an event that is not in the batch"))
            }
            other => other,
        }?;
        match (self.options.ack, said.ack_id) {
            (false, _) => Ok(()),
            (true, Some(id)) => self.acknowledged(id).await,
            (true, None) => Err(SendError::refused(
                "no ackId in the answer: allow indexer acknowledgement for this token, or leave `ack` out",
            )),
        }
    }

    async fn probe(&self) -> Result<String, SendError> {
        let request = self.client.get(format!("{}/services/collector/health/1.0", self.base));
        let health = http::send(self.with_session(request)).await?;
        if !health.status.is_success() {
            return Err(SendError::retry(format!("the collector is not well: {}", health.quote())));
        }
        // A token that is good gets "no data" for an empty body, any other is refused.
        let answer = self.post("/services/collector/event", Vec::new()).await?;
        let said: HecAnswer = serde_json::from_str(&answer.body).unwrap_or_default();
        match said.code {
            Some(5) => Ok(format!("{} is healthy and accepts the token", redacted_url(&self.base))),
            Some(3 | 4) => {
                Err(SendError::refused(format!("{}; is hec_token right?", answer.quote())))
            }
            _ => check(&answer).map(|_| format!("{} is healthy", redacted_url(&self.base))),
        }
    }
}
