//! What a destination in JavaScript costs: the same events through the Node package, beside
//! `grantex forward` to a file and beside a loop over the TypeScript SDK, which delivers nothing
//! and writes nothing down.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::filled;
use crate::forward::{self, Run};
use crate::server::Server;

const EVENTS: u64 = 1_000_000;
const ROUNDS: usize = 3;

/// What the package delivers to, and in batches of how many.
const DESTINATIONS: [(&str, &str); 4] =
    [("file", "1000"), ("own", "100"), ("own", "1000"), ("own", "10000")];

pub(crate) async fn run(binary: &Path) {
    let server = filled::filled(binary, EVENTS).await.0;
    let mut runs: BTreeMap<String, Vec<Run>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let file =
            forward::forward(binary, &server, "type = \"file\"\npath = \"out.ndjson\"\n").await;
        runs.entry("grantex forward, file".into()).or_default().push(file);
        let arguments = ["bench/sdks/read.mjs", "sdk", &EVENTS.to_string()];
        runs.entry("TypeScript SDK, loop".into()).or_default().push(node(&server, &arguments));
        for (kind, batch) in DESTINATIONS {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().to_str().unwrap();
            let arguments = ["bench/node/deliver.mjs", kind, batch, &EVENTS.to_string(), path];
            let name = format!("Node, {kind}, batches of {batch}");
            runs.entry(name).or_default().push(node(&server, &arguments));
        }
    }
    for (name, runs) in &runs {
        let (seconds, cpu) =
            (Run::median(runs, |run| run.seconds), Run::median(runs, |run| run.cpu));
        println!(
            "node      {name:<30} {:>8.0} events/s   {:>8.0} events per CPU-second   {:>4.0} MiB at most",
            EVENTS as f64 / seconds,
            EVENTS as f64 / cpu,
            Run::median(runs, |run| run.peak_bytes as f64) / f64::from(1 << 20)
        );
    }
}

fn node(server: &Server, arguments: &[&str]) -> Run {
    let begun = Instant::now();
    let output = Command::new("node")
        .args(arguments)
        .env("GRANTEX_BASE_URL", format!("http://{}", server.address))
        .env("GRANTEX_API_KEY", &server.key)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["events"], EVENTS, "{arguments:?}");
    Run {
        seconds: begun.elapsed().as_secs_f64(),
        cpu: told["cpuSeconds"].as_f64().unwrap(),
        peak_bytes: told["peakBytes"].as_u64().unwrap(),
    }
}
