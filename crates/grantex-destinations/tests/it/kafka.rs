use std::sync::{Arc, OnceLock};
use std::time::Duration;

use grantex_destinations::conformance::{self, MemoryLog, Order, Promises, Receiver};
use grantex_destinations::{
    CloudEventsMode, DeliveryOptions, EventDestination as _, EventId, FormatKind, KafkaDestination,
    KafkaOptions, SendError,
};
use krafka::Kafka;
use krafka::consumer::{AutoOffsetReset, ConsumerRecord, IsolationLevel};
use parking_lot::Mutex;

use crate::support::{Process, oversize, quick, source, start, until};

/// A topic of one partition, so that it has one order.
struct Topic {
    server: Arc<Mutex<Process>>,
    options: KafkaOptions,
}

impl Topic {
    /// On the one broker that the tests share; it ends with the process.
    fn start(topic: &str) -> Self {
        static SHARED: OnceLock<Arc<Mutex<Process>>> = OnceLock::new();
        Self::on(
            SHARED.get_or_init(|| Arc::new(Mutex::new(Process::start(&["kafka"])))).clone(),
            topic,
        )
    }

    fn on(server: Arc<Mutex<Process>>, topic: &str) -> Self {
        server.lock().command(&format!("topic {topic} 1"));
        let options = KafkaOptions::new(server.lock().address("brokers"), topic);
        Self { server, options }
    }

    fn transactional(mut self) -> Self {
        self.options.transactional_id = Some(format!("forwarder-of-{}", self.options.topic));
        self
    }

    /// All records that are committed.
    async fn records(&self) -> Vec<ConsumerRecord> {
        let kafka = Kafka::builder(&*self.options.brokers).connect().await.unwrap();
        let consumer = kafka
            .consumer_without_group()
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .isolation_level(IsolationLevel::ReadCommitted)
            .build()
            .await
            .unwrap();
        let topic = &self.options.topic;
        consumer.assign(topic, vec![0]).await.unwrap();
        let (_, end) = consumer.fetch_watermarks(topic, 0).await.unwrap();
        let mut records = Vec::new();
        while consumer.position(topic, 0).await.unwrap_or(0) < end {
            let polled = consumer.poll(Duration::from_millis(300)).await.unwrap();
            let is_done = polled.is_empty();
            records.extend(polled);
            if is_done {
                break;
            }
        }
        consumer.close().await.unwrap();
        records
    }
}

fn header(record: &ConsumerRecord, name: &str) -> String {
    let found = record.headers.iter().find(|header| header.0 == name);
    let value = found.and_then(|header| header.1.clone()).unwrap_or_default();
    String::from_utf8(value.to_vec()).unwrap()
}

fn made(options: KafkaOptions) -> KafkaDestination {
    KafkaDestination::new("kafka", options).unwrap()
}

impl Receiver for Topic {
    type Destination = KafkaDestination;

    async fn destination(&self) -> KafkaDestination {
        made(self.options.clone())
    }

    async fn received(&self) -> Vec<EventId> {
        self.records()
            .await
            .iter()
            .map(|record| header(record, "event-id").parse().unwrap())
            .collect()
    }

    fn promises(&self) -> Promises {
        Promises { order: Order::Total, is_exactly_once: self.options.transactional_id.is_some() }
    }
}

#[test]
fn conforms() {
    conformance::check(&Topic::start("plain")).unwrap();
}

#[test]
fn conforms_with_transactions() {
    conformance::check(&Topic::start("transactional").transactional()).unwrap();
}

