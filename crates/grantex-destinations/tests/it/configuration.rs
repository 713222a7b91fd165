//! What a configuration gives, and what it refuses.

use grantex_destinations::conformance::MemoryLog;
use grantex_destinations::{DeliveryOptions, EventSource, SourceError};

use crate::support::Scripted;

#[tokio::test]
async fn a_source_reports_mistakes_before_it_starts() {
    let told = |result: Result<EventSource, SourceError>| result.unwrap_err().to_string();
    let builder = || EventSource::builder().url("http://127.0.0.1:1");
    assert!(told(builder().build()).starts_with("api_key: is missing"));
    assert!(told(builder().api_key("two\nlines").build()).contains("key"));
    assert!(told(builder().types(["grant.born"]).build()).starts_with("types: unknown event type"));
    assert!(told(builder().since("yesterday").build()).starts_with("since: \"yesterday\""));

    let source = EventSource::builder().log(MemoryLog::default()).build().unwrap();
    let wrong = |options: DeliveryOptions| {
        source.add_destination_with(Scripted::new("one"), &options).unwrap_err()
    };
    let options = DeliveryOptions::default;
    assert!(
        wrong(DeliveryOptions { batch_size: Some(0), ..options() })
            .to_string()
            .contains("batch_size")
    );
    assert!(
        wrong(DeliveryOptions { concurrency: Some(999), ..options() })
            .to_string()
            .contains("concurrency")
    );
    assert!(
        wrong(DeliveryOptions { retry_base_ms: Some(0), ..options() })
            .to_string()
            .contains("retry_base_ms")
    );
}

#[tokio::test]
async fn a_source_starts_once() {
    let source = EventSource::builder().log(MemoryLog::default()).build().unwrap();
    let running = crate::support::start(&source);
    tokio::task::yield_now().await;
    let told = crate::support::start(&source).await.unwrap();
    source.stop().await;
    let first = running.await.unwrap();
    assert!(told.is_err() != first.is_err(), "one of the two");
}
