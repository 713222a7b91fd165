//! Destinations from a configuration: a map of options, as TOML and JSON have it.

use std::hash::{Hash as _, Hasher as _};

use grantex::internal::nearest;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::destination::{EventDestination as _, SendError};
#[allow(clippy::wildcard_imports, reason = "which there are is up to the features")]
use crate::destinations::*;
use crate::error::ConfigError;
use crate::http::HttpOptions;
use crate::options::DeliveryOptions;
use crate::source::EventSource;
use crate::state::{State, StateError};

/// The names that are common to all destinations.
const DELIVERY_KEYS: [&str; 13] = [
    "types",
    "agent_id",
    "principal_id",
    "grant_id",
    "since",
    "batch_size",
    "batch_bytes",
    "flush_interval_ms",
    "concurrency",
    "format",
    "retry_base_ms",
    "retry_cap_ms",
    "on_lost_position",
];

/// A destination as a configuration describes it: `name`, `type`, the options that all have
/// ([`DeliveryOptions`]), [`HttpOptions`] where it speaks HTTP, and its own.
///
/// ```
/// use grantex_destinations::Definition;
/// let options = serde_json::json!({
///     "name": "siem", "type": "splunk", "types": ["grant.revoked"], "batch_size": 100,
///     "hec_url": "https://splunk.example.com:8088", "hec_token": "…",
/// });
/// let siem = Definition::parse(options.as_object().unwrap().clone())?;
/// assert_eq!((siem.name(), siem.delivery().batch_size), ("siem", Some(100)));
/// # Ok::<(), grantex_destinations::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct Definition {
    name: String,
    kind: String,
    delivery: DeliveryOptions,
    destination: Configured,
    /// Names the destination's own options.
    configuration: String,
}

