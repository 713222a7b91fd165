use grantex_destinations::conformance::{self, MemoryLog, Order, Promises, Receiver};
use grantex_destinations::{
    EventDestination as _, EventId, HttpOptions, SendError, SplunkDestination, SplunkOptions,
};
use grantex_receivers::{Fault, Server, Splunk};
use tokio::runtime::Runtime;

use crate::support::{oversize, quick, source, start, until};

struct Collector {
    splunk: Splunk,
    server: Server,
}

impl Collector {
    async fn start(ack: bool) -> Self {
        let splunk = Splunk::new("hec-token", ack);
        let server = Server::start(splunk.router(), splunk.faults.clone(), 0).await.unwrap();
        Self { splunk, server }
    }

    fn options(&self) -> SplunkOptions {
        let options = SplunkOptions::new(self.server.url(), "hec-token");
        SplunkOptions { ack: self.splunk.ack, host: Some("forwarder-1".into()), ..options }
    }
}

fn made(options: SplunkOptions) -> SplunkDestination {
    SplunkDestination::new("splunk", options, &HttpOptions::default()).unwrap()
}

impl Receiver for Collector {
    type Destination = SplunkDestination;

    async fn destination(&self) -> SplunkDestination {
        made(self.options())
    }

    async fn received(&self) -> Vec<EventId> {
        self.splunk.kept.ids().iter().map(|id| id.parse().unwrap()).collect()
    }

    fn promises(&self) -> Promises {
        Promises { order: Order::Total, is_exactly_once: false }
    }

    async fn disturb(&self) {
        let faults = [
            Fault::Status(503),
            Fault::Throttle(0),
            Fault::Reset,
            Fault::TakenButStatus(500),
            Fault::TakenButReset,
        ];
        self.splunk.faults.add(faults);
    }
}

#[test]
fn conforms() {
    let runtime = Runtime::new().unwrap();
    conformance::check(&runtime.block_on(Collector::start(false))).unwrap();
}

#[test]
fn conforms_with_acknowledgement() {
    let runtime = Runtime::new().unwrap();
    conformance::check(&runtime.block_on(Collector::start(true))).unwrap();
}

#[tokio::test]
async fn an_event_has_the_fields_that_splunk_expects() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Collector::start(true).await;
    let log = MemoryLog::default();
    log.append(2);
    let source = source(&log, folder.path());
    let options = SplunkOptions { index: Some("audit".into()), ..receiver.options() };
    source.add_destination_with(made(options), &quick()).unwrap();
    let running = start(&source);
    until("they arrive", || receiver.splunk.kept.count() == 2).await;
    source.stop().await;
    running.await.unwrap().unwrap();
    let event = receiver.splunk.events.lock()[1].clone();
    assert_eq!(event["time"].to_string(), "1772366400.001", "milliseconds, as a number");
    assert_eq!((&event["host"], &event["index"]), (&"forwarder-1".into(), &"audit".into()));
    assert_eq!((&event["source"], &event["sourcetype"]), (&"grantex".into(), &"_json".into()));
    assert_eq!(event["fields"]["event_id"], log.ids()[1].to_string());
    assert_eq!(event["event"]["id"], log.ids()[1].to_string());
}

#[tokio::test]
async fn what_is_never_acknowledged_is_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Collector::start(true).await;
    *receiver.splunk.loses.lock() = 2;
    let log = MemoryLog::default();
    log.append(3);
    let source = source(&log, folder.path());
    let options = SplunkOptions { ack_timeout_ms: Some(500), ..receiver.options() };
    source.add_destination_with(made(options), &quick()).unwrap();
    let running = start(&source);
    until("they arrive", || receiver.splunk.kept.count() == 3).await;
    let stats = source.stop().await;
    running.await.unwrap().unwrap();
    assert_eq!(stats[0].retries, 2);
}

#[tokio::test]
async fn the_probe_reports_what_is_wrong() {
    let receiver = Collector::start(true).await;
    let told = |options: SplunkOptions| {
        let destination = made(options);
        async move { destination.probe().await }
    };
    assert!(told(receiver.options()).await.unwrap().contains("accepts the token"));
    let wrong =
        told(SplunkOptions { hec_token: "wrong".into(), ..receiver.options() }).await.unwrap_err();
    assert!(
        matches!(&wrong, SendError::Refused(told) if told.contains("is hec_token right?")),
        "{wrong}"
    );
    let without = told(SplunkOptions { ack: false, ..receiver.options() }).await.unwrap_err();
    assert!(
        matches!(&without, SendError::Refused(told) if told.contains("Data channel is missing")),
        "{without}"
    );
    assert!(
        SplunkDestination::new(
            "s",
            SplunkOptions::new("splunk:8088", "t"),
            &HttpOptions::default()
        )
        .is_err()
    );
}

#[tokio::test]
async fn an_index_that_the_token_may_not_use_rejects_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Collector::start(false).await;
    let log = MemoryLog::default();
    log.append(2);
    let source = source(&log, folder.path());
    let options = SplunkOptions { index: Some("forbidden".into()), ..receiver.options() };
    source.add_destination_with(made(options), &quick()).unwrap();
    let running = start(&source);
    until("it is refused", || source.stats()[0].retries > 1).await;
    let stats = source.stop().await;
    running.await.unwrap().unwrap();
    assert_eq!(stats[0].dead_letters, 0);
    assert!(
        stats[0].last_error.as_ref().unwrap().contains("check that this token may use the index")
    );
}

#[tokio::test]
async fn an_event_beyond_the_collectors_limit_is_a_dead_letter() {
    let receiver = Collector::start(true).await;
    oversize(receiver.destination().await, 2 << 20).await;
    assert_eq!(receiver.splunk.kept.count(), 9);
}
