use std::time::{Duration, Instant};

use grantex_types::sse::Item;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Client, PATIENCE, Service, ids, types, until};

/// A plain socket that has asked for a stream.
async fn socket(client: &Client, query: &str) -> TcpStream {
    let address = client.base.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /v1/events/stream{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        client.key
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

#[tokio::test]
async fn an_empty_log_gives_a_cursor_at_once_and_then_live_events() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let mut stream = client.stream("").await;
    assert_eq!(stream.item().await, Some(Item::Retry(Duration::from_secs(2))));
    assert_eq!(stream.item().await, Some(Item::Cursor("evt_00000000000000000000000000".into())));
    let token = client.token(&client.agent().await).await;
    let events = stream.events(2).await;
    assert_eq!(types(&events), ["grant.created", "token.issued"]);
    assert_eq!(events[0]["data"]["grantId"], token.grant.as_str());
    assert_eq!(stream.cursor, events[1]["id"].as_str().unwrap());
    let keys: Vec<&String> = events[0].as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 4);
    // Who received nothing yet can resume too.
    let mut late = client.stream_after("", Some("evt_00000000000000000000000000")).await;
    assert_eq!(late.events(2).await, events);
}

#[tokio::test]
async fn the_bytes_on_the_wire_are_as_promised() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    client.token(&client.agent().await).await;
    let mut socket = socket(&client, "?since=2020-01-01T00:00:00Z").await;
    let mut text = String::new();
    let mut buffer = vec![0; 65536];
    while text.matches("\ndata: ").count() < 2 {
        let count = socket.read(&mut buffer).await.unwrap();
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    let head = text.to_lowercase();
    for header in [
        "content-type: text/event-stream\r\n",
        "cache-control: no-cache, no-transform\r\n",
        "x-accel-buffering: no\r\n",
    ] {
        assert!(head.contains(header), "{header}");
    }
    let log = client.log().await;
    for event in &log {
        let id = event["id"].as_str().unwrap();
        let block = format!(
            "id: {id}\ndata: {{\"id\":\"{id}\",\"type\":\"{}\",\"createdAt\":\"",
            event["type"].as_str().unwrap()
        );
        assert!(text.contains(&block), "{block}\n{text}");
    }
    // Every chunk of the transfer ends where a block ends.
    let body = text.split_once("\r\n\r\n").unwrap().1;
    let mut rest = body;
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        let chunk = &after[..size];
        assert!(chunk.ends_with("\n\n") || chunk == ": keep-alive\n", "{chunk:?}");
        rest = &after[size + 2..];
    }
}

/// What comes until the connection ends or a text stands in it.
async fn read_until(socket: &mut TcpStream, text: &str) -> String {
    let mut read = String::new();
    let mut buffer = vec![0; 4096];
    while !read.contains(text) {
        let count =
            tokio::time::timeout(PATIENCE, socket.read(&mut buffer)).await.expect("more").unwrap();
        if count == 0 {
            break;
        }
        read.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    read
}

#[tokio::test]
async fn a_stream_may_follow_other_requests_on_its_connection() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    client.token(&client.agent().await).await;
    let mut socket = TcpStream::connect(client.base.trim_start_matches("http://")).await.unwrap();
    // Both at once: the stream must not overtake the answer before it.
    let list = format!(
        "GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        client.key
    );
    let stream = list.replace("/v1/events", "/v1/events/stream?since=2020-01-01T00:00:00Z");
    socket.write_all(format!("{list}{stream}").as_bytes()).await.unwrap();
    let read = read_until(&mut socket, "retry: 2000").await;
    let (before, after) = read.split_once("text/event-stream").unwrap();
    assert!(before.contains("\"nextCursor\":null"), "{read}");
    assert_eq!(read.matches("HTTP/1.1 200 OK\r\n").count(), 2);
    assert!(after.to_lowercase().contains("connection: close\r\n"), "{read}");
    assert!(after.contains("transfer-encoding: chunked\r\n"), "{read}");
}

