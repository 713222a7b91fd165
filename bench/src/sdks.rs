//! What reading costs a client: each SDK beside its language's plainest line reader.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::{filled, server::Server};

const EVENTS: u64 = 1_000_000;
const ROUNDS: usize = 3;

/// A language's reader, and its modes beside the two plain ones.
const READERS: [(&str, &[&str], &[&str]); 4] = [
    ("Rust", &["target/release/read"], &["sdk"]),
    ("TypeScript", &["node", "bench/sdks/read.mjs"], &["sdk"]),
    ("Python", &["sdk/python/.venv/bin/python", "bench/sdks/read.py"], &["sdk", "sync"]),
    ("Go", &["target/release/read-go"], &["sdk"]),
];

pub(crate) async fn run(binary: &Path) {
    let build = "cd bench/sdks/go && go build -o ../../../target/release/read-go .";
    assert!(Command::new("sh").args(["-c", build]).status().unwrap().success(), "{build}");
    let server = filled::filled(binary, EVENTS).await.0;
    let mut seconds: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        for (language, command, modes) in READERS {
            for mode in ["lines", "json"].iter().chain(modes) {
                seconds.entry((language, mode)).or_default().push(read(&server, command, mode));
            }
        }
    }
    let median = |language: &str, mode: &str| {
        let mut all = seconds[&(language, mode)].clone();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    for (language, _, modes) in READERS {
        let (lines, json) = (median(language, "lines"), median(language, "json"));
        println!(
            "sdks      {language:<10}  lines {:>9.0} events per CPU-second   lines and JSON {:>9.0}",
            EVENTS as f64 / lines,
            EVENTS as f64 / json
        );
        for mode in modes {
            let cost = median(language, mode);
            println!(
                "          {:<10}  {mode:<5} {:>9.0} events per CPU-second   {:.2} × lines   {:.2} × lines and JSON",
                "",
                EVENTS as f64 / cost,
                lines / cost,
                json / cost
            );
        }
    }
}

/// CPU-seconds that a reader needs for all events.
fn read(server: &Server, command: &[&str], mode: &str) -> f64 {
    let output = Command::new(command[0])
        .args(&command[1..])
        .args([mode, &EVENTS.to_string()])
        .env("GRANTEX_BASE_URL", format!("http://{}", server.address))
        .env("GRANTEX_API_KEY", &server.key)
        .output()
        .unwrap_or_else(|error| {
            panic!("{command:?}: {error}; bench/README.md lists what to build")
        });
    assert!(
        output.status.success(),
        "{command:?} {mode}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["events"], EVENTS, "{command:?} {mode}");
    told["cpuSeconds"].as_f64().unwrap()
}
