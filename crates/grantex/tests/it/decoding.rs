//! `sse.json` and `backoff.json`: what needs no server.

use std::time::Duration;

use grantex::internal::delay;
use grantex::internal::sse::{Decoder, Item};
use serde_json::{Value, json};

use crate::vectors;

fn load(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(vectors().join(name)).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["cases"].as_array().unwrap().clone()
}

/// What a decoder makes of the chunks, and whether it met its limit.
fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> (Vec<Value>, bool) {
    let mut decoder = Decoder::new(limit);
    let mut items = Vec::new();
    let too_long = chunks.into_iter().any(|chunk| decoder.feed(chunk, &mut items).is_err());
    let items = items.into_iter().map(|item| match item {
        Item::Message { event, data } => json!({ "message": { "event": event, "data": data } }),
        Item::Cursor(id) => json!({ "cursor": id }),
        Item::Retry(delay) => json!({ "retry": u64::try_from(delay.as_millis()).unwrap() }),
        Item::Comment => json!("comment"),
    });
    (items.collect(), too_long)
}

#[test]
fn every_stream_reads_the_same_wherever_it_is_cut() {
    for case in load("sse.json") {
        let repeat =
            case["repeat"].as_u64().map(|times| "x".repeat(usize::try_from(times).unwrap()));
        let fill = |text: &str| {
            repeat.as_ref().map_or_else(|| text.to_owned(), |x| text.replace("{x}", x))
        };
        let stream = fill(case["stream"].as_str().unwrap()).into_bytes();
        let mut wanted = case["items"].as_array().unwrap().clone();
        for item in &mut wanted {
            if let Some(data) = item.pointer_mut("/message/data") {
                *data = json!(fill(data.as_str().unwrap()));
            }
        }
        let limit = case["limit"].as_u64().map_or(1 << 20, |limit| usize::try_from(limit).unwrap());
        let wanted = (wanted, case["tooLong"] == true);
        let name = &case["name"];
        assert_eq!(decode([&stream[..]], limit), wanted, "{name}, whole");
        assert_eq!(decode(stream.chunks(1), limit), wanted, "{name}, byte by byte");
        let step = if case["sampled"] == true { stream.len() / 16 } else { 1 };
        for cut in (0..=stream.len()).step_by(step) {
            let (head, tail) = stream.split_at(cut);
            assert_eq!(decode([head, tail], limit), wanted, "{name}, cut at {cut}");
        }
    }
}

#[test]
fn delays_are_exponential_with_full_jitter() {
    for case in load("backoff.json") {
        let millis = |name: &str| Duration::from_millis(case[name].as_u64().unwrap());
        let attempt = u32::try_from(case["attempt"].as_u64().unwrap()).unwrap();
        let got =
            delay(attempt, millis("baseMs"), millis("maxMs"), case["random"].as_f64().unwrap());
        assert_eq!(got, millis("delayMs"), "{}", case["name"]);
    }
}
