//! Few open files: whoever comes and asks is served, whatever others keep open.

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Client, PATIENCE, Process, grantex};

/// Open files that the service may have, where a shell allows some thousand.
const OPEN_FILES: usize = 256;

/// `grantex serve` with few open files.
fn serve(data_dir: &std::path::Path) -> (Process, String) {
    let serve =
        grantex(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir"]);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {OPEN_FILES} && exec \"$@\""), "sh"]);
    command.arg(serve.get_program()).args(serve.get_args()).arg(data_dir);
    let process = Process::start(&mut command);
    let line: Value = serde_json::from_str(&process.err.wait_for("\"serving\"")).unwrap();
    let base = format!("http://{}", line["address"].as_str().unwrap());
    (process, base)
}

async fn developer(base: &str) -> Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let http =
        reqwest::Client::builder().timeout(PATIENCE).pool_max_idle_per_host(0).build().unwrap();
    let anonymous = Client { http, base: base.to_owned(), key: String::new() };
    let (_, made) =
        anonymous.post("/v1/signup", &json!({"name": "Test", "mode": "sandbox"})).await.unwrap();
    Client { key: made["apiKey"].as_str().unwrap().to_owned(), ..anonymous }
}

/// How often a line was logged.
fn logged(process: &Process, text: &str) -> usize {
    process.err.all().iter().filter(|line| line.contains(text)).count()
}

#[tokio::test]
async fn silent_sockets_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let (process, base) = serve(folder.path());
    let address = base.trim_start_matches("http://");
    let client = developer(&base).await;
    let silent: Vec<TcpStream> =
        (0..OPEN_FILES + 100).map(|_| TcpStream::connect(address).unwrap()).collect();
    for _ in 0..5 {
        let at = std::time::Instant::now();
        assert_eq!(client.get("/healthz").await.unwrap().0, 200);
        assert!(at.elapsed() < Duration::from_secs(2), "{:?}", at.elapsed());
        assert_eq!(client.get("/v1/me").await.unwrap().0, 200);
        // A write needs files of the store.
        assert_eq!(client.post("/v1/agents", &json!({"name": "x"})).await.unwrap().0, 201);
    }
    drop(silent);
    let warnings = logged(&process, "limit reached");
    assert!((1..=3).contains(&warnings), "{warnings} warnings: {:#?}", process.err.all());
    assert_eq!(logged(&process, "could not be accepted"), 0);
}

#[tokio::test]
async fn streams_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let (process, base) = serve(folder.path());
    let mut streams = Vec::new();
    let mut last_refusal = 0;
    for _ in 0..3 {
        let client = developer(&base).await;
        loop {
            let opening =
                client.http.get(format!("{base}/v1/events/stream")).bearer_auth(&client.key).send();
            let opened = opening.await.unwrap();
            last_refusal = opened.status().as_u16();
            if last_refusal != 200 {
                break;
            }
            streams.push(opened);
        }
    }
    assert_eq!(last_refusal, 503, "after {} streams", streams.len());
    let another = developer(&base).await;
    for _ in 0..20 {
        assert_eq!(another.get("/healthz").await.unwrap().0, 200);
        assert_eq!(another.post("/v1/agents", &json!({"name": "x"})).await.unwrap().0, 201);
    }
    assert_eq!(logged(&process, "could not be accepted"), 0);
}

#[test]
fn too_few_open_files_are_refused_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let serve = grantex(&["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 100 && exec \"$@\"", "sh"]);
    let refused = command
        .arg(serve.get_program())
        .args(serve.get_args())
        .arg(folder.path())
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && message.contains("ulimit -n"), "{message}");
}