macro_rules! configured {
    ($($(#[$gate:meta])* $variant:ident($destination:ty)),* $(,)?) => {
        #[derive(Debug)]
        enum Configured {
            $($(#[$gate])* $variant(Box<$destination>),)*
        }

        impl Definition {
            /// Adds the destination to a source.
            pub fn add_to(self, source: &EventSource) -> Result<(), ConfigError> {
                match self.destination {
                    $($(#[$gate])* Configured::$variant(destination) => {
                        source.add_configured(*destination, &self.delivery, self.configuration)
                    })*
                }
                .map_err(|error| error.of(&self.name))
            }

            /// Contacts the receiver without sending events, and describes what it found.
            pub async fn probe(&self) -> Result<String, SendError> {
                match &self.destination {
                    $($(#[$gate])* Configured::$variant(destination) => destination.probe().await,)*
                }
            }

            /// Checks the options that [`add_to`](Self::add_to) would refuse.
            fn check(&self) -> Result<(), ConfigError> {
                match &self.destination {
                    $($(#[$gate])* Configured::$variant(destination) => {
                        self.delivery.limits(destination.as_ref())?;
                        self.delivery.concurrency(destination.as_ref())?;
                    })*
                }
                self.delivery.retry()?;
                self.delivery.since.as_deref().map_or(Ok(()), crate::options::check_since)?;
                self.delivery.filter(&crate::log::Filter::default()).map(drop)
            }
        }
    };
}

configured! {
    #[cfg(feature = "bigquery")] BigQuery(BigQueryDestination),
    Datadog(DatadogDestination),
    File(FileDestination),
    #[cfg(feature = "kafka")] Kafka(KafkaDestination),
    #[cfg(feature = "s3")] S3(S3Destination),
    Splunk(SplunkDestination),
    Webhook(WebhookDestination),
}

/// The types that there are: a build without a feature refuses its type.
const TYPES: &str = "datadog, splunk, s3, bigquery, kafka, webhook, file";

impl Definition {
    /// The destination that these options describe. Fails on an option that does not exist, is
    /// missing or cannot work; makes no connection.
    pub fn parse(mut options: Map<String, Value>) -> Result<Self, ConfigError> {
        let text = |options: &mut Map<String, Value>, key: &str| match options.remove(key) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text),
            Some(_) => Err(ConfigError::value(key, "must be a string that is not empty")),
            None => Err(ConfigError::value(key, "is missing")),
        };
        let name = text(&mut options, "name").map_err(|error| {
            ConfigError::whole(format!("a destination without a name: {error}"))
        })?;
        let parse = |mut options: Map<String, Value>| {
            let kind = text(&mut options, "type")?;
            let delivery = take(&mut options, &DELIVERY_KEYS)?;
            let configuration = fingerprint(&kind, &options);
            let destination =
                configured(&kind, &name, options).map_err(|error| with_common(error, &kind))?;
            let definition =
                Self { name: name.clone(), kind, delivery, destination, configuration };
            definition.check()?;
            Ok(definition)
        };
        parse(options).map_err(|error: ConfigError| error.of(&name))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its type: `datadog`, `splunk`, ….
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The options that all have.
    pub fn delivery(&self) -> &DeliveryOptions {
        &self.delivery
    }

    /// Sets that the destination's refusals count although it has accepted nothing with this
    /// configuration: events that it refuses become dead letters. A running forwarder applies it
    /// within seconds.
    pub async fn believe(&self, state: &State) -> Result<(), StateError> {
        state.prove(&self.name, &self.configuration).await
    }
}

/// Identifies a configuration; contains nothing of its secrets.
fn fingerprint(kind: &str, options: &Map<String, Value>) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    (kind, Value::Object(options.clone()).to_string()).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn configured(
    kind: &str,
    name: &str,
    mut options: Map<String, Value>,
) -> Result<Configured, ConfigError> {
    match kind {
        "file" => Ok(Configured::File(Box::new(FileDestination::new(name, rest(options)?)?))),
        "datadog" => {
            let http = http(&mut options)?;
            Ok(Configured::Datadog(Box::new(DatadogDestination::new(name, rest(options)?, &http)?)))
        }
        "splunk" => {
            let http = http(&mut options)?;
            Ok(Configured::Splunk(Box::new(SplunkDestination::new(name, rest(options)?, &http)?)))
        }
        "webhook" => {
            let http = http(&mut options)?;
            Ok(Configured::Webhook(Box::new(WebhookDestination::new(
                name,
                &rest(options)?,
                &http,
            )?)))
        }
        #[cfg(feature = "s3")]
        "s3" => {
            let http = http(&mut options)?;
            Ok(Configured::S3(Box::new(S3Destination::new(name, rest(options)?, &http)?)))
        }
        #[cfg(feature = "bigquery")]
        "bigquery" => {
            let http = http(&mut options)?;
            Ok(Configured::BigQuery(Box::new(BigQueryDestination::new(
                name,
                &rest(options)?,
                &http,
            )?)))
        }
        #[cfg(feature = "kafka")]
        "kafka" => Ok(Configured::Kafka(Box::new(KafkaDestination::new(name, rest(options)?)?))),
        _ => {
            Err(ConfigError::value("type", format!("unknown type {kind:?}; the types are {TYPES}")))
        }
    }
}

/// The names that every destination needs beside [`DELIVERY_KEYS`].
const OWN_KEYS: [&str; 2] = ["name", "type"];

/// An error about an option that does not exist names the destination's own options. Adds those
/// that all have, and the one that may have been meant.
fn with_common(mut error: ConfigError, kind: &str) -> ConfigError {
    let Some(key) = error.key.as_deref().filter(|_| error.message.starts_with("unknown field"))
    else {
        return error;
    };
    let over_http: &[&str] =
        if matches!(kind, "file" | "kafka") { &[] } else { HttpOptions::KEYS.as_slice() };
    let common: Vec<&str> = [&OWN_KEYS[..], &DELIVERY_KEYS, over_http].concat();
    let own = error.message.split('`').skip(3).step_by(2);
    let meant = nearest(key, own.chain(common.iter().copied()));
    let meant = meant.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
    error.message =
        format!("{}; and, as for every {kind}, `{}`{meant}", error.message, common.join("`, `"));
    error
}

fn http(options: &mut Map<String, Value>) -> Result<HttpOptions, ConfigError> {
    take(options, &HttpOptions::KEYS)
}

/// The options of these names.
fn take<T: DeserializeOwned>(
    options: &mut Map<String, Value>,
    keys: &[&str],
) -> Result<T, ConfigError> {
    let taken = keys.iter().filter_map(|key| options.remove_entry(*key)).collect();
    rest(taken)
}

fn rest<T: DeserializeOwned>(options: Map<String, Value>) -> Result<T, ConfigError> {
    // Parsed one at a time, so that the error names the wrong one.
    for (key, value) in &options {
        let alone = Value::Object(std::iter::once((key.clone(), value.clone())).collect());
        if let Err(error) = T::deserialize(&alone) {
            let message = error.to_string();
            if !message.starts_with("missing field") {
                return Err(ConfigError::value(key, message));
            }
        }
    }
    T::deserialize(&Value::Object(options)).map_err(|error| ConfigError::whole(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(options: Value) -> String {
        let Value::Object(options) = options else { panic!("no object") };
        Definition::parse(options).unwrap_err().to_string()
    }

    #[test]
    fn a_mistake_is_reported_with_its_destination_and_its_key() {
        let cases = [
            (serde_json::json!({"type": "file"}), "name: is missing"),
            (
                serde_json::json!({"name": "a", "type": "fiel"}),
                "\"a\": type: unknown type \"fiel\"; the types are",
            ),
            (serde_json::json!({"name": "a", "type": "file"}), "\"a\": missing field `path`"),
            (
                serde_json::json!({"name": "a", "type": "file", "path": 1}),
                "path: invalid type: integer `1`",
            ),
            (
                serde_json::json!({"name": "a", "type": "file", "path": "x", "pth": "y"}),
                "pth: unknown field `pth`, expected `path`; and, as for every file, `name`, `type`, `types`",
            ),
            (
                serde_json::json!({"name": "a", "type": "file", "path": "x", "pth": "y"}),
                "; did you mean `path`?",
            ),
            (
                serde_json::json!({"name": "a", "type": "file", "path": "x", "batchsize": 5}),
                "; did you mean `batch_size`?",
            ),
            (
                serde_json::json!({"name": "a", "type": "webhook", "url": "http://x", "cafile": "y"}),
                "; did you mean `ca_file`?",
            ),
            (
                serde_json::json!({"name": "a", "type": "file", "path": "x", "batch_size": 0}),
                "batch_size: 0 is not between",
            ),
            (
                serde_json::json!({"name": "a", "type": "file", "path": "x", "concurrency": 2}),
                "concurrency: this destination",
            ),
            (
                serde_json::json!({"name": "a", "type": "file", "path": "x", "types": ["x"]}),
                "types: unknown event type",
            ),
            (
                serde_json::json!({"name": "a", "type": "file", "path": "x", "since": "x"}),
                "since: \"x\"",
            ),
            (
                serde_json::json!({"name": "a", "type": "datadog", "api_key": ""}),
                "api_key: is empty",
            ),
            (
                serde_json::json!({"name": "a", "type": "webhook", "url": "ftp://x"}),
                "url: \"ftp://x\" is not",
            ),
            (
                serde_json::json!({"name": "a", "type": "webhook", "url": "http://x", "ca_file": "/none"}),
                "ca_file: /none:",
            ),
        ];
        for (options, expected) in cases {
            let told = wrong(options);
            assert!(told.contains(expected), "{told:?} does not tell {expected:?}");
        }
    }

    #[test]
    fn no_message_and_no_debug_shows_a_secret() {
        let options = serde_json::json!({"name": "a", "type": "splunk", "hec_url": "https://x", "hec_token": "hush-hush"});
        let Value::Object(options) = options else { panic!("no object") };
        assert!(!format!("{:?}", Definition::parse(options).unwrap()).contains("hush-hush"));
        let told = wrong(
            serde_json::json!({"name": "a", "type": "splunk", "hec_url": "no", "hec_token": "hush-hush"}),
        );
        assert!(!told.contains("hush-hush"), "{told}");
    }
}