#[tokio::test]
async fn transactions_are_exactly_once_even_without_the_state_folder() {
    let topic = Topic::start("stateless").transactional();
    let log = MemoryLog::default();
    for round in 1..=3 {
        log.append(10);
        let folder = tempfile::tempdir().unwrap();
        let source = source(&log, folder.path());
        source.add_destination_with(topic.destination().await, &quick()).unwrap();
        let running = start(&source);
        until("all are delivered", || source.stats()[0].cursor == log.ids().last().copied()).await;
        source.stop().await;
        running.await.unwrap().unwrap();
        // The markers of a transaction come after the answer to its commit.
        let mut received = topic.received().await;
        while received.len() < log.ids().len() {
            received = topic.received().await;
        }
        assert_eq!(received, log.ids(), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_brokers_may_die() {
    let topic = Topic::on(Arc::new(Mutex::new(Process::start(&["kafka", "3"]))), "survivor");
    let folder = tempfile::tempdir().unwrap();
    let log = MemoryLog::default();
    log.append(2000);
    let source = source(&log, folder.path());
    source.add_destination_with(topic.destination().await, &quick()).unwrap();
    let running = start(&source);
    until("some arrive", || source.stats()[0].delivered > 200).await;
    topic.server.lock().command("kill 2");
    log.append(2000);
    until("all arrive", || source.stats()[0].delivered == 4000).await;
    source.stop().await;
    running.await.unwrap().unwrap();
    let mut received = topic.received().await;
    assert!(received.is_sorted(), "in order");
    received.dedup();
    assert_eq!(received, log.ids());
}

#[tokio::test]
async fn records_say_what_they_are() {
    let topic = Topic::start("formats");
    let log = MemoryLog::default();
    log.append(1);
    for (format, mode) in [
        (FormatKind::Native, CloudEventsMode::Structured),
        (FormatKind::CloudEvents, CloudEventsMode::Structured),
        (FormatKind::CloudEvents, CloudEventsMode::Binary),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let source = source(&log, folder.path());
        let destination = made(KafkaOptions { cloudevents_mode: mode, ..topic.options.clone() });
        let options = DeliveryOptions { format: Some(format), ..quick() };
        source.add_destination_with(destination, &options).unwrap();
        let running = start(&source);
        until("it arrives", || source.stats()[0].delivered == 1).await;
        source.stop().await;
        running.await.unwrap().unwrap();
    }
    let records = topic.records().await;
    let (id, content) = (log.ids()[0].to_string(), |n: usize| header(&records[n], "content-type"));
    assert_eq!(records.len(), 3);
    for record in &records {
        assert_eq!(
            (header(record, "event-id"), header(record, "event-type")),
            (id.clone(), "token.issued".into())
        );
        assert!(record.key_str().unwrap().starts_with("grnt_"));
        assert_eq!(record.timestamp, 1_772_366_400_000);
    }
    let value = |n: usize| -> serde_json::Value {
        serde_json::from_slice(records[n].value.as_ref().unwrap()).unwrap()
    };
    assert_eq!((content(0).as_str(), &value(0)["id"]), ("application/json", &id.clone().into()));
    assert_eq!(content(1), "application/cloudevents+json; charset=UTF-8");
    assert_eq!((&value(1)["specversion"], &value(1)["id"]), (&"1.0".into(), &id.clone().into()));
    assert_eq!((content(2).as_str(), header(&records[2], "ce_id")), ("application/json", id));
    assert_eq!(header(&records[2], "ce_type"), "dev.grantex.token.issued");
    assert_eq!(header(&records[2], "ce_source"), "https://auth.example.com");
    assert_eq!(value(2)["method"], "exchange", "the data alone");
}

#[tokio::test]
async fn tls_and_sasl_work_and_a_wrong_password_is_reported() {
    let topic = Topic::start("secured");
    let addresses = topic.server.lock().addresses.clone();
    let address = |name: &str| addresses[name].as_str().unwrap().to_owned();
    let secured = |mechanism: &str, password: &str| KafkaOptions {
        brokers: address("secure_brokers"),
        tls: true,
        ca_file: Some(address("ca_file")),
        sasl_mechanism: Some(mechanism.into()),
        username: Some(address("username")),
        password: Some(password.into()),
        ..topic.options.clone()
    };
    for mechanism in ["plain", "scram-sha-256", "scram-sha-512"] {
        let found = made(secured(mechanism, &address("password"))).probe().await;
        assert_eq!(found.unwrap(), "topic secured has 1 partitions", "{mechanism}");
        let told = made(secured(mechanism, "wrong")).probe().await.unwrap_err();
        assert!(matches!(told, SendError::Refused(_)), "{mechanism}: {told:?}");
    }
    let stranger = KafkaOptions { ca_file: None, ..secured("plain", "x") };
    let told = made(stranger).probe().await.unwrap_err();
    assert!(
        matches!(told, SendError::Refused(_)),
        "the certificate is of nobody we know: {told:?}"
    );
}

#[tokio::test]
async fn a_missing_topic_is_reported_with_the_command_that_creates_it() {
    let topic = Topic::start("there");
    let missing = made(KafkaOptions { topic: "not-there".into(), ..topic.options.clone() });
    let told = missing.probe().await.unwrap_err();
    assert!(
        matches!(&told, SendError::Refused(told) if told.contains("kafka-topics.sh --create --topic not-there")),
        "{told}"
    );
}

#[tokio::test]
async fn a_record_beyond_the_brokers_limit_is_a_dead_letter() {
    let topic = Topic::start("oversize");
    oversize(topic.destination().await, 1 << 20).await;
    let topic = topic.transactional();
    oversize(topic.destination().await, 1 << 20).await;
}
