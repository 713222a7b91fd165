//! Apache Kafka.

mod checkpoint;
mod connect;
mod options;

use std::sync::Arc;
use std::time::Duration;

use grantex::internal::explained;
use grantex::{EventId, GrantexEvent};
use krafka::error::ErrorCode;
use krafka::producer::{Producer, TransactionalProducer};
use krafka::{KrafkaError, Record};
use tokio::sync::Mutex;

use crate::batch::Batch;
use crate::destination::{BatchLimits, EventDestination, SendError};
use crate::error::ConfigError;
use crate::format::{self, FormatKind, cloudevents};
use checkpoint::Checkpoints;

pub use options::{CloudEventsMode, KafkaKey, KafkaOptions};

/// Bytes of one record: the default limit of brokers.
const MOST_RECORD_BYTES: usize = 1 << 20;

/// A batch goes out at once: it was gathered before.
const LINGER: Duration = Duration::from_millis(5);

/// How long a probe waits for a topic.
const PROBE_LIMIT: Duration = Duration::from_secs(10);

/// The broker aborts the transaction of a crashed forwarder after this time.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Produces each event as a record, with `acks=all` and an idempotent producer: what is
/// acknowledged is on all replicas that are in sync, once, and in order for each key. A crash sends
/// the batch in flight again, with the same `event-id` headers; with a `transactional_id` it does
/// not, as readers with `isolation.level=read_committed` see.
pub struct KafkaDestination {
    name: String,
    options: Arc<KafkaOptions>,
    session: Mutex<Option<ProducerSession>>,
}

/// One producer for the life of the process, made again only where it cannot go on.
struct ProducerSession {
    producer: Kind,
    /// With transactions: the last event that is committed.
    committed: Option<EventId>,
}

enum Kind {
    Idempotent(Box<Producer>),
    Transactional(Box<TransactionalProducer>, Checkpoints),
}

