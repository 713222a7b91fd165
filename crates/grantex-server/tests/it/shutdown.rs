//! What the other ends see when the service ends, and how long it takes whatever they do.

use std::io;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Client, PATIENCE, Service, until};

const DRAIN: Duration = Duration::from_secs(2);

async fn service() -> Service {
    Service::with(|settings| settings.streams.drain = DRAIN).await
}

async fn connect(client: &Client) -> TcpStream {
    TcpStream::connect(client.base.trim_start_matches("http://")).await.unwrap()
}

fn head(client: &Client, path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n{more}", client.key)
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

/// Reads until this stands in what came.
async fn read_until(socket: &mut TcpStream, text: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    while !read.windows(text.len()).any(|window| window == text) {
        let mut buffer = [0; 4096];
        let count =
            tokio::time::timeout(PATIENCE, socket.read(&mut buffer)).await.expect("more").unwrap();
        assert!(count > 0, "it ended with {:?}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&buffer[..count]);
    }
    read
}

/// What comes until the other end closes, or how it broke.
async fn rest(socket: &mut TcpStream) -> io::Result<String> {
    let mut read = Vec::new();
    tokio::time::timeout(PATIENCE, socket.read_to_end(&mut read)).await.expect("an end")?;
    Ok(String::from_utf8_lossy(&read).into_owned())
}

/// A request that is accepted but not read whole, when the service has begun to end.
async fn late(service: &mut Service, first: &[String], then: &[&str]) -> Vec<io::Result<String>> {
    let client = service.anonymous();
    let mut sockets = Vec::new();
    for part in first {
        let mut socket = connect(&client).await;
        socket.write_all(part.as_bytes()).await.unwrap();
        sockets.push(socket);
    }
    // An answer on a connection after these tells that theirs are accepted.
    client.get("/healthz").await.ok(200);
    let answers = async {
        let refused = || async {
            TcpStream::connect(client.base.trim_start_matches("http://")).await.is_err()
        };
        until("the listener closes first", refused).await;
        join_all(sockets.into_iter().zip(then).map(|(mut socket, part)| async move {
            socket.write_all(part.as_bytes()).await.unwrap();
            rest(&mut socket).await
        }))
        .await
    };
    tokio::join!(answers, service.stop()).0
}

#[tokio::test]
async fn what_comes_while_it_ends_is_refused_and_streams_are_reset() {
    let mut service = service().await;
    let client = service.sandbox().await;
    let first = [
        head(&client, "/v1/me", ""),
        head(&client, "/healthz", ""),
        head(&client, "/v1/events/stream", ""),
        head(&client, "/v1/events/ws", ""),
    ];
    let answers = late(&mut service, &first, &["\r\n", "\r\n", "\r\n", UPGRADE]).await;
    let other = answers[0].as_ref().unwrap();
    assert!(other.starts_with("HTTP/1.1 503 "), "{other}");
    assert!(other.to_lowercase().contains("\r\nretry-after: 1\r\n"), "{other}");
    assert!(answers[1].as_ref().unwrap().starts_with("HTTP/1.1 200 "), "{answers:?}");
    for stream in &answers[2..] {
        assert_eq!(stream.as_ref().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn it_takes_no_longer_than_the_drain_time_whatever_the_other_ends_do() {
    let mut service = service().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let since = "?since=2020-01-01T00:00:00Z";
    let mut held = Vec::new();
    // They read their closing frame and leave the connection open.
    for _ in 0..87 {
        let mut socket = connect(&client).await;
        socket.write_all(head(&client, "/v1/events/ws", UPGRADE).as_bytes()).await.unwrap();
        read_until(&mut socket, b"\r\n\r\n").await;
        held.push(socket);
    }
    // They read nothing at all: more waits than the sockets hold.
    for _ in 0..200 {
        client.code(&agent, &"x".repeat(256), &["y".repeat(256).as_str(); 100], "1h").await;
    }
    for path in ["/v1/events/stream", "/v1/events/ws"] {
        let socket = connect(&client).await;
        socket2::SockRef::from(&socket).set_recv_buffer_size(4096).unwrap();
        let mut socket = socket;
        let more = if path.ends_with("ws") { UPGRADE } else { "\r\n" };
        socket.write_all(head(&client, &format!("{path}{since}"), more).as_bytes()).await.unwrap();
        held.push(socket);
    }
    // Half a request, half a body, and a connection that says nothing.
    for half in [
        head(&client, "/v1/me", ""),
        head(&client, "/v1/signup", "Content-Length: 9\r\n\r\n{").replace("GET", "POST"),
        String::new(),
    ] {
        let mut socket = connect(&client).await;
        socket.write_all(half.as_bytes()).await.unwrap();
        held.push(socket);
    }
    client.get("/healthz").await.ok(200);
    let started = Instant::now();
    service.stop().await;
    let took = started.elapsed();
    assert!(took < DRAIN + Duration::from_millis(500), "{took:?}");
}
