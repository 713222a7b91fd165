//! An event that the disk has changed: it is never sent, its developer learns which it is, and
//! nobody else notices.

use futures_util::StreamExt as _;
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::support::{Client, METRICS, PATIENCE, Service, ids};

/// Flips a byte in the middle of an event's envelope, behind everybody's back.
fn flip(service: &Service, position: u64) {
    let database = Connection::open(service.folder().join("grantex.db")).unwrap();
    let changed = database.execute(
        "UPDATE events SET envelope = CAST(substr(envelope, 1, 60) || x'C3' || substr(envelope, 62) AS BLOB) WHERE position = ?1",
        [position.cast_signed()],
    );
    assert_eq!(changed.unwrap(), 1);
}

/// Eight events, of which the fifth and the sixth are damaged.
async fn damaged(service: &Service) -> (Client, Vec<Value>) {
    let client = service.sandbox().await;
    let agent = client.agent().await;
    for _ in 0..4 {
        client.token(&agent).await;
    }
    let log = client.log().await;
    assert_eq!(log.len(), 8);
    flip(service, 5);
    flip(service, 6);
    (client, log)
}

#[tokio::test]
async fn history_ends_before_it_and_says_how_to_go_on() {
    let service = Service::start().await;
    let (client, log) = damaged(&service).await;
    let page = client.get("/v1/events").await.ok(200);
    assert_eq!(page["events"].as_array().unwrap()[..], log[..4]);
    let cursor = page["nextCursor"].as_str().unwrap();
    let refused = client.get(&format!("/v1/events?after={cursor}")).await;
    let resume = refused.body["resumeAfter"].as_str().unwrap().to_owned();
    let message = refused.refused(500, "EVENT_DAMAGED");
    assert!(message.contains("positions 5 to 6") && message.contains(&resume), "{message}");
    let rest = client.get(&format!("/v1/events?after={resume}")).await.ok(200);
    assert_eq!(rest["events"].as_array().unwrap()[..], log[6..]);
    // Also where a filter hides all that comes before.
    let hidden = client.get("/v1/events?types=budget.exhausted").await.ok(200);
    assert_eq!(
        (hidden["events"].as_array().unwrap().len(), hidden["nextCursor"].as_str()),
        (0, Some(cursor))
    );
    client
        .get(&format!("/v1/events?types=budget.exhausted&after={cursor}"))
        .await
        .refused(500, "EVENT_DAMAGED");
    // Whoever had them before they were damaged is past them.
    for (had, next) in [(4, 5), (5, 6)] {
        let after =
            client.get(&format!("/v1/events?after={}", log[had]["id"].as_str().unwrap())).await;
        if next == 6 {
            assert_eq!(after.ok(200)["events"].as_array().unwrap()[..], log[6..]);
        } else {
            after.refused(500, "EVENT_DAMAGED");
        }
    }
}

#[tokio::test]
async fn backwards_too_history_ends_before_it_and_says_how_to_go_on() {
    let service = Service::start().await;
    let (client, log) = damaged(&service).await;
    let backwards =
        |range: std::ops::Range<usize>| log[range].iter().rev().cloned().collect::<Vec<_>>();
    let page = client.get("/v1/events?order=desc").await.ok(200);
    assert_eq!(page["events"], json!(backwards(6..8)));
    let cursor = page["nextCursor"].as_str().unwrap();
    let refused = client.get(&format!("/v1/events?order=desc&before={cursor}")).await;
    let resume = refused.body["resumeBefore"].as_str().unwrap().to_owned();
    assert!(refused.body["resumeAfter"].is_string());
    let message = refused.refused(500, "EVENT_DAMAGED");
    assert!(message.contains("positions 5 to 6") && message.contains(&resume), "{message}");
    let rest = client.get(&format!("/v1/events?order=desc&before={resume}")).await.ok(200);
    assert_eq!((&rest["events"], &rest["nextCursor"]), (&json!(backwards(0..4)), &json!(null)));
    // Upwards to there, nothing is missing.
    let below = client.get(&format!("/v1/events?before={resume}")).await.ok(200);
    assert_eq!((&below["events"], &below["nextCursor"]), (&json!(log[..4]), &json!(null)));
    for id in [4, 5].map(|index| log[index]["id"].as_str().unwrap()) {
        client.get(&format!("/v1/events/{id}")).await.refused(500, "EVENT_DAMAGED");
    }
    client.get(&format!("/v1/events/{}", log[3]["id"].as_str().unwrap())).await.ok(200);
}

