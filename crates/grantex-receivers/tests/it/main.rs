//! That the receivers refuse what the real ones do.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

use grantex_receivers::{Datadog, Fault, InsertAll, POISON, Server, Splunk, Webhook};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

async fn said(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

fn log(id: &str) -> Value {
    json!({"ddsource": "grantex", "message": format!(r#"{{"id":"{id}"}}"#)})
}

#[tokio::test]
async fn datadog() {
    let intake = Datadog::new("key");
    let server = Server::start(intake.router(), intake.faults.clone(), 0).await.unwrap();
    let post = |key: &str, body: Value| {
        let request =
            Client::new().post(format!("{}/api/v2/logs", server.url())).header("dd-api-key", key);
        said(request.json(&body))
    };
    assert_eq!(post("wrong", json!([log("evt_1")])).await.0, 403);
    assert_eq!(post("key", json!({"no": "array"})).await.0, 400);
    assert_eq!(post("key", json!([{"message": 1}])).await.0, 400);
    assert_eq!(post("key", json!([log(POISON)])).await.0, 400);
    assert_eq!(post("key", Value::Array(vec![log("evt_1"); 1001])).await.0, 413);
    assert_eq!(post("key", json!([log(&"x".repeat(5_000_000))])).await.0, 413);
    intake.faults.add([Fault::Status(500), Fault::TakenButStatus(503)]);
    assert_eq!(post("key", json!([log("evt_1")])).await.0, 500);
    assert_eq!(post("key", json!([log("evt_1")])).await.0, 503);
    assert_eq!(post("key", json!([log("evt_2")])).await.0, 202);
    assert_eq!(intake.kept.ids(), ["evt_1", "evt_2"]);
}

#[tokio::test]
async fn splunk() {
    const CHANNEL: &str = "01234567-89ab-cdef-0123-456789abcdef";
    let splunk = Splunk::new("token", true);
    let server = Server::start(splunk.router(), splunk.faults.clone(), 0).await.unwrap();
    let client = Client::new();
    let post = |path: &str, token: &str, channel: Option<&str>, cookie: &str, body: &str| {
        let request = client.post(format!("{}/services/collector/{path}", server.url()));
        let request =
            request.header("authorization", format!("Splunk {token}")).header("cookie", cookie);
        let request = match channel {
            Some(channel) => request.header("x-splunk-request-channel", channel),
            None => request,
        };
        said(request.body(body.to_owned()))
    };
    let event =
        async |body: &str| post("event", "token", Some(CHANNEL), "", body).await.1["code"].clone();
    let good = r#"{"time":1.5,"event":{"id":"evt_1"}}"#;
    assert_eq!(
        post("event", "wrong", Some(CHANNEL), "", good).await,
        (403, json!({"text": "Invalid token", "code": 4}))
    );
    assert_eq!(post("event", "token", None, "", good).await.1["code"], 10);
    assert_eq!(post("event", "token", Some("no-guid"), "", good).await.1["code"], 11);
    assert_eq!((event("").await, event("{").await), (5.into(), 6.into()));
    assert_eq!((event("{}").await, event(r#"{"event":""}"#).await), (12.into(), 13.into()));
    assert_eq!(event(r#"{"event":1,"index":"forbidden"}"#).await, 7);
    assert_eq!(event(r#"{"event":1,"fields":{"a":{}}}"#).await, 15);
    assert_eq!(splunk.kept.count(), 0);

    let taken = post("event", "token", Some(CHANNEL), "", good).await.1;
    assert_eq!((&taken["code"], &taken["ackId"]), (&0.into(), &0.into()));
    let ask = async |cookie: &str| {
        post("ack", "token", Some(CHANNEL), cookie, r#"{"acks":[0]}"#).await.1["acks"]["0"].clone()
    };
    assert_eq!(ask("").await, false, "another indexer");
    assert_eq!((ask("AWSALB=indexer-7").await, splunk.kept.count()), (false.into(), 0));
    assert_eq!((ask("AWSALB=indexer-7").await, splunk.kept.count()), (true.into(), 1));
}

#[tokio::test]
async fn insert_all() {
    let api = InsertAll::default();
    let server = Server::start(api.router(), api.faults.clone(), 0).await.unwrap();
    let tables = format!("{}/bigquery/v2/projects/p/datasets/d/tables", server.url());
    let client = Client::new();
    let row =
        |id: &str, data: Value| json!({"insertId": id, "json": {"event_id": id, "data": data}});
    let insert = |skip: bool, rows: Vec<Value>| {
        let body = json!({"skipInvalidRows": skip, "rows": rows});
        said(client.post(format!("{tables}/t/insertAll")).json(&body))
    };
    assert_eq!(insert(true, vec![row("1", json!(1))]).await.0, 404);
    let fields = json!([{"name": "event_id", "mode": "REQUIRED"}, {"name": "data"}]);
    let table = json!({"tableReference": {"tableId": "t"}, "schema": {"fields": fields}});
    assert_eq!(said(client.post(&tables).json(&table)).await.0, 200);
    assert_eq!(said(client.post(&tables).json(&table)).await.0, 409);

    let rows = || vec![row("1", json!(1)), row("2", json!(POISON)), json!({"json": {"data": 1}})];
    let reasons = |answer: Value| -> Vec<Value> {
        answer["insertErrors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["errors"][0]["reason"].clone())
            .collect()
    };
    assert_eq!(reasons(insert(false, rows()).await.1), ["stopped", "invalid", "invalid"]);
    assert_eq!(api.kept.count(), 0);
    assert_eq!(reasons(insert(true, rows()).await.1), ["invalid", "invalid"]);
    assert_eq!(reasons(insert(true, vec![row("1", json!(1))]).await.1), Vec::<Value>::new());
    assert_eq!(api.kept.ids(), ["1"], "a repeat is dropped");
}

#[tokio::test]
async fn webhook() {
    let hook = Webhook::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let server = Server::start(hook.router(), hook.faults.clone(), 0).await.unwrap();
    let request = Client::new().post(format!("{}/hook", server.url())).header("webhook-id", "1");
    // The specification's example: signed, but long ago.
    let request = request.header("webhook-timestamp", "1614265330");
    let request =
        request.header("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_eq!(said(request.body(r#"{"test": 2432232314}"#)).await.0, 401);
}
