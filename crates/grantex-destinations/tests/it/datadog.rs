use std::time::Duration;

use grantex_destinations::conformance::{self, MemoryLog, Order, Promises, Receiver};
use grantex_destinations::{
    DatadogDestination, DatadogOptions, DeliveryOptions, EventDestination as _, EventId,
    HttpOptions,
};
use grantex_receivers::{Datadog, Fault, Server};
use tokio::runtime::Runtime;

use crate::support::{oversize, quick, source, start, until};

struct Intake {
    intake: Datadog,
    server: Server,
}

impl Intake {
    async fn start() -> Self {
        let intake = Datadog::new("dd-key");
        let server = Server::start(intake.router(), intake.faults.clone(), 0).await.unwrap();
        Self { intake, server }
    }

    fn options(&self, key: &str) -> DatadogOptions {
        DatadogOptions {
            url: Some(self.server.url()),
            tags: vec!["env:test".into()],
            ..DatadogOptions::new(key)
        }
    }

    fn with(&self, key: &str) -> DatadogDestination {
        DatadogDestination::new("datadog", self.options(key), &HttpOptions::default()).unwrap()
    }
}

impl Receiver for Intake {
    type Destination = DatadogDestination;

    async fn destination(&self) -> DatadogDestination {
        self.with("dd-key")
    }

    async fn received(&self) -> Vec<EventId> {
        self.intake.kept.ids().iter().map(|id| id.parse().unwrap()).collect()
    }

    fn promises(&self) -> Promises {
        Promises { order: Order::Total, is_exactly_once: false }
    }

    async fn disturb(&self) {
        let faults = [
            Fault::Status(429),
            Fault::Status(408),
            Fault::Status(500),
            Fault::Status(403),
            Fault::Reset,
            Fault::TakenButStatus(503),
            Fault::TakenButReset,
            Fault::Status(413),
            Fault::Hang(50),
        ];
        self.intake.faults.add(faults);
    }
}

#[test]
fn conforms() {
    let runtime = Runtime::new().unwrap();
    conformance::check(&runtime.block_on(Intake::start())).unwrap();
}

#[tokio::test]
async fn an_entry_has_the_fields_that_datadog_expects() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Intake::start().await;
    let log = MemoryLog::default();
    log.append(1);
    let source = source(&log, folder.path());
    source.add_destination_with(receiver.destination().await, &quick()).unwrap();
    let running = start(&source);
    until("it arrives", || receiver.intake.kept.count() == 1).await;
    source.stop().await;
    running.await.unwrap().unwrap();
    let entry = receiver.intake.entries.lock()[0].clone();
    assert_eq!((&entry["ddsource"], &entry["service"]), (&"grantex".into(), &"grantex".into()));
    assert_eq!(entry["ddtags"], "env:test,event_type:token.issued");
    assert_eq!(entry["event_id"], log.ids()[0].to_string());
    // The sample is of months ago: Datadog would not take its time.
    assert!(entry.get("timestamp").is_none());
}

#[tokio::test]
async fn batches_beyond_the_limits_are_made_smaller_not_refused() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Intake::start().await;
    let log = MemoryLog::default();
    log.append(2500);
    let source = source(&log, folder.path());
    let options =
        DeliveryOptions { batch_size: Some(2500), batch_bytes: Some(50 << 20), ..quick() };
    source.add_destination_with(receiver.destination().await, &options).unwrap();
    let running = start(&source);
    until("all arrive", || receiver.intake.kept.count() == 2500).await;
    let stats = source.stop().await;
    running.await.unwrap().unwrap();
    assert_eq!((stats[0].dead_letters, *receiver.intake.cut_off.lock()), (0, 0));
    assert_eq!(receiver.received().await, log.ids());
}

#[tokio::test]
async fn a_wrong_key_is_reported_and_waits_for_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Intake::start().await;
    let told = receiver.with("wrong").probe().await.unwrap_err().to_string();
    assert!(told.contains("is api_key a key of this site"), "{told}");
    assert!(receiver.with("dd-key").probe().await.unwrap().contains("accepts the API key"));

    let log = MemoryLog::default();
    log.append(3);
    *receiver.intake.api_key.lock() = "rotated".into();
    let source = source(&log, folder.path());
    source.add_destination_with(receiver.with("dd-key"), &quick()).unwrap();
    let running = start(&source);
    until("it is refused", || source.stats()[0].retries > 2).await;
    assert!(source.stats()[0].last_error.as_ref().is_some_and(|error| error.contains("403")));
    source.remove_destination("datadog").await;
    source.add_destination_with(receiver.with("rotated"), &quick()).unwrap();
    until("all arrive", || receiver.intake.kept.count() == 3).await;
    source.stop().await;
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_intake_that_hangs_is_given_up_after_the_time_out() {
    let receiver = Intake::start().await;
    receiver.intake.faults.add([Fault::Hang(60_000)]);
    let http = HttpOptions { timeout_ms: Some(50), ..HttpOptions::default() };
    let destination =
        DatadogDestination::new("datadog", receiver.options("dd-key"), &http).unwrap();
    let told = tokio::time::timeout(Duration::from_secs(30), destination.probe()).await.unwrap();
    assert_eq!(told.unwrap_err().to_string(), "no answer in time");
}

#[tokio::test]
async fn a_log_that_datadog_would_cut_off_is_a_dead_letter() {
    let receiver = Intake::start().await;
    oversize(receiver.destination().await, 1_000_001).await;
    assert_eq!((receiver.intake.kept.count(), *receiver.intake.cut_off.lock()), (9, 0));
}
