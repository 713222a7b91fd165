//! Comparing a request with what the case expects.

use std::collections::BTreeMap;

use grantex_types::Amount;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::cases::Expect;

/// The key that a client is given unless the case gives others.
const KEY: &str = "gx_test_vector";
const AGENTS: [&str; 4] =
    ["grantex-rust/", "grantex-typescript/", "grantex-python/", "grantex-go/"];

/// What is wrong with the request.
pub(crate) fn request(
    expect: &Expect,
    request: &Parts,
    path: &str,
    body: &[u8],
    previous: Option<&Parts>,
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut differs = |what: &str, wanted: &dyn std::fmt::Debug, got: &dyn std::fmt::Debug| {
        problems.push(format!("{what} is {got:?}, not {wanted:?}"));
    };
    if request.method.as_str() != expect.method {
        differs("the method", &expect.method, &request.method.as_str());
    }
    if path != expect.path {
        differs("the path", &expect.path, &path);
    }
    let query = decode(request.uri.query().unwrap_or_default());
    if query != expect.query {
        differs("the query", &expect.query, &query);
    }
    let header = |parts: &Parts, name: &str| {
        parts.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let bearer = format!("Bearer {KEY}");
    let mut headers = BTreeMap::from([("authorization", Some(bearer.as_str()))]);
    if expect.body.is_some() {
        headers.insert("content-type", Some("application/json"));
    }
    headers.extend(expect.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())));
    for (name, wanted) in headers {
        let got = header(request, name);
        let before = previous.and_then(|previous| header(previous, name));
        let fits = match wanted {
            None => got.is_none(),
            Some("*") => got.as_deref().is_some_and(|got| !got.is_empty()),
            Some("=") => got.is_some() && got == before,
            Some(text) => got.as_deref() == Some(text),
        };
        if !fits {
            differs(name, &wanted, &got);
        }
    }
    let agent = header(request, "user-agent").unwrap_or_default();
    if !AGENTS.iter().any(|known| agent.starts_with(known)) {
        differs("user-agent", &AGENTS, &agent);
    }
    let got =
        (!body.is_empty()).then(|| serde_json::from_slice::<Value>(body).unwrap_or(Value::Null));
    if got.clone().map(exact) != expect.body.clone().map(exact) {
        differs("the body", &expect.body, &got);
    }
    problems
}

/// The body with its amounts in one form: a client may send them as numbers or as texts.
fn exact(mut body: Value) -> Value {
    if let Some(budget) = body.get_mut("budget") {
        *budget = exact(budget.take());
    }
    for name in ["initialBudget", "amount"] {
        if let Some(value) = body.get_mut(name)
            && let Ok(amount) = serde_json::from_value::<Amount>(value.clone())
        {
            *value = Value::String(amount.to_string());
        }
    }
    body
}

fn decode(query: &str) -> BTreeMap<String, String> {
    let text =
        |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (text(name), text(value)))
        .collect()
}
