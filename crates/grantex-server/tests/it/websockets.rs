use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use grantex_server::operator::OperatorRequest;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::support::{Client, METRICS, PATIENCE, Service, types, until};

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

async fn open(client: &Client, query: &str) -> Result<Socket, Error> {
    let url = format!("{}/v1/events/ws{query}", client.base.replace("http://", "ws://"));
    let mut request = url.into_client_request().unwrap();
    if !client.key.is_empty() {
        request
            .headers_mut()
            .insert("Authorization", format!("Bearer {}", client.key).parse().unwrap());
    }
    tokio_tungstenite::connect_async(request).await.map(|(socket, _)| socket)
}

async fn events(socket: &mut Socket, count: usize) -> Vec<Value> {
    let mut events = Vec::new();
    while events.len() < count {
        let message = tokio::time::timeout(PATIENCE, socket.next())
            .await
            .expect("a message")
            .unwrap()
            .unwrap();
        if let Message::Text(text) = message {
            events.push(serde_json::from_str(&text).unwrap());
        }
    }
    events
}

async fn close_code(socket: &mut Socket) -> u16 {
    loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("a closing frame") {
            Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn status(refused: Result<Socket, Error>) -> u16 {
    match refused {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_same_events_as_on_sse() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    client.token(&agent).await;
    let mut socket = open(&client, "?since=2020-01-01T00:00:00Z").await.unwrap();
    client.token(&agent).await;
    let got = events(&mut socket, 4).await;
    assert_eq!(got, client.log().await);
    let cursor = got[1]["id"].as_str().unwrap();
    let mut resumed =
        open(&client, &format!("?lastEventId={cursor}&types=token.issued")).await.unwrap();
    assert_eq!(events(&mut resumed, 1).await, got[3..]);
}

#[tokio::test]
async fn the_client_can_change_its_filter() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let mut socket = open(&client, "?types=grant.created").await.unwrap();
    client.token(&agent).await;
    assert_eq!(types(&events(&mut socket, 1).await), ["grant.created"]);
    socket.send(Message::text(json!({"types": ["token.issued"]}).to_string())).await.unwrap();
    // The wish is taken when it is read; a pong tells that it was.
    socket.send(Message::Ping("x".into())).await.unwrap();
    while !matches!(socket.next().await, Some(Ok(Message::Pong(_)))) {}
    client.token(&agent).await;
    assert_eq!(types(&events(&mut socket, 1).await), ["token.issued"]);
    socket.send(Message::text("{\"types\":[\"nope\"]}")).await.unwrap();
    assert_eq!(close_code(&mut socket).await, 1007);
}

#[tokio::test]
async fn refusals_come_before_the_upgrade() {
    let service = Service::with(|settings| settings.streams.most_per_developer = 1).await;
    let client = service.sandbox().await;
    assert_eq!(status(open(&service.anonymous(), "").await), 401);
    assert_eq!(status(open(&client, "?types=nope").await), 400);
    assert_eq!(status(open(&client, "?lastEventId=evt_7ZZZZZZZZZZZZZZZZZZZZZZZZZ").await), 410);
    let _open = open(&client, "").await.unwrap();
    assert_eq!(status(open(&client, "").await), 429);
    client.get("/v1/events/ws").await.refused(400, "BAD_REQUEST");
}

#[tokio::test]
async fn a_revoked_key_is_1008_and_a_shutdown_1001() {
    let mut service = Service::start().await;
    let client = service.sandbox().await;
    let made = client.post("/v1/keys", &json!({"name": "reader"})).await.ok(201);
    let mut reader = client.clone();
    reader.key = made["apiKey"].as_str().unwrap().to_owned();
    let mut socket = open(&reader, "").await.unwrap();
    client.delete(&format!("/v1/keys/{}", made["keyId"].as_str().unwrap())).await.ok(204);
    assert_eq!(close_code(&mut socket).await, 1008);

    let mut socket = open(&client, "").await.unwrap();
    let (code, ()) = tokio::join!(close_code(&mut socket), service.stop());
    assert_eq!(code, 1001);
}

#[tokio::test]
async fn idle_sockets_are_pinged() {
    let service =
        Service::with(|settings| settings.streams.ping = Duration::from_millis(100)).await;
    let client = service.sandbox().await;
    let mut socket = open(&client, "").await.unwrap();
    for _ in 0..3 {
        let message =
            tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        assert!(matches!(message, Message::Ping(_)), "{message:?}");
    }
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_told_1013_when_it_reads_again() {
    // A quarter of the timeout remains for the farewell: enough also for a machine that is busy.
    let stall_timeout = Duration::from_secs(16);
    let service = Service::with(|settings| {
        settings.streams.stall_timeout = stall_timeout;
        settings.rates = grantex_server::Rates::off();
    })
    .await;
    let cut = || METRICS.render().contains("grantex_readers_cut_total{at=\"websocket\"} 1");
    assert!(!cut(), "the metrics are recorded, and no other test makes a WebSocket too slow");
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let scopes: Vec<String> = (0..100).map(|n| format!("{n}:{}", "x".repeat(240))).collect();
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let mut socket = open(&client, "").await.unwrap();
    // More than the socket's buffers hold; nothing is read here until the service has noticed.
    for count in 0..300 {
        client.token_for(&agent, "u", &scopes, "1h").await;
        // On a machine that is busy the farewell would be over before all are made.
        if count % 10 == 0 && cut() {
            break;
        }
    }
    until("the service notices", || async { cut() }).await;
    let mut last = None;
    let code = loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("an end") {
            Some(Ok(Message::Close(frame))) => break u16::from(frame.unwrap().code),
            // Nothing else is done meanwhile: the service shares this thread.
            Some(Ok(Message::Text(text))) => last = Some(text),
            Some(Ok(_)) => {}
            other => panic!("no farewell: {other:?}"),
        }
    };
    assert_eq!(code, 1013);
    let log = client.log().await;
    let last: Value = serde_json::from_str(&last.unwrap()).unwrap();
    let from = log.iter().position(|event| *event == last).unwrap() + 1;
    assert!(from < log.len(), "it was behind");
    let resume = format!("?lastEventId={}", last["id"].as_str().unwrap());
    let mut resumed = open(&client, &resume).await.unwrap();
    assert_eq!(events(&mut resumed, log.len() - from).await, log[from..]);
}

#[tokio::test]
async fn a_tickets_end_is_4401_and_a_suspension_4403() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let made = client.post("/v1/events/tickets", &json!({"expiresIn": "30s"})).await.ok(201);
    let ticket = format!("?ticket={}", made["ticket"].as_str().unwrap());
    let mut by_ticket = open(&service.anonymous(), &ticket).await.unwrap();
    let mut by_key = open(&client, "").await.unwrap();
    service.clock.advance(31);
    assert_eq!(close_code(&mut by_ticket).await, 4401);
    assert_eq!(status(open(&service.anonymous(), &ticket).await), 401);
    let me = client.get("/v1/me").await.ok(200);
    let developer_id = me["developerId"].as_str().unwrap().parse().unwrap();
    service.operator(OperatorRequest::Suspend { developer_id, reason: None }).await;
    assert_eq!(close_code(&mut by_key).await, 4403);
    assert_eq!(status(open(&client, "").await), 403);
}
