//! The cases that go over HTTP.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use grantex::{Builder, Client, Error, GrantexEvent, Payload, StreamOptions};
use serde_json::{Value, json};

use crate::{operations, unsupported, vectors};

/// Longer than any case takes that works.
const PATIENCE: Duration = Duration::from_secs(60);
/// Cases that run at the same time: most of them wait, but to make a client costs CPU time.
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn every_case_holds() {
    let mock = grantex_mock::server::start(&vectors()).await.unwrap();
    let http = reqwest::Client::new();
    let cases: Value =
        http.get(format!("{mock}/cases")).send().await.unwrap().json().await.unwrap();
    let cases = cases["cases"].as_array().unwrap();
    let left_out = unsupported();
    for name in left_out.keys() {
        assert!(
            cases.iter().any(|case| case["name"] == **name),
            "{name} is declared unsupported and no case"
        );
    }
    let plays = cases.iter().filter(|case| !left_out.contains_key(case["name"].as_str().unwrap()));
    let plays = plays.flat_map(|case| {
        (0..case["variants"].as_u64().unwrap()).map(move |variant| (case, variant))
    });
    let problems: Vec<String> = futures_util::stream::iter(plays)
        .map(|(case, variant)| play(&http, &mock, case, variant))
        .buffer_unordered(AT_ONCE)
        .concat()
        .await;
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

async fn play(http: &reqwest::Client, mock: &str, case: &Value, variant: u64) -> Vec<String> {
    let body = json!({ "case": case["name"], "variant": variant }).to_string();
    let opened = http.post(format!("{mock}/sessions")).body(body).send().await.unwrap();
    let opened: Value = opened.json().await.unwrap();
    let base = opened["base"].as_str().unwrap();
    let client = builder(base, &case["client"]).build();
    let run = async {
        if case["call"] == "verifier.verify" {
            // The key is set, and must not be sent.
            let verified = match builder(base, &case["client"]).build_verifier() {
                Ok(verifier) => operations::verify(verifier, &case["args"]).await,
                Err(error) => Err(error),
            };
            return match verified {
                Ok(claims) => json!({ "result": claims }),
                Err(error) => json!({ "error": reported(&error) }),
            };
        }
        let client = match &client {
            Ok(client) => client,
            Err(error) => return json!({ "error": reported(error) }),
        };
        if case["call"] == "events.stream" {
            stream(client, case).await
        } else {
            match operations::call(client, case["call"].as_str().unwrap(), &case["args"]).await {
                Ok(mut result) => {
                    let raws = result.as_object_mut().and_then(|result| result.remove("raws"));
                    json!({ "result": result, "raws": raws })
                }
                Err(error) => json!({ "error": reported(&error) }),
            }
        }
    };
    let mut problems = match tokio::time::timeout(PATIENCE, run).await {
        Ok(outcome) => differences(&case["outcome"], &outcome),
        Err(_) => vec!["it did not end".into()],
    };
    drop(client);
    let verdict = http.get(format!("{mock}/sessions/{}", opened["session"])).send().await.unwrap();
    let verdict: Value = verdict.json().await.unwrap();
    problems.extend(verdict["problems"].as_array().unwrap().iter().map(Value::to_string));
    problems.into_iter().map(|problem| format!("{} #{variant}: {problem}", case["name"])).collect()
}

fn builder(base: &str, options: &Value) -> Builder {
    let millis = |name: &str| options[name].as_u64().map(Duration::from_millis);
    let base = options["baseUrl"].as_str().unwrap_or(base);
    let mut builder = Client::builder().base_url(base).api_key("gx_test_vector");
    builder = builder.retry_delay(Duration::from_millis(1));
    if let Some(keys) = options["keys"].as_array() {
        let keys: VecDeque<String> = keys.iter().map(|key| key.as_str().unwrap().into()).collect();
        let keys = Arc::new(Mutex::new(keys));
        builder = builder.key_callback(move || {
            let key = keys.lock().unwrap().pop_front();
            async move { key.ok_or("the callback was asked too often") }
        });
    }
    if let Some(timeout) = millis("timeoutMs") {
        builder = builder.timeout(timeout);
    }
    if let Some(retries) = options["maxRetries"].as_u64() {
        builder = builder.max_retries(u32::try_from(retries).unwrap());
    }
    if let Some(id) = options["developerId"].as_str() {
        builder = builder.developer_id(id);
    }
    if let Some(issuer) = options["issuer"].as_str() {
        builder = builder.issuer(issuer);
    }
    builder
}

fn stream_options(case: &Value, reconnects: Arc<AtomicUsize>) -> StreamOptions {
    let (options, args) = (&case["client"], &case["args"]);
    let millis = |name: &str| options[name].as_u64().map(Duration::from_millis);
    let text = |name: &str| args[name].as_str();
    let mut stream = StreamOptions::new()
        .reconnect_delay(millis("reconnectDelayMs").unwrap_or(Duration::from_millis(1)))
        .on_reconnect(move |_| {
            reconnects.fetch_add(1, Ordering::Relaxed);
        });
    if let Some(delay) = millis("reconnectDelayMaxMs") {
        stream = stream.max_reconnect_delay(delay);
    }
    if let Some(silence) = millis("silenceMs") {
        stream = stream.silence_timeout(silence);
    }
    if let Some(bytes) = options["maxEventBytes"].as_u64() {
        stream = stream.max_event_bytes(usize::try_from(bytes).unwrap());
    }
    if let Some(reconnect) = options["reconnect"].as_bool() {
        stream = stream.reconnect(reconnect);
    }
    if let Some(types) = args["eventTypes"].as_array() {
        stream = stream.event_types(types.iter().map(|kind| kind.as_str().unwrap()));
    }
    if let Some(since) = text("since") {
        stream = stream.since(since);
    }
    if let Some(id) = text("lastEventId") {
        stream = stream.last_event_id(id);
    }
    if let Some(id) = text("agentId") {
        stream = stream.agent_id(id);
    }
    if let Some(id) = text("principalId") {
        stream = stream.principal_id(id);
    }
    if let Some(id) = text("grantId") {
        stream = stream.grant_id(id);
    }
    stream
}

async fn stream(client: &Client, case: &Value) -> Value {
    let reconnects = Arc::new(AtomicUsize::new(0));
    let consumer = &case["consumer"];
    let take = consumer["take"].as_u64().unwrap_or(u64::MAX);
    let mut events = client.events().stream(stream_options(case, reconnects.clone()));
    let mut seen = Vec::new();
    let mut outcome = json!({});
    // A stream is ended by dropping it, from outside or not.
    let abort = consumer["abortAfterMs"]
        .as_u64()
        .or(consumer["closeAfterMs"].as_u64())
        .map(Duration::from_millis);
    let end = tokio::time::sleep(abort.unwrap_or(PATIENCE * 2));
    tokio::pin!(end);
    let wait = consumer["waitMs"].as_u64().map(Duration::from_millis);
    let mut raws = Vec::new();
    while (seen.len() as u64) < take {
        let next = tokio::select! {
            next = tokio::time::timeout(wait.unwrap_or(PATIENCE * 2), events.next()) => next,
            () = &mut end => break,
        };
        // The time is over; the stream goes on.
        let Ok(next) = next else { continue };
        match next {
            Some(Ok(event)) => {
                seen.push(envelope(&event));
                raws.push(event.json().to_owned());
                if seen.len() == 1
                    && let Some(hold) = consumer["holdAfterFirstMs"].as_u64()
                {
                    tokio::time::sleep(Duration::from_millis(hold)).await;
                }
            }
            Some(Err(error)) => {
                outcome["error"] = reported(&error);
                break;
            }
            None => {
                outcome["closed"] = json!(true);
                break;
            }
        }
    }
    outcome["events"] = json!(seen);
    outcome["raws"] = json!(raws);
    outcome["reconnects"] = json!(reconnects.load(Ordering::Relaxed));
    outcome
}

/// The event in the wire's form, made from its fields.
pub(crate) fn envelope(event: &GrantexEvent) -> Value {
    let raw: Value = serde_json::from_str(event.json()).unwrap();
    let data = match &event.data {
        Payload::Known(data) => {
            assert_eq!(data.event_type().as_str(), event.r#type);
            // Fields that are new are not in the typed payload, but in the event's own text.
            let mut typed = serde_json::to_value(data).unwrap();
            for (name, value) in raw["data"].as_object().unwrap() {
                typed.as_object_mut().unwrap().entry(name).or_insert_with(|| value.clone());
            }
            typed
        }
        Payload::Unknown(data) => serde_json::from_str(data.get()).unwrap(),
        other => panic!("{other:?}"),
    };
    json!({ "id": event.id, "type": event.r#type, "createdAt": event.timestamp, "data": data })
}

fn reported(error: &Error) -> Value {
    let kind = format!("{:?}", error.kind());
    let mut reported = json!({ "kind": snake(&kind), "text": error.to_string() });
    if let Some(api) = error.api() {
        reported["status"] = json!(api.status);
        reported["code"] = json!(api.code);
        reported["message"] = json!(api.message);
        reported["requestId"] = json!(api.request_id);
        reported["retryAfterMs"] = json!(api.retry_after.map(|wait| wait.as_millis()));
        reported["oldestEventId"] = json!(api.oldest_event_id);
    }
    if error.kind() == grantex::ErrorKind::Ended {
        reported["status"] = json!(204);
    }
    reported
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// Where the outcome is not what the case says. An error may tell more than the case asks for.
fn differences(wanted: &Value, got: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let result = &got["result"];
    for (name, wanted) in wanted.as_object().unwrap() {
        let got = &got[name];
        if let ("error", Some(fields)) = (name.as_str(), wanted.as_object()) {
            let text = got["text"].as_str().unwrap_or_default();
            let in_text = |part: &Value| text.contains(part.as_str().unwrap());
            let fits = |field: &str, value: &Value| match field {
                "says" => value.as_array().unwrap().iter().all(in_text),
                "hides" => !value.as_array().unwrap().iter().any(in_text),
                _ => got[field] == *value,
            };
            let wrong = fields.iter().filter(|(field, value)| !fits(field, value));
            problems.extend(
                wrong.map(|(field, value)| format!("the error's {field} is not {value}: {got}")),
            );
        } else if let ("resultIncludes", Some(fields)) = (name.as_str(), wanted.as_object()) {
            let missing = fields.iter().filter(|(field, value)| result[field.as_str()] != **value);
            problems.extend(
                missing.map(|(field, value)| format!("the result's {field} is not {value}")),
            );
        } else if wanted != got {
            problems.push(format!("{name} is {got}, not {wanted}"));
        }
    }
    if !wanted["error"].is_object() && !got["error"].is_null() {
        problems.push(format!("it failed: {}", got["error"]["text"]));
    }
    problems
}