impl std::fmt::Debug for KafkaDestination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaDestination")
            .field("name", &self.name)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl KafkaDestination {
    /// A destination of this name.
    pub fn new(name: impl Into<String>, options: KafkaOptions) -> Result<Self, ConfigError> {
        let present = |key: &'static str, value: &str| {
            if value.is_empty() { Err(ConfigError::value(key, "is empty")) } else { Ok(()) }
        };
        present("brokers", &options.brokers)?;
        present("topic", &options.topic)?;
        connect::security(&options)?;
        connect::compression(&options)?;
        Ok(Self { name: name.into(), options: Arc::new(options), session: Mutex::new(None) })
    }

    async fn session(&self) -> Result<ProducerSession, SendError> {
        let kafka = connect::kafka(&self.options).await?;
        let builder = kafka
            .producer()
            .compression(
                connect::compression(&self.options)
                    .map_err(|error| SendError::refused(error.to_string()))?,
            )
            .linger(LINGER)
            .max_request_size(MOST_RECORD_BYTES)
            .batch_size(256 << 10)
            .max_block(self.options.timeout())
            .delivery_timeout(self.options.timeout());
        let failed = |error: KrafkaError| self.error(&error);
        let Some(id) = &self.options.transactional_id else {
            let producer = Kind::Idempotent(Box::new(builder.build().await.map_err(failed)?));
            return Ok(ProducerSession { producer, committed: None });
        };
        let checkpoints =
            Checkpoints::new(self.options.checkpoint_topic.as_deref(), &self.name, id);
        checkpoints.ensure_topic(&kafka).await?;
        let builder = builder.transaction_timeout(TRANSACTION_TIMEOUT.max(self.options.timeout()));
        // This fences the previous user of the id, and ends its open transaction. Only then the
        // last checkpoint is certain.
        let producer = Box::new(builder.build_transactional(id.clone()).await.map_err(failed)?);
        let committed = checkpoints.read(&kafka).await?;
        Ok(ProducerSession { producer: Kind::Transactional(producer, checkpoints), committed })
    }

    fn record(&self, batch: &Batch, event: &GrantexEvent) -> Record {
        let is_binary = batch.format().kind == FormatKind::CloudEvents
            && self.options.cloudevents_mode == CloudEventsMode::Binary;
        let mut value = Vec::new();
        if is_binary {
            value.extend_from_slice(format::data(event).get().as_bytes());
        } else {
            batch.encode(event, &mut value);
        }
        let key = match self.options.key {
            KafkaKey::GrantId => format::grant_id(event),
            KafkaKey::EventId => Some(event.id.to_string()),
            KafkaKey::EventType => Some(event.r#type.to_string()),
        };
        let kind = event.r#type.to_string();
        let record = Record::new(&self.options.topic, value)
            .key(key.unwrap_or_else(|| event.id.to_string()))
            .timestamp(event.timestamp.millis().cast_signed());
        let record = record.header("event-id", event.id.to_string()).header("event-type", kind);
        if !is_binary {
            let content = match batch.format().kind {
                FormatKind::CloudEvents => "application/cloudevents+json; charset=UTF-8",
                _ => "application/json",
            };
            return record.header("content-type", content);
        }
        let record = record
            .header("content-type", "application/json")
            .header("ce_specversion", cloudevents::SPEC_VERSION)
            .header("ce_id", event.id.to_string())
            .header("ce_source", batch.format().source.clone())
            .header("ce_type", cloudevents::type_name(event))
            .header("ce_time", event.timestamp.to_string());
        match format::grant_id(event) {
            Some(grant) => record.header("ce_subject", grant),
            None => record,
        }
    }

    /// Sends all of a batch and waits for all of it.
    async fn produce(&self, session: &mut ProducerSession, batch: &Batch) -> Result<(), SendError> {
        let records = batch.events().iter().map(|event| self.record(batch, event)).collect();
        match &session.producer {
            Kind::Idempotent(producer) => self.outcome(enqueue_all!(producer, records)),
            Kind::Transactional(producer, checkpoints) => {
                producer.begin().map_err(|error| self.error(&error))?;
                let mut sent = self.outcome(enqueue_all!(producer, records));
                if sent.is_ok() && !batch.is_redelivery() {
                    let place = checkpoints.record(batch.last());
                    sent = producer.send(place).await.map(drop).map_err(|error| self.error(&error));
                }
                if let Err(error) = sent {
                    return match producer.abort().await {
                        // Nothing of an aborted transaction is visible.
                        Ok(()) => Err(undelivered(error)),
                        Err(_) => Err(SendError::retry(error.to_string())),
                    };
                }
                producer.commit().await.map_err(|error| SendError::retry(error.to_string()))?;
                if !batch.is_redelivery() {
                    session.committed = Some(batch.last());
                }
                Ok(())
            }
        }
    }

    fn outcome(&self, results: Vec<Result<(), KrafkaError>>) -> Result<(), SendError> {
        let mut rejected = Vec::new();
        for (index, result) in results.into_iter().enumerate() {
            match result.map_err(|error| self.error(&error)) {
                Ok(()) => {}
                Err(SendError::Rejected(reason) | SendError::TooLarge(reason)) => {
                    rejected.push((index, reason));
                }
                Err(error) => return Err(error),
            }
        }
        if rejected.is_empty() {
            return Ok(());
        }
        Err(SendError::EventsRejected { events: rejected, others_delivered: true })
    }

    fn error(&self, error: &KrafkaError) -> SendError {
        let message = explained(&error.to_string());
        match error {
            KrafkaError::UnknownTopic { topic } => SendError::refused(format!(
                "{message}; create it, for instance with: kafka-topics.sh --create --topic {topic} --bootstrap-server {}",
                self.options.brokers
            )),
            KrafkaError::Broker { code: ErrorCode::UnknownTopicOrPartition, .. } => {
                SendError::refused(format!(
                    "{message}; create the topic {}, for instance with: kafka-topics.sh --create --topic {} --bootstrap-server {}",
                    self.options.topic, self.options.topic, self.options.brokers
                ))
            }
            KrafkaError::Fenced { .. } => SendError::refused(format!(
                "{message}; does another forwarder use the same transactional_id?"
            )),
            KrafkaError::Config { .. } if message.contains("max_request_size") => {
                SendError::TooLarge(message)
            }
            KrafkaError::Auth { .. }
            | KrafkaError::Config { .. }
            | KrafkaError::Broker {
                code:
                    ErrorCode::TopicAuthorizationFailed
                    | ErrorCode::ClusterAuthorizationFailed
                    | ErrorCode::TransactionalIdAuthorizationFailed
                    | ErrorCode::SaslAuthenticationFailed
                    | ErrorCode::InvalidTopic,
                ..
            } => SendError::refused(message),
            KrafkaError::Broker {
                code: ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge,
                ..
            } => SendError::TooLarge(message),
            KrafkaError::Broker {
                code: ErrorCode::InvalidRecord | ErrorCode::InvalidTimestamp,
                ..
            }
            | KrafkaError::Serialization { .. } => SendError::Rejected(message),
            _ => SendError::retry(message),
        }
    }
}