#[tokio::test]
async fn old_clients_get_a_stream_without_chunks_and_heads_get_no_stream() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    client.token(&client.agent().await).await;
    let address = client.base.trim_start_matches("http://").to_owned();
    let ask = |method: &str, version: &str| {
        format!(
            "{method} /v1/events/stream?since=2020-01-01T00:00:00Z HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            client.key
        )
    };
    let mut old = TcpStream::connect(&address).await.unwrap();
    old.write_all(ask("GET", "1.0").as_bytes()).await.unwrap();
    let read = read_until(&mut old, "\"method\":\"exchange\"").await;
    assert!(!read.contains("transfer-encoding"), "{read}");
    let body = read.split_once("\r\n\r\n").unwrap().1;
    assert!(body.starts_with("retry: 2000\nid: evt_"), "{read}");

    let mut head = TcpStream::connect(&address).await.unwrap();
    head.write_all(ask("HEAD", "1.1").as_bytes()).await.unwrap();
    let read = read_until(&mut head, "\u{0}").await;
    assert!(read.starts_with("HTTP/1.1 200 OK\r\n") && read.ends_with("\r\n\r\n"), "{read}");
    assert!(read.contains("content-type: text/event-stream"), "{read}");
}

#[tokio::test]
async fn history_flows_into_live() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    client.token(&agent).await;
    let mut replay = client.stream("?since=2020-01-01T00:00:00Z").await;
    client.token(&agent).await;
    let seen = replay.events(4).await;
    client.token(&agent).await;
    let all = [seen, replay.events(2).await].concat();
    assert_eq!(all, client.log().await);

    let log = ids(&all);
    let mut resumed = client.stream_after("?since=2020-01-01T00:00:00Z", Some(&log[2])).await;
    assert_eq!(ids(&resumed.events(3).await), log[3..], "an id wins over a time");
    let mut by_parameter = client.stream(&format!("?lastEventId={}", log[4])).await;
    assert_eq!(ids(&by_parameter.events(1).await), log[5..]);
    // A browser reconnects with a header, while its URL still has the older parameter.
    let mut both = client.stream_after(&format!("?lastEventId={}", log[0]), Some(&log[4])).await;
    assert_eq!(ids(&both.events(1).await), log[5..]);
}

#[tokio::test]
async fn filters_hide_events_and_the_cursor_still_advances() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let mut stream = client.stream("?types=grant.revoked").await;
    stream.item().await;
    stream.item().await;
    let token = client.token(&agent).await;
    let head = ids(&client.log().await).pop().unwrap();
    loop {
        match stream.item().await.unwrap() {
            Item::Cursor(id) if id == head => break,
            Item::Cursor(_) | Item::Comment => {}
            other => panic!("{other:?}"),
        }
    }
    client.delete(&format!("/v1/grants/{}", token.grant)).await.ok(204);
    assert_eq!(types(&stream.events(1).await), ["grant.revoked"]);

    let mut of_grant = client
        .stream(&format!(
            "?since=2020-01-01T00:00:00Z&grantId={}&principalId=user-1&agentId={agent}",
            token.grant
        ))
        .await;
    assert_eq!(
        types(&of_grant.events(3).await),
        ["grant.created", "token.issued", "grant.revoked"]
    );
}

#[tokio::test]
async fn an_idle_stream_is_never_silent() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let mut stream = client.stream("").await;
    for _ in 0..2 {
        stream.item().await;
    }
    for _ in 0..3 {
        assert_eq!(stream.item().await, Some(Item::Comment));
    }
}

#[tokio::test]
async fn a_keep_alive_is_a_comment_and_ends_no_block() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let mut socket = socket(&client, "").await;
    let read = read_until(&mut socket, "keep-alive\n\r\n").await;
    assert!(read.ends_with("\r\nd\r\n: keep-alive\n\r\n"), "{read:?}");
}

#[tokio::test]
async fn bad_parameters_are_told_before_the_stream_starts() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    for query in [
        "?types=nope",
        "?types=,",
        "?types=grant.created,",
        "?since=yesterday",
        "?lastEventId=x",
        "?lastEventId=evt_x",
        "?agentId=x",
        "?grantId=x",
        "?principalId=",
    ] {
        client.get(&format!("/v1/events/stream{query}")).await.refused(400, "BAD_REQUEST");
    }
    let request = client
        .request(reqwest::Method::GET, "/v1/events/stream")
        .header("Last-Event-ID", "evt_lowercase");
    client.send(request).await.refused(400, "BAD_REQUEST");
    // Nothing asked for is everything, and what others add to an address is theirs.
    for query in
        ["?types=", "?lastEventId=", "?since=2020-01-01T00:00:00Z&lastEventId=", "?_=17&x=%ff"]
    {
        assert!(client.stream(query).await.item().await.is_some(), "{query}");
    }
    let told = client.get("/v1/events/stream?principalId=%ff").await.refused(400, "BAD_REQUEST");
    assert!(told.contains("principalId") && told.contains("UTF-8"), "{told}");
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let service = Service::start().await;
    let (one, two) = (service.sandbox().await, service.sandbox().await);
    let mut stream = one.stream("").await;
    two.token(&two.agent().await).await;
    one.token(&one.agent().await).await;
    assert_eq!(stream.events(2).await, one.log().await);
}

