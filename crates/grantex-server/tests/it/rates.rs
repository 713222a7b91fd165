use grantex_server::Rate;
use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, Client, Service};

/// So rarely that none comes back while a test runs.
const fn hardly_ever(burst: u32) -> Rate {
    Rate { per_second: 0.0001, burst }
}

#[tokio::test]
async fn too_many_requests_are_refused_with_when_to_come_back() {
    let service = Service::with(|settings| {
        settings.rates.developer = Rate { per_second: 1.0, burst: 3 };
    })
    .await;
    let client = service.live().await;
    for left in ["2", "1", "0"] {
        let answer = client.get("/v1/me").await;
        assert_eq!(answer.headers["x-ratelimit-limit"], "3");
        assert_eq!(answer.headers["x-ratelimit-remaining"], left);
    }
    let answer = client.get("/v1/me").await;
    assert_eq!(answer.headers["retry-after"], "1");
    answer.refused(429, "RATE_LIMITED");
    let keys = client.get("/.well-known/jwks.json").await;
    assert!(!keys.headers.contains_key("x-ratelimit-limit"));
    keys.ok(200);
}

#[tokio::test]
async fn a_developers_keys_share_one_rate() {
    let service = Service::with(|settings| settings.rates.developer = hardly_ever(10)).await;
    let first = service.live().await;
    let made = first.post("/v1/keys", &json!({"name": "second"})).await.ok(201);
    let second = Client { key: made["apiKey"].as_str().unwrap().to_owned(), ..first.clone() };
    for left in ["8", "7", "6"] {
        let answer = second.get("/v1/me").await;
        assert_eq!(answer.headers["x-ratelimit-remaining"], left);
    }
    for _ in 0..6 {
        first.get("/v1/me").await.ok(200);
    }
    for client in [&first, &second] {
        client.get("/v1/me").await.refused(429, "RATE_LIMITED");
    }
    service.live().await.get("/v1/me").await.ok(200);
}

#[tokio::test]
async fn a_keys_own_rate_leaves_room_for_the_others() {
    let service = Service::with(|settings| settings.rates.key = hardly_ever(4)).await;
    let first = service.live().await;
    let made = first.post("/v1/keys", &json!({"name": "second"})).await.ok(201);
    let second = Client { key: made["apiKey"].as_str().unwrap().to_owned(), ..first.clone() };
    for left in ["2", "1", "0"] {
        let answer = first.get("/v1/me").await;
        assert_eq!(
            (answer.headers["x-ratelimit-limit"].as_bytes(), answer.status.as_u16()),
            (&b"4"[..], 200)
        );
        assert_eq!(answer.headers["x-ratelimit-remaining"], left);
    }
    let message = first.get("/v1/me").await.refused(429, "RATE_LIMITED");
    assert!(message.contains("this API key"), "{message}");
    second.get("/v1/me").await.ok(200);
}

/// Asks for something public, as a proxy forwards it from an address.
async fn forwarded(client: &Client, address: &str) -> Answer {
    let request =
        client.request(Method::GET, "/v1/consent/areq_x").header("X-Forwarded-For", address);
    client.send(request).await
}

#[tokio::test]
async fn an_address_is_read_as_proxies_write_it() {
    let service = Service::with(|settings| {
        settings.trust_forwarded_for = true;
        settings.rates.address = hardly_ever(2);
    })
    .await;
    let client = service.anonymous();
    for number in 1..=6 {
        // The last one is the proxy's; what comes before it is only said.
        for address in [
            format!("198.51.100.9, 203.0.113.{number}"),
            format!("203.0.113.{number}:44{number}"),
            format!("[2001:db8:0:{number}::1]:44{number}"),
            format!("2001:db8:0:{number}::2"),
        ] {
            forwarded(&client, &address).await.refused(404, "NOT_FOUND");
        }
        for address in [format!("203.0.113.{number}"), format!("[2001:db8:0:{number}:ffff::1]")] {
            forwarded(&client, &address).await.refused(429, "RATE_LIMITED");
        }
    }
}

#[tokio::test]
async fn a_header_that_nobody_trusts_says_nothing() {
    let service = Service::with(|settings| settings.rates.address = hardly_ever(3)).await;
    let client = service.anonymous();
    for number in 1..=3 {
        forwarded(&client, &format!("203.0.113.{number}")).await.refused(404, "NOT_FOUND");
    }
    forwarded(&client, "203.0.113.4").await.refused(429, "RATE_LIMITED");
}

async fn sign_up(client: &Client, address: &str) -> Answer {
    let request = client.request(Method::POST, "/v1/signup").header("X-Forwarded-For", address);
    client.send(request.json(&json!({"name": "Test"}))).await
}

#[tokio::test]
async fn a_hundred_signups_at_once_pass_and_no_more() {
    let service = Service::with(|settings| {
        settings.trust_forwarded_for = true;
        settings.rates.signup_address.per_second = 0.0001;
        settings.rates.signup = hardly_ever(105);
    })
    .await;
    let client = service.anonymous();
    for _ in 0..100 {
        sign_up(&client, "203.0.113.1").await.ok(201);
    }
    let refused = sign_up(&client, "203.0.113.1").await;
    assert!(refused.headers.contains_key("retry-after"));
    assert!(refused.refused(429, "RATE_LIMITED").contains("signups from this address"));
    for _ in 0..5 {
        sign_up(&client, "203.0.113.2").await.ok(201);
    }
    let message = sign_up(&client, "203.0.113.3").await.refused(429, "RATE_LIMITED");
    assert!(message.starts_with("too many signups;"), "{message}");
}
