use std::time::Duration;

use grantex_server::Rate;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Client, PATIENCE, Service};

async fn connect(service: &Service) -> TcpStream {
    TcpStream::connect(service.base.trim_start_matches("http://")).await.unwrap()
}

/// What comes until the connection ends.
async fn rest(mut socket: TcpStream) -> String {
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, socket.read_to_string(&mut answer))
        .await
        .expect("an end")
        .unwrap();
    answer
}

fn head(path: &str, key: &str, more: &str) -> String {
    let kind = if path.starts_with("/v1") { "json" } else { "x-www-form-urlencoded" };
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/{kind}\r\n{more}\r\n"
    )
}

const LIMITS: [(&str, usize, &str); 3] = [
    ("/consent", 4 << 10, "4 KiB"),
    ("/v1/signup", 8 << 10, "8 KiB"),
    ("/v1/agents", 1 << 20, "1 MiB"),
];

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_sent() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    for (path, most, readable) in LIMITS {
        for more in ["", "Expect: 100-continue\r\n"] {
            let mut socket = connect(&service).await;
            let more = format!("{more}Content-Length: {}\r\n", most + 1);
            socket.write_all(head(path, &client.key, &more).as_bytes()).await.unwrap();
            let answer = rest(socket).await;
            assert!(answer.starts_with("HTTP/1.1 413 "), "{path}: {answer}");
            assert!(
                answer.contains(readable) && answer.contains("\r\nconnection: close\r\n"),
                "{answer}"
            );
        }
        // In chunks nobody knows before.
        let mut socket = connect(&service).await;
        socket
            .write_all(head(path, &client.key, "Transfer-Encoding: chunked\r\n").as_bytes())
            .await
            .unwrap();
        let chunk = format!("{:x}\r\n{}\r\n", most / 2 + 1, "x".repeat(most / 2 + 1));
        socket.write_all(format!("{chunk}{chunk}").as_bytes()).await.unwrap();
        let answer = rest(socket).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_client_that_sends_on_gets_the_answer_all_the_same() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    for _ in 0..20 {
        let large = vec![b'x'; 1_500_000];
        let request =
            client.request(Method::POST, "/v1/agents").header("Content-Type", "application/json");
        client.send(request.body(large)).await.refused(413, "PAYLOAD_TOO_LARGE");
    }
}

#[tokio::test]
async fn what_is_as_large_as_it_may_be_is_taken() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    for (path, most) in [("/v1/signup", 8 << 10), ("/v1/agents", 1 << 20), ("/v1/agents", 40_000)] {
        let body = json!({"name": "x", "pad": ""}).to_string();
        let body =
            body.replace("\"pad\":\"\"", &format!("\"pad\":\"{}\"", "x".repeat(most - body.len())));
        assert_eq!(body.len(), most);
        let request = client.request(Method::POST, path).header("Content-Type", "application/json");
        client.send(request.body(body.clone())).await.ok(201);
        let request = client.request(Method::POST, path).header("Content-Type", "application/json");
        let message = client.send(request.body(body.replace("\"x\"", "5"))).await;
        assert_eq!(message.status, 400);
    }
}

async fn large(client: &Client) -> crate::support::Answer {
    let body = json!({"name": "x", "pad": "x".repeat(1_000_000)});
    client.post("/v1/agents", &body).await
}

#[tokio::test]
async fn bytes_count_as_requests_do() {
    // A body of 1 MB is 245 times 4 KiB.
    let service = Service::with(|settings| {
        settings.rates.developer = Rate { per_second: 0.0001, burst: 300 }
    })
    .await;
    let client = service.sandbox().await;
    let answer = large(&client).await;
    assert_eq!(answer.headers["x-ratelimit-remaining"], "55");
    answer.ok(201);
    let refused = large(&client).await;
    assert!(refused.headers.contains_key("retry-after"));
    refused.refused(429, "RATE_LIMITED");
    client.get("/v1/me").await.ok(200);
    large(&service.sandbox().await).await.ok(201);
}

#[tokio::test]
async fn half_a_form_ends_in_time_and_many_stay_within_the_budget() {
    const FORMS: usize = 100;
    let service = Service::with(|settings| {
        settings.requests.body_timeout = Duration::from_secs(1);
        settings.requests.body_bytes = 64_000;
    })
    .await;
    let client = service.sandbox().await;
    let mut sockets = Vec::new();
    for _ in 0..FORMS {
        let mut socket = connect(&service).await;
        let form = head("/consent", "", "Content-Length: 4000\r\n") + &"x".repeat(2000);
        socket.write_all(form.as_bytes()).await.unwrap();
        sockets.push(socket);
    }
    // What has no key has its share: half of all, so that others go on.
    let body = json!({"name": "x", "pad": "x".repeat(10_000)});
    client.post("/v1/agents", &body).await.ok(201);
    let (mut late, mut refused) = (0, 0);
    for socket in sockets {
        let answer = rest(socket).await;
        match answer.split(' ').nth(1) {
            Some("400") if answer.contains("did not arrive within the time limit") => late += 1,
            Some("503") if answer.contains("\r\nretry-after: 1\r\n") => refused += 1,
            _ => panic!("{answer}"),
        }
    }
    assert_eq!(late + refused, FORMS);
    assert!((1..=8).contains(&late), "{late} forms of 4,000 bytes were in memory at once");
}
