use std::time::Duration;

use serde::Deserialize;

use crate::secret::Secret;

/// Where the records go, and how.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaOptions {
    /// `host:port` of some brokers, separated by commas.
    pub brokers: String,
    /// The topic, which must exist.
    pub topic: String,
    /// `client.id`; `grantex` unless given.
    pub client_id: Option<String>,
    /// What the records' key is, and with it what stays in order.
    #[serde(default)]
    pub key: KafkaKey,
    /// Exactly once: records and checkpoint in one transaction of this id. No other forwarder may
    /// use it.
    pub transactional_id: Option<String>,
    /// The compacted topic for checkpoints of transactions, made if it is not there;
    /// `grantex-forward-checkpoints` unless given.
    pub checkpoint_topic: Option<String>,
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`; `none` unless given.
    pub compression: Option<String>,
    /// How CloudEvents are bound (`format = "cloudevents"`).
    #[serde(default)]
    pub cloudevents_mode: CloudEventsMode,
    /// Speak TLS.
    #[serde(default)]
    pub tls: bool,
    /// PEM file with the certificate authorities to trust, instead of the system's.
    pub ca_file: Option<String>,
    /// PEM file with this client's certificate chain.
    pub client_cert_file: Option<String>,
    /// PEM file with this client's private key.
    pub client_key_file: Option<String>,
    /// `plain`, `scram-sha-256`, `scram-sha-512` or `oauthbearer`.
    pub sasl_mechanism: Option<String>,
    /// For SASL.
    pub username: Option<String>,
    /// For SASL.
    pub password: Option<Secret>,
    /// For `oauthbearer`.
    pub token: Option<Secret>,
    /// A SOCKS5 proxy, `host:port`.
    pub proxy: Option<String>,
    /// How long a record may take until it is acknowledged, in milliseconds; 30,000 unless given.
    pub timeout_ms: Option<u64>,
}

impl KafkaOptions {
    /// Brokers and topic, all else by default.
    pub fn new(brokers: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            topic: topic.into(),
            client_id: None,
            key: KafkaKey::default(),
            transactional_id: None,
            checkpoint_topic: None,
            compression: None,
            cloudevents_mode: CloudEventsMode::default(),
            tls: false,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            sasl_mechanism: None,
            username: None,
            password: None,
            token: None,
            proxy: None,
            timeout_ms: None,
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout_ms.map_or(Duration::from_secs(30), Duration::from_millis)
    }
}

/// What a record's key is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KafkaKey {
    /// The grant: all events of a grant stay in order.
    #[default]
    GrantId,
    /// The event: spread evenly, and the key to compact by.
    EventId,
    /// The type.
    EventType,
}

/// How a `CloudEvent` becomes a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CloudEventsMode {
    /// The whole event is the value.
    #[default]
    Structured,
    /// The attributes are `ce_…` headers, the data is the value.
    Binary,
}