#[tokio::test]
async fn a_revoked_keys_streams_end_within_a_second_and_others_go_on() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let made = client.post("/v1/keys", &json!({"name": "reader"})).await.ok(201);
    let mut reader = client.clone();
    reader.key = made["apiKey"].as_str().unwrap().to_owned();
    let stream = reader.stream("").await;
    // A reader that does not read is cut all the same.
    let mut stalled = socket(&reader, "").await;
    stalled.readable().await.unwrap();
    let mut other = client.stream("").await;
    let started = Instant::now();
    client.delete(&format!("/v1/keys/{}", made["keyId"].as_str().unwrap())).await.ok(204);
    stream.ended().await;
    let mut rest = Vec::new();
    // Ended or reset, as the case may be.
    let _ = tokio::time::timeout(PATIENCE, stalled.read_to_end(&mut rest)).await.expect("cut");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    client.token(&client.agent().await).await;
    assert_eq!(other.events(2).await.len(), 2);
    reader.get("/v1/events/stream").await.refused(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn a_developer_has_a_bounded_number_of_streams() {
    let service = Service::with(|settings| settings.streams.most_per_developer = 2).await;
    let client = service.sandbox().await;
    let first = client.stream("").await;
    let _second = client.stream("").await;
    let refused = client.get("/v1/events/stream").await;
    assert_eq!(refused.headers["retry-after"], "5");
    refused.refused(429, "TOO_MANY_CONNECTIONS");
    let _others = service.sandbox().await.stream("").await;
    // A client that goes away is released at once, though no event comes.
    drop(first);
    let gone = Instant::now();
    until("the place is free", || async {
        client.request(reqwest::Method::GET, "/v1/events/stream").send().await.unwrap().status()
            == 200
    })
    .await;
    assert!(gone.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_reader_that_stops_is_cut_and_resumes_without_loss() {
    let service = Service::with(|settings| {
        settings.streams.stall_timeout = Duration::from_millis(300);
        settings.rates = grantex_server::Rates::off();
    })
    .await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    // Large events fill the socket's buffers soon.
    let scopes: Vec<String> = (0..100).map(|n| format!("{n}:{}", "x".repeat(240))).collect();
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let mut stalled = socket(&client, "").await;
    let mut healthy = client.stream("").await;
    healthy.item().await;
    let mut received = Vec::new();
    stalled.readable().await.unwrap();
    for _ in 0..300 {
        client.token_for(&agent, "u", &scopes, "1h").await;
        received.extend(healthy.events(2).await);
    }
    // It got what fitted into the buffers, and then an end.
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stalled.read_to_end(&mut bytes)).await.expect("cut");
    let log = client.log().await;
    assert_eq!(received, log, "the healthy reader lost nothing");
    let text = String::from_utf8_lossy(&bytes);
    let last = text
        .rsplit("\n\n")
        .skip(1)
        .find_map(|block| block.lines().find_map(|line| line.strip_prefix("id: ")))
        .unwrap();
    let position = ids(&log).iter().position(|id| id == last);
    let from = position.map_or(0, |position| position + 1);
    assert!(from < log.len(), "it was behind when it was cut");
    let mut resumed = client.stream_after("", Some(last)).await;
    assert_eq!(resumed.events(log.len() - from).await, log[from..]);
}

#[tokio::test]
async fn shutdown_ends_streams_and_they_resume_after_the_restart() {
    let mut service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(client.stream("").await);
    }
    client.token(&agent).await;
    let mut cursors = Vec::new();
    for stream in &mut streams {
        cursors.push(ids(&stream.events(2).await).pop().unwrap());
    }
    let restarting = service.restart();
    let reading = async {
        for stream in streams {
            assert_eq!(stream.ended().await.len(), 0);
        }
    };
    tokio::join!(restarting, reading);
    client.token(&agent).await;
    for cursor in cursors {
        let mut stream = client.stream_after("", Some(&cursor)).await;
        assert_eq!(types(&stream.events(2).await), ["grant.created", "token.issued"]);
    }
}

#[tokio::test]
async fn a_tiny_tail_budget_only_costs_reads_of_the_store() {
    let service = Service::with(|settings| settings.streams.tail_bytes = 1).await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let mut stream = client.stream("").await;
    for _ in 0..10 {
        client.token(&agent).await;
    }
    assert_eq!(stream.events(20).await, client.log().await);
}
