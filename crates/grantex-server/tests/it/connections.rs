use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{PATIENCE, Service, until};

async fn connect(service: &Service) -> TcpStream {
    TcpStream::connect(service.base.trim_start_matches("http://")).await.unwrap()
}

/// Whether the other end has closed it, as far as one can see now.
fn is_closed(socket: &TcpStream) -> bool {
    match socket.try_read(&mut [0; 64]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// How many are still open.
fn open(sockets: &[TcpStream]) -> usize {
    sockets.iter().filter(|socket| !is_closed(socket)).count()
}

/// Asks over a connection that stays.
async fn ask(socket: &mut TcpStream, path: &str, key: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read =
        tokio::time::timeout(PATIENCE, socket.read(&mut answer)).await.expect("an answer").unwrap();
    String::from_utf8(answer[..read].to_vec()).unwrap()
}

/// The half of a form: a request that is worked on until its body has come.
async fn keep_busy(service: &Service) -> TcpStream {
    let mut socket = connect(service).await;
    let form = "POST /consent HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n";
    socket.write_all(form.as_bytes()).await.unwrap();
    let mut answer = vec![0; 64];
    let read =
        tokio::time::timeout(PATIENCE, socket.read(&mut answer)).await.expect("go on").unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 100 "));
    socket
}

#[tokio::test]
async fn a_connection_that_asks_nothing_is_closed() {
    let service =
        Service::with(|settings| settings.connections.first_request = Duration::from_millis(100))
            .await;
    for sent in ["", "GET /healthz HTT"] {
        let mut socket = connect(&service).await;
        socket.write_all(sent.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest))
            .await
            .expect("an end")
            .unwrap();
        assert!(rest.is_empty());
    }
    // Whoever asked once has the time that clients keep connections.
    let mut socket = connect(&service).await;
    assert!(ask(&mut socket, "/healthz", "").await.starts_with("HTTP/1.1 200 "));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(ask(&mut socket, "/healthz", "").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn silence_makes_room_for_whoever_asks() {
    let service = Service::with(|settings| settings.connections.most = 8).await;
    let client = service.sandbox().await;
    let mut known = connect(&service).await;
    assert!(ask(&mut known, "/v1/me", &client.key).await.starts_with("HTTP/1.1 200 "));
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(connect(&service).await);
    }
    for _ in 0..3 {
        let mut socket = connect(&service).await;
        assert!(ask(&mut socket, "/healthz", "").await.starts_with("HTTP/1.1 200 "));
        drop(socket);
    }
    until("those that came first are closed", || async { open(&silent) <= 7 }).await;
    assert!(
        ask(&mut known, "/v1/me", &client.key).await.starts_with("HTTP/1.1 200 "),
        "strangers go first"
    );
}

#[tokio::test]
async fn one_address_has_its_share_of_strangers() {
    let service = Service::with(|settings| settings.connections.most_per_address = 4).await;
    let client = service.sandbox().await;
    let mut known = Vec::new();
    for _ in 0..10 {
        let mut socket = connect(&service).await;
        assert!(ask(&mut socket, "/v1/me", &client.key).await.starts_with("HTTP/1.1 200 "));
        known.push(socket);
    }
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(connect(&service).await);
    }
    until("four are left", || async { open(&silent) == 4 }).await;
    assert_eq!(open(&known), known.len(), "who has shown a key is no stranger");
    drop(silent);
    let mut busy = Vec::new();
    for _ in 0..4 {
        busy.push(keep_busy(&service).await);
    }
    let refused = connect(&service).await;
    until("there is no place", || async { is_closed(&refused) }).await;
    assert_eq!(open(&busy), 4);
}

#[tokio::test]
async fn behind_a_proxy_that_is_trusted_no_address_is_limited() {
    let service = Service::with(|settings| {
        settings.connections.most_per_address = 4;
        settings.trust_forwarded_for = true;
    })
    .await;
    let mut busy = Vec::new();
    for _ in 0..10 {
        busy.push(keep_busy(&service).await);
    }
    assert_eq!(open(&busy), busy.len());
}

#[tokio::test]
async fn where_all_are_busy_there_is_room_for_a_health_check() {
    let service = Service::with(|settings| settings.connections.most = 6).await;
    let client = service.sandbox().await;
    let _stream = client.stream("").await;
    let mut busy = Vec::new();
    // The client's own idle connections make room, its stream does not.
    for _ in 0..5 {
        busy.push(keep_busy(&service).await);
    }
    for path in ["/healthz", "/readyz"] {
        let mut socket = connect(&service).await;
        let answer = ask(&mut socket, path, "").await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.contains("\r\nconnection: close\r\n"),
            "{answer}"
        );
    }
    let mut socket = connect(&service).await;
    let answer = ask(&mut socket, "/v1/me", &client.key).await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nretry-after: 1\r\n"),
        "{answer}"
    );
    assert_eq!(open(&busy), 5);
    busy.pop();
    until("there is room again", || async {
        let mut socket = connect(&service).await;
        ask(&mut socket, "/v1/me", &client.key).await.starts_with("HTTP/1.1 200 ")
    })
    .await;
}

#[tokio::test]
async fn streams_have_a_limit_in_all() {
    let service = Service::with(|settings| settings.streams.most = 2).await;
    let (one, two, three) =
        (service.sandbox().await, service.sandbox().await, service.sandbox().await);
    let first = one.stream("").await;
    let _second = two.stream("").await;
    let refused = three.get("/v1/events/stream").await;
    assert_eq!(refused.headers["retry-after"], "5");
    refused.refused(503, "UNAVAILABLE");
    three.post("/v1/agents", &json!({"name": "x"})).await.ok(201);
    drop(first);
    until("a place is free", || async {
        let answer = three
            .http
            .get(format!("{}/v1/events/stream", three.base))
            .bearer_auth(&three.key)
            .send();
        answer.await.unwrap().status() == 200
    })
    .await;
}
