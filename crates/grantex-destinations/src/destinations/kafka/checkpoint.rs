//! Checkpoints that are committed with the records they cover.
//!
//! One compacted topic holds the last event of each forwarder's destination. It is written in the
//! same transaction as the events, so it is right whatever happens to the forwarder and its state
//! folder.

use std::time::Duration;

use grantex::EventId;
use krafka::admin::{CreateTopicsOptions, NewTopic};
use krafka::consumer::CompactedTopicConsumer;
use krafka::error::ErrorCode;
use krafka::{Kafka, KrafkaError, Record};

use crate::destination::SendError;

const DEFAULT_TOPIC: &str = "grantex-forward-checkpoints";

/// Reading the whole topic; another forwarder's open transaction may hold it up for a while.
const READ_LIMIT: Duration = Duration::from_secs(120);

pub(super) struct Checkpoints {
    topic: String,
    key: String,
}

impl Checkpoints {
    pub(super) fn new(topic: Option<&str>, destination: &str, transactional_id: &str) -> Self {
        let key = format!("{transactional_id}/{destination}");
        Self { topic: topic.unwrap_or(DEFAULT_TOPIC).to_owned(), key }
    }

    /// Makes the topic if it is not there.
    pub(super) async fn ensure_topic(&self, kafka: &Kafka) -> Result<(), SendError> {
        // -1: as many replicas as the cluster gives by default.
        let topic = NewTopic::new(&self.topic, 1, -1)
            .map_err(|error| SendError::refused(error.to_string()))?;
        let topic = topic.with_config("cleanup.policy", "compact");
        let admin = kafka.admin();
        let made = admin.create_topics([topic], CreateTopicsOptions::default()).await;
        let made = made.map_err(|error| SendError::retry(error.to_string()))?;
        match made.into_values().next() {
            None | Some(Ok(())) => Ok(()),
            Some(Err(error)) if is_broker(&error, &[ErrorCode::TopicAlreadyExists]) => Ok(()),
            Some(Err(error)) if is_broker(&error, &FORBIDDEN) => {
                tracing::debug!(%error, topic = self.topic, "the checkpoint topic cannot be made; it may be there");
                Ok(())
            }
            Some(Err(error)) => Err(SendError::retry(format!("the topic {}: {error}", self.topic))),
        }
    }

    /// The last event that is committed; `None` where nothing was ever.
    pub(super) async fn read(&self, kafka: &Kafka) -> Result<Option<EventId>, SendError> {
        let failed =
            |error: KrafkaError| SendError::retry(format!("the topic {}: {error}", self.topic));
        let builder = kafka.consumer_without_group().fetch_max_wait(Duration::from_millis(100));
        let mut topic = CompactedTopicConsumer::from_consumer_builder(builder, &self.topic)
            .await
            .map_err(failed)?;
        topic.scan_with_timeout(Duration::from_millis(200), READ_LIMIT).await.map_err(failed)?;
        let value = topic.table().get_value(self.key.as_bytes()).cloned();
        topic.close().await.map_err(failed)?;
        let Some(value) = value else { return Ok(None) };
        let id = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
        let wrong = || {
            SendError::refused(format!(
                "the record {} in the topic {} is no checkpoint of this program; choose another checkpoint_topic",
                self.key, self.topic
            ))
        };
        Ok(Some(id.ok_or_else(wrong)?))
    }

    /// The record that commits `last` as the checkpoint.
    pub(super) fn record(&self, last: EventId) -> Record {
        Record::new(&self.topic, last.to_string()).key(self.key.clone())
    }
}

/// What a broker answers who may not make topics, or not this one.
const FORBIDDEN: [ErrorCode; 2] =
    [ErrorCode::TopicAuthorizationFailed, ErrorCode::ClusterAuthorizationFailed];

/// Whether a broker answered with one of these codes.
fn is_broker(error: &KrafkaError, codes: &[ErrorCode]) -> bool {
    matches!(error, KrafkaError::Broker { code, .. } if codes.contains(code))
}
