//! From the log to each destination: events a second, events per CPU-second and memory of the
//! forwarder, beside `curl -N > file`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::cpu::cpu_of;
use crate::{filled, server::Server};

const EVENTS: u64 = 1_000_000;
const ROUNDS: usize = 3;

/// What one run took.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) seconds: f64,
    pub(crate) cpu: f64,
    pub(crate) peak_bytes: u64,
}

impl Run {
    pub(crate) fn median(runs: &[Self], of: fn(&Self) -> f64) -> f64 {
        let mut all: Vec<f64> = runs.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    }
}

pub(crate) async fn run(binary: &Path) {
    let server = filled::filled(binary, EVENTS).await.0;
    let sink = sink().await;
    let mut s3 = Receiver::start("s3");
    s3.command("bucket bench");
    let mut kafka = Receiver::start("kafka");
    let s3_keys = ["endpoint", "access_key_id", "secret_access_key"]
        .map(|key| format!("{key} = {}\n", s3.told[key]));
    let brokers = kafka.told["brokers"].clone();
    let mut runs: Vec<(&str, Vec<Run>)> = Vec::new();
    for round in 0..ROUNDS {
        kafka.command(&format!("topic bench-{round} 3"));
        kafka.command(&format!("topic bench-t{round} 3"));
        let topic = format!("type = \"kafka\"\nbrokers = {brokers}\nbatch_size = 5000\n");
        let destinations = [
            ("file", "type = \"file\"\npath = \"out.ndjson\"\n".to_owned()),
            ("datadog", format!("type = \"datadog\"\nurl = \"{sink}\"\napi_key = \"k\"\n")),
            (
                "splunk",
                format!(
                    "type = \"splunk\"\nhec_url = \"{sink}\"\nhec_token = \"t\"\nbatch_size = 1000\n"
                ),
            ),
            (
                "s3",
                format!(
                    "type = \"s3\"\nbucket = \"bench\"\nprefix = \"{round}\"\nregion = \"us-east-1\"\n{}",
                    s3_keys.concat()
                ),
            ),
            (
                "bigquery insert_all",
                format!(
                    "type = \"bigquery\"\nmethod = \"insert_all\"\nproject_id = \"p\"\ndataset_id = \"d\"\ntable_id = \"t\"\nendpoint = \"{sink}\"\n"
                ),
            ),
            ("kafka", format!("{topic}topic = \"bench-{round}\"\n")),
            (
                "kafka transactional",
                format!("{topic}topic = \"bench-t{round}\"\ntransactional_id = \"bench{round}\"\n"),
            ),
        ];
        add(&mut runs, "curl", curl(&server));
        for (name, options) in destinations {
            add(&mut runs, name, forward(binary, &server, &options).await);
        }
    }
    let median = Run::median;
    let events = EVENTS as f64;
    let curl = (median(&runs[0].1, |run| run.seconds), median(&runs[0].1, |run| run.cpu));
    for (name, runs) in &runs {
        let (seconds, cpu) = (median(runs, |run| run.seconds), median(runs, |run| run.cpu));
        println!(
            "forward   {name:<20} {:>8.0} events/s ({:.2} × curl)   {:>8.0} events per CPU-second ({:.2} × curl)   {:>4.0} MiB at most",
            events / seconds,
            curl.0 / seconds,
            events / cpu,
            curl.1 / cpu,
            median(runs, |run| run.peak_bytes as f64) / f64::from(1 << 20)
        );
    }
}

fn add(runs: &mut Vec<(&'static str, Vec<Run>)>, name: &'static str, run: Run) {
    match runs.iter_mut().find(|(known, _)| *known == name) {
        Some((_, all)) => all.push(run),
        None => runs.push((name, vec![run])),
    }
}

/// A receiver that reads everything and agrees: what is measured is the forwarder.
async fn sink() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let agree = any(|_: axum::body::Bytes| async {
        (StatusCode::OK, r#"{"text":"Success","code":0,"insertErrors":[]}"#)
    });
    let router =
        Router::new().fallback_service(agree.layer(axum::extract::DefaultBodyLimit::disable()));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// `grantex forward` until it has delivered everything.
pub(crate) async fn forward(binary: &Path, server: &Server, options: &str) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "url = \"http://{}\"\napi_key = \"{}\"\nsince = \"1970-01-01T00:00:00Z\"\nlisten = \"127.0.0.1:0\"\n[[destination]]\nname = \"bench\"\n{options}",
        server.address, server.key
    );
    std::fs::write(folder.path().join("forward.toml"), config).unwrap();
    let begun = Instant::now();
    let mut child = Command::new(binary.canonicalize().unwrap())
        .args(["forward", "--log-format", "json"])
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = loop {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        if let Some(address) = line["address"].as_str() {
            break address.to_owned();
        }
    };
    std::thread::spawn(move || lines.for_each(drop));
    let delivered =
        format!("grantex_forward_events_delivered_total{{destination=\"bench\"}} {EVENTS}\n");
    while !metrics(server, &address).await.contains(&delivered) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let run = measured(&child, begun);
    child.kill().unwrap();
    child.wait().unwrap();
    run
}

async fn metrics(server: &Server, address: &str) -> String {
    match server.http.get(format!("http://{address}/metrics")).send().await {
        Ok(answer) => answer.text().await.unwrap_or_default(),
        Err(_) => String::new(),
    }
}

/// `curl -N > file` until the file grows no more.
fn curl(server: &Server) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let begun = Instant::now();
    let mut child = Command::new("curl")
        .args(["-sN", "-H", &format!("Authorization: Bearer {}", server.key)])
        .arg(format!("http://{}/v1/events/stream?since=1970-01-01T00:00:00Z", server.address))
        .stdout(std::fs::File::create(&path).unwrap())
        .spawn()
        .unwrap();
    let mut last = (0, Instant::now(), measured(&child, begun));
    // A keep-alive comes after 4 s: nothing for 2 s means that all is there.
    while last.0 == 0 || last.1.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(20));
        let size = path.metadata().unwrap().len();
        if size > last.0 {
            last = (size, Instant::now(), measured(&child, begun));
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    last.2
}

fn measured(child: &Child, begun: Instant) -> Run {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM:"));
    let peak = peak
        .and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .unwrap_or_default();
    Run {
        seconds: begun.elapsed().as_secs_f64(),
        cpu: cpu_of(&child.id().to_string()),
        peak_bytes: peak * 1024,
    }
}

/// A real receiver of `tests/receivers/serve.py`; it ends with this value.
struct Receiver {
    told: Value,
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Receiver {
    fn start(kind: &str) -> Self {
        let mut command = Command::new("python3");
        command
            .args(["tests/receivers/serve.py", kind])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        Self { told: serde_json::from_str(&line).unwrap(), child, answers }
    }

    fn command(&mut self, command: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{command}").unwrap();
        self.answers.read_line(&mut String::new()).unwrap();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}
