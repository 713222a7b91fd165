//! `read sdk|lines|json COUNT`: reads so many replayed events, and prints what that cost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use futures_util::StreamExt as _;
use grantex::{Client, StreamOptions};

#[path = "../cpu.rs"]
mod cpu;

const SINCE: &str = "1970-01-01T00:00:00Z";

async fn sdk(wanted: u64) -> u64 {
    let mut events = Client::from_env().unwrap().events().stream(StreamOptions::new().since(SINCE));
    let mut count = 0;
    while count < wanted {
        events.next().await.unwrap().unwrap();
        count += 1;
    }
    count
}

async fn lines(wanted: u64, parse: bool) -> u64 {
    let variable = |name: &str| std::env::var(name).unwrap();
    let url = format!("{}/v1/events/stream?since={SINCE}", variable("GRANTEX_BASE_URL"));
    let request = reqwest::Client::new().get(url).bearer_auth(variable("GRANTEX_API_KEY"));
    let mut response = request.send().await.unwrap();
    let (mut count, mut rest) = (0, Vec::new());
    while let Some(chunk) = response.chunk().await.unwrap() {
        rest.extend_from_slice(&chunk);
        let end = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in rest[..end].split(|byte| *byte == b'\n') {
            let Some(data) = line.strip_prefix(b"data: ") else { continue };
            if parse {
                serde_json::from_slice::<serde_json::Value>(data).unwrap();
            }
            count += 1;
            if count == wanted {
                return count;
            }
        }
        rest.drain(..end);
    }
    count
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().expect("sdk, lines or json");
    let wanted = arguments.next().expect("a count").parse().expect("a count");
    let start = cpu::cpu_of("self");
    let count = match mode.as_str() {
        "sdk" => sdk(wanted).await,
        mode => lines(wanted, mode == "json").await,
    };
    println!(
        "{}",
        serde_json::json!({ "events": count, "cpuSeconds": cpu::cpu_of("self") - start })
    );
}