#[tokio::test]
async fn streams_end_before_it_and_others_go_on() {
    let service = Service::start().await;
    let (client, log) = damaged(&service).await;
    let other = service.sandbox().await;
    let agent = other.agent().await;
    let mut theirs = other.stream("?since=2020-01-01T00:00:00Z").await;
    let mut live = client.stream("").await;

    let ended = client.get("/v1/events/stream?since=2020-01-01T00:00:00Z").await;
    let shown: Vec<Value> = ended
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert_eq!(shown, log[..4]);
    let last_line = ended.text.trim_end().lines().last().unwrap();
    assert!(last_line.starts_with(": EVENT_DAMAGED at position 5"), "{last_line}");
    let (last, behind) = (log[3]["id"].as_str().unwrap(), log[6]["id"].as_str().unwrap());
    let refused = client.get(&format!("/v1/events/stream?lastEventId={last}")).await;
    let resume = refused.body["resumeAfter"].as_str().unwrap().to_owned();
    refused.refused(500, "EVENT_DAMAGED");
    let mut resumed = client.stream(&format!("?lastEventId={resume}")).await;
    assert_eq!(resumed.events(2).await, log[6..]);

    let url = format!(
        "{}/v1/events/ws?since=2020-01-01T00:00:00Z",
        client.base.replace("http://", "ws://")
    );
    let mut request = url.into_client_request().unwrap();
    request
        .headers_mut()
        .insert("Authorization", format!("Bearer {}", client.key).parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let mut got = Vec::new();
    let farewell = loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap() {
            Message::Text(text) => got.push(serde_json::from_str::<Value>(&text).unwrap()),
            Message::Close(frame) => break frame.unwrap(),
            _ => {}
        }
    };
    assert_eq!(got, log[..4]);
    assert_eq!(u16::from(farewell.code), 4500);
    assert!(farewell.reason.contains("position 5"), "{farewell:?}");

    // What is new is delivered, and another developer has noticed nothing.
    client.token(&client.agent().await).await;
    assert_eq!(
        live.events(2).await,
        client.get(&format!("/v1/events?after={behind}")).await.ok(200)["events"]
            .as_array()
            .unwrap()[1..]
    );
    other.token(&agent).await;
    assert_eq!(ids(&theirs.events(2).await), ids(&other.log().await));
}

#[tokio::test]
async fn it_is_counted_and_the_service_says_that_it_is_degraded() {
    let _ = &*METRICS;
    let service = Service::start().await;
    let (client, _) = damaged(&service).await;
    let ready = async || service.anonymous().get("/readyz").await.ok(200);
    assert_eq!(ready().await["status"], "healthy", "nobody has read it yet");
    for _ in 0..3 {
        client.get("/v1/events").await.ok(200);
        client.get("/v1/events?since=2020-01-01T00:00:00Z&limit=1").await.ok(200);
    }
    let cursor = client.get("/v1/events").await.ok(200)["nextCursor"].as_str().unwrap().to_owned();
    client.get(&format!("/v1/events?after={cursor}")).await.refused(500, "EVENT_DAMAGED");
    let degraded = ready().await;
    assert_eq!(degraded["status"], "degraded");
    assert_eq!(degraded["reasons"], json!(["2 events are damaged; `grantex check` lists them"]));
    assert!(METRICS.render().contains("grantex_damaged_events_total"));
}