/// Puts all records into the producer in order, then waits for each: `Producer` and
/// `TransactionalProducer` have the same methods and no common trait.
macro_rules! enqueue_all {
    ($producer:expr, $records:expr) => {{
        let records: Vec<Record> = $records;
        let mut handles = Vec::with_capacity(records.len());
        for record in records {
            handles.push($producer.enqueue(record).await);
        }
        // All are on their way: waiting for one after the other waits for the last.
        let mut results = Vec::with_capacity(handles.len());
        for handle in handles {
            results.push(match handle {
                Ok(handle) => handle.await.map(drop),
                Err(error) => Err(error),
            });
        }
        results
    }};
}
use enqueue_all;

/// The same error where nothing of the batch was delivered.
fn undelivered(error: SendError) -> SendError {
    match error {
        SendError::EventsRejected { events, .. } => {
            SendError::EventsRejected { events, others_delivered: false }
        }
        other => other,
    }
}

impl EventDestination for KafkaDestination {
    fn name(&self) -> &str {
        &self.name
    }

    fn defaults(&self) -> BatchLimits {
        BatchLimits { events: 500, bytes: 1 << 20, age: Duration::from_millis(200) }
    }

    fn max_concurrency(&self) -> usize {
        1
    }

    async fn open(&self, _: Option<EventId>) -> Result<Option<EventId>, SendError> {
        let mut slot = self.session.lock().await;
        if slot.is_none() {
            *slot = Some(self.session().await?);
        }
        Ok(slot.as_ref().and_then(|session| session.committed))
    }

    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        let mut slot = self.session.lock().await;
        let mut session = match slot.take() {
            Some(session) => session,
            None => {
                let session = self.session().await?;
                // The try before may have been committed without our hearing of it.
                let is_there = session.committed.is_some_and(|committed| committed >= batch.last());
                if batch.is_repeat() && !batch.is_redelivery() && is_there {
                    *slot = Some(session);
                    return Ok(());
                }
                session
            }
        };
        // The slot stays empty if this is cancelled: then it is unknown what was committed.
        let sent = self.produce(&mut session, batch).await;
        let is_usable = match (&sent, &session.producer) {
            (Ok(()) | Err(SendError::EventsRejected { .. }), _) | (_, Kind::Idempotent(_)) => true,
            (Err(_), Kind::Transactional(..)) => false,
        };
        if is_usable && !matches!(sent, Err(SendError::Refused(_))) {
            *slot = Some(session);
        }
        sent
    }

    async fn close(&self) -> Result<(), SendError> {
        let Some(session) = self.session.lock().await.take() else { return Ok(()) };
        let closed = match session.producer {
            Kind::Idempotent(producer) => producer.close().await,
            Kind::Transactional(producer, _) => producer.close().await,
        };
        closed.map_err(|error| SendError::retry(error.to_string()))
    }

    async fn probe(&self) -> Result<String, SendError> {
        let kafka = connect::kafka(&self.options).await?;
        let producer = kafka.producer().delivery_timeout(self.options.timeout());
        // A topic that is not there is waited for so long.
        let producer = producer.max_block(self.options.timeout().min(PROBE_LIMIT)).build().await;
        let producer = producer.map_err(|error| self.error(&error))?;
        let partitions = producer.partitions_for(&self.options.topic).await;
        let partitions = partitions.map_err(|error| self.error(&error))?;
        if partitions.is_empty() {
            return Err(
                self.error(&KrafkaError::UnknownTopic { topic: self.options.topic.clone() })
            );
        }
        Ok(format!("topic {} has {} partitions", self.options.topic, partitions.len()))
    }
}
