//! Writing fails, and works again.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::support::{PATIENCE, Server};

/// Sets how large a file the process may write: a full disk that any Linux can make.
fn limit_files(server: &Server, bytes: &str) {
    let status = Command::new("prlimit")
        .args(["--pid", &server.process.pid(), &format!("--fsize={bytes}")])
        .status();
    assert!(status.unwrap().success());
}

#[tokio::test]
async fn while_nothing_can_be_written_reads_and_streams_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--keep-alive", "500ms"]);
    let client = server.sandbox().await;
    let agent = client.agent().await;
    client.token(&agent).await;
    let url = format!("{}/v1/events/stream?since=2020-01-01T00:00:00Z", server.base);
    let mut stream = client.http.get(url).bearer_auth(&client.key).send().await.unwrap();
    stream.chunk().await.unwrap();

    limit_files(&server, "4096:unlimited");
    let before = client.log().await;
    for _ in 0..3 {
        let (status, body) = client.post("/v1/agents", &json!({"name": "x"})).await.unwrap();
        assert_eq!((status, body["code"].as_str()), (503, Some("UNAVAILABLE")), "{body}");
    }
    let (status, ready) = client.get("/readyz").await.unwrap();
    assert_eq!(status, 503);
    assert!(ready["reasons"][0].as_str().unwrap().contains("writes fail"), "{ready}");
    assert_eq!(client.get("/healthz").await.unwrap().0, 200);
    assert_eq!(client.log().await, before);
    stream.chunk().await.unwrap().expect("the stream goes on");

    limit_files(&server, "unlimited:unlimited");
    // It finds out by itself, without a request that tries.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while client.get("/readyz").await.unwrap().0 != 200 {
        assert!(tokio::time::Instant::now() < deadline, "writing does not resume");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    client.token(&agent).await;
    assert_eq!(client.log().await.len(), before.len() + 2);
    let (_, agents) = client.get("/v1/agents").await.unwrap();
    assert_eq!(agents["agents"].as_array().unwrap().len(), 1, "what was refused did not happen");
}
