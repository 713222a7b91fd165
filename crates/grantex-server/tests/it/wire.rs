//! What clients cannot say through an HTTP library.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{PATIENCE, Service};

/// Sends these bytes, and reads to the end of the connection.
async fn exchange(service: &Service, request: &str) -> String {
    let mut socket = TcpStream::connect(service.base.trim_start_matches("http://")).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, socket.read_to_string(&mut answer))
        .await
        .expect("an end")
        .unwrap();
    answer
}

#[track_caller]
fn refused(answer: &str, status: u16, code: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["code"], code);
    assert!(
        head.contains(&format!("x-request-id: {}", body["requestId"].as_str().unwrap())),
        "{answer}"
    );
}

#[tokio::test]
async fn there_is_one_host() {
    let service = Service::start().await;
    for hosts in [
        "",
        "Host: a.example\r\nHost: a.example\r\n",
        "Host: a.example\r\nhost: b.example\r\n",
        "Host: a b\r\n",
    ] {
        // That the connection ends is part of it.
        let answer = exchange(&service, &format!("GET /healthz HTTP/1.1\r\n{hosts}\r\n")).await;
        refused(&answer, 400, "BAD_REQUEST");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
    for request in [
        "GET /healthz HTTP/1.0\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n",
    ] {
        let answer = exchange(&service, request).await;
        assert!(answer.contains(" 200 OK\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_head_has_its_limit() {
    let service = Service::start().await;
    let head = |size: usize| {
        format!(
            "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: {}\r\n\r\n",
            "x".repeat(size)
        )
    };
    assert!(exchange(&service, &head(15_000)).await.starts_with("HTTP/1.1 200 "));
    assert!(exchange(&service, &head(17_000)).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn a_websocket_has_a_key_of_16_bytes() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    for keys in [
        "",
        "Sec-WebSocket-Key: x\r\n",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ] {
        let request = format!(
            "GET /v1/events/ws HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n{keys}\r\n",
            client.key
        );
        refused(&exchange(&service, &request).await, 400, "BAD_REQUEST");
    }
}
