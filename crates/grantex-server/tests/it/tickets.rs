use grantex_server::Rate;
use serde_json::{Value, json};

use crate::support::{Client, PATIENCE, Service, Stream, types, until};

async fn ticket(client: &Client, body: Value) -> String {
    let made = client.post("/v1/events/tickets", &body).await.ok(201);
    made["ticket"].as_str().unwrap().to_owned()
}

async fn open(service: &Service, ticket: &str, query: &str) -> Stream {
    service.anonymous().stream(&format!("?ticket={ticket}{query}")).await
}

#[tokio::test]
async fn a_ticket_opens_streams_without_a_header_and_survives_restarts() {
    let mut service = Service::start().await;
    let client = service.sandbox().await;
    let ticket = ticket(&client, json!({})).await;
    client.token(&client.agent().await).await;
    service.restart().await;
    let mut stream = open(&service, &ticket, "&since=2020-01-01T00:00:00Z").await;
    assert_eq!(stream.events(2).await, client.log().await);
    // It can read streams, and nothing else.
    let answer = service.anonymous().get(&format!("/v1/events?ticket={ticket}")).await;
    answer.refused(401, "UNAUTHORIZED");
    let mut with_it_as_key = service.anonymous();
    with_it_as_key.key.clone_from(&ticket);
    with_it_as_key.get("/v1/me").await.refused(401, "UNAUTHORIZED");
    // No body at all is the same as {}.
    client.send(client.request(reqwest::Method::POST, "/v1/events/tickets")).await.ok(201);
}

#[tokio::test]
async fn a_tickets_filter_binds() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let token = client.token_for(&agent, "user-1", &["a"], "1h").await;
    client.token_for(&agent, "user-2", &["a"], "1h").await;
    let ticket = ticket(
        &client,
        json!({"types": ["grant.created", "token.issued"], "principalId": "user-1"}),
    )
    .await;
    let since = "&since=2020-01-01T00:00:00Z";
    let mut stream = open(&service, &ticket, since).await;
    let events = stream.events(2).await;
    assert_eq!(types(&events), ["grant.created", "token.issued"]);
    assert!(events.iter().all(|event| event["data"]["grantId"] == token.grant.as_str()));
    let mut narrowed = open(&service, &ticket, &format!("{since}&types=token.issued")).await;
    assert_eq!(types(&narrowed.events(1).await), ["token.issued"]);
    for wider in ["&types=grant.revoked", "&principalId=user-2"] {
        let answer =
            service.anonymous().get(&format!("/v1/events/stream?ticket={ticket}{wider}")).await;
        answer.refused(403, "FORBIDDEN");
    }
}

#[tokio::test]
async fn somebody_elses_authorization_does_not_hide_a_ticket() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let ticket = ticket(&client, json!({})).await;
    let path = format!("/v1/events/stream?ticket={ticket}");
    // A site's own password, and the token of a proxy in front.
    for value in ["Basic dXNlcjpwYXNz", "Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "Bearer", ""] {
        let request =
            client.http.get(format!("{}{path}", client.base)).header("Authorization", value);
        assert_eq!(request.send().await.unwrap().status(), 200, "{value}");
    }
    // A key of ours counts, also a wrong one.
    let wrong = Client { key: format!("gx_live_{}", "x".repeat(43)), ..service.anonymous() };
    wrong.get(&path).await.refused(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn tickets_end_with_their_time_and_with_their_key() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let short = ticket(&client, json!({"expiresIn": "30s"})).await;
    let long = ticket(&client, json!({"expiresIn": "24h"})).await;
    client
        .post("/v1/events/tickets", &json!({"expiresIn": "25h"}))
        .await
        .refused(400, "BAD_REQUEST");
    service.clock.advance(31);
    service.anonymous().get(&path(&short)).await.refused(401, "UNAUTHORIZED");
    let stream = open(&service, &long, "").await;
    client.post("/v1/keys/rotate", &json!({})).await.ok(200);
    stream.ended().await;
    service.anonymous().get(&path(&long)).await.refused(401, "UNAUTHORIZED");
    for forged in ["x", "gxt_x.y", &long[..long.len() - 1], &long.replace("gxt_", "gxs_")] {
        service.anonymous().get(&path(forged)).await.refused(401, "UNAUTHORIZED");
    }
}

