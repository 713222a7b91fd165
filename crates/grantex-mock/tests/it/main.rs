//! The cases themselves, and that the mock judges.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::path::PathBuf;

use serde_json::{Value, json};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

async fn mock() -> String {
    grantex_mock::server::start(&root().join("vectors")).await.unwrap()
}

#[test]
fn the_documents_name_cases_that_exist() {
    let (cases, _) = grantex_mock::cases::load(&root().join("vectors")).unwrap();
    let page = std::fs::read_to_string(root().join("docs/sdks.md")).unwrap();
    let mut named = 0;
    for name in page.split('`').filter(|text| !text.contains('\n')) {
        let file = name.split_once('/').map_or("", |(file, _)| file);
        if grantex_mock::cases::FILES.contains(&file) {
            assert!(cases.iter().any(|case| case.name == name), "docs/sdks.md names {name}");
            named += 1;
        }
    }
    assert!(named > 25, "{named}");
    let calls = cases.iter().filter(|case| case.name.starts_with("calls/")).count();
    assert!(
        page.contains(&format!("`calls.json`, {calls} calls")),
        "docs/sdks.md: there are {calls} calls"
    );
    let text = std::fs::read_to_string(root().join("vectors/sse.json")).unwrap();
    let streams = serde_json::from_str::<Value>(&text).unwrap()["cases"].as_array().unwrap().len();
    assert!(
        page.contains(&format!("`sse.json`, {streams} streams")),
        "docs/sdks.md: there are {streams} streams"
    );
}

/// Opens a session of `case`; what the mock says after `request`, and after it alone.
async fn judged(case: &str, request: impl FnOnce(&str) -> reqwest::RequestBuilder) -> Vec<String> {
    let (mock, http) = (mock().await, reqwest::Client::new());
    let body = json!({ "case": case }).to_string();
    let opened: Value = http
        .post(format!("{mock}/sessions"))
        .body(body)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    request(opened["base"].as_str().unwrap()).send().await.unwrap();
    let verdict = http.get(format!("{mock}/sessions/{}", opened["session"])).send().await.unwrap();
    let verdict: Value = verdict.json().await.unwrap();
    verdict["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| problem.as_str().unwrap().to_owned())
        .collect()
}

fn me(base: &str) -> reqwest::RequestBuilder {
    reqwest::Client::new()
        .get(format!("{base}/v1/me"))
        .bearer_auth("gx_test_vector")
        .header("user-agent", "grantex-rust/0")
}

#[tokio::test]
async fn what_the_case_expects_is_no_problem() {
    assert_eq!(judged("calls/me", me).await, Vec::<String>::new());
}

#[tokio::test]
async fn whatever_differs_is_one() {
    let wrong = |base: &str| {
        reqwest::Client::new().post(format!("{base}/v1/you?x=1")).bearer_auth("other").body("{}")
    };
    let problems = judged("calls/me", wrong).await;
    for what in ["method", "path", "query", "authorization", "user-agent", "body"] {
        assert!(problems.iter().any(|problem| problem.contains(what)), "{what}: {problems:?}");
    }
}

#[tokio::test]
async fn too_few_requests_and_too_many_are_problems() {
    for case in ["retries/a GET is tried again after 500", "retries/the tries come to an end"] {
        let problems = judged(case, me).await;
        assert!(
            problems.iter().any(|problem| problem.contains("more were due")),
            "{case}: {problems:?}"
        );
    }

    let (mock, http) = (mock().await, reqwest::Client::new());
    let opened =
        http.post(format!("{mock}/sessions")).body(r#"{"case":"calls/me"}"#).send().await.unwrap();
    let opened: Value = opened.json().await.unwrap();
    for _ in 0..2 {
        me(opened["base"].as_str().unwrap()).send().await.unwrap();
    }
    let verdict = http.get(format!("{mock}/sessions/{}", opened["session"])).send().await.unwrap();
    assert!(verdict.text().await.unwrap().contains("one request too many"));
}