fn path(ticket: &str) -> String {
    format!("/v1/events/stream?ticket={ticket}")
}

#[tokio::test]
async fn a_ticket_has_a_cap_of_streams_and_places_are_reserved_for_keys() {
    let service = Service::with(|settings| {
        settings.streams.most_per_developer = 4;
        settings.streams.most_per_ticket = 2;
    })
    .await;
    let client = service.sandbox().await;
    let (one, two) =
        (ticket(&client, json!({})).await, ticket(&client, json!({"expiresIn": "1h"})).await);
    let anonymous = service.anonymous();
    let held = [
        open(&service, &one, "").await,
        open(&service, &one, "").await,
        open(&service, &two, "").await,
    ];
    let message = anonymous.get(&path(&one)).await.refused(429, "TOO_MANY_CONNECTIONS");
    assert!(message.contains("this ticket"), "{message}");
    let message = anonymous.get(&path(&two)).await.refused(429, "TOO_MANY_CONNECTIONS");
    assert!(message.contains("API keys"), "three of four are the tickets' share: {message}");
    let by_key = client.stream("").await;
    client.get("/v1/events/stream").await.refused(429, "TOO_MANY_CONNECTIONS");
    drop(held);
    until("the places are given back", async || {
        anonymous.send(anonymous.request(reqwest::Method::HEAD, &path(&one))).await.status != 429
            && tokio::time::timeout(
                PATIENCE,
                client.http.get(format!("{}{}", client.base, path(&two))).send(),
            )
            .await
            .is_ok_and(|answer| answer.unwrap().status() == 200)
    })
    .await;
    drop(by_key);
}

#[tokio::test]
async fn a_ticket_has_a_rate_of_its_own() {
    let service = Service::with(|settings| {
        settings.rates.ticket = Rate { per_second: 0.001, burst: 3 };
        settings.rates.developer = Rate { per_second: 0.001, burst: 5 };
    })
    .await;
    let client = service.sandbox().await;
    let (one, two) =
        (ticket(&client, json!({})).await, ticket(&client, json!({"expiresIn": "1h"})).await);
    for _ in 0..3 {
        open(&service, &one, "").await;
    }
    let answer = service.anonymous().get(&path(&one)).await;
    assert!(answer.headers.contains_key("retry-after"));
    answer.refused(429, "RATE_LIMITED");
    open(&service, &two, "").await;
    // Two tickets and these are five: the streams that tickets opened are none of the developer's
    // requests.
    for _ in 0..3 {
        client.get("/v1/me").await.ok(200);
    }
    client.get("/v1/me").await.refused(429, "RATE_LIMITED");
}

#[tokio::test]
async fn streams_end_with_their_ticket() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let short = ticket(&client, json!({"expiresIn": "30s"})).await;
    let long = ticket(&client, json!({"expiresIn": "1h"})).await;
    let mut stream = service.anonymous().send_raw(&path(&short)).await;
    let mut goes_on = open(&service, &long, "").await;
    service.clock.advance(31);
    let mut text = String::new();
    while let Some(chunk) =
        tokio::time::timeout(PATIENCE, stream.chunk()).await.expect("it ends").unwrap()
    {
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    let last = text.lines().rfind(|line| !line.is_empty());
    assert_eq!(
        last,
        Some(": the ticket has expired; get a new one and resume with lastEventId"),
        "{text}"
    );
    client.token(&client.agent().await).await;
    assert_eq!(types(&goes_on.events(1).await), ["grant.created"]);
}
