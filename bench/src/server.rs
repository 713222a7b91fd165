//! The service as a process: its address, its CPU time, its memory.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use grantex_core::store::{Change, Listener, Store};
use grantex_server::{SystemClock, SystemRng};
use grantex_store::sqlite::{Environment, SqliteStore};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cpu::cpu_of;

/// A running service; ended when it goes out of scope.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    pub(crate) key: String,
    pub(crate) http: reqwest::Client,
    folder: Option<TempDir>,
}

impl Server {
    /// Starts it on an empty folder.
    pub(crate) async fn start(binary: &Path) -> Self {
        Self::on(binary, tempfile::tempdir().unwrap()).await
    }

    /// Starts it on a folder that was filled before.
    pub(crate) async fn on(binary: &Path, folder: TempDir) -> Self {
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--rate-limit", "0", "--max-streams", "100000"])
            .args(["--log", "warn,grantex=info", "--log-format", "json", "--data-dir"])
            .arg(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary; build it with `cargo build --release`");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
            if let Some(address) = line["address"].as_str() {
                break address.to_owned();
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        let http = reqwest::Client::new();
        let mut server = Self { child, address, key: String::new(), http, folder: Some(folder) };
        let made = server.post("/v1/signup", &json!({"name": "Bench", "mode": "sandbox"})).await;
        made["apiKey"].as_str().unwrap().clone_into(&mut server.key);
        server
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.http.post(format!("http://{}{path}", self.address)).bearer_auth(&self.key);
        request.json(body).send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    pub(crate) async fn agent(&self) -> String {
        self.post("/v1/agents", &json!({"name": "Agent"})).await["agentId"].as_str().unwrap().to_owned()
    }

    /// A new grant: two events.
    pub(crate) async fn grant(&self, agent: &str) -> String {
        let ask = json!({"agentId": agent, "principalId": "user", "scopes": ["calendar:read"]});
        let code = self.post("/v1/authorize", &ask).await["code"].clone();
        let token = self.post("/v1/token", &json!({"agentId": agent, "code": code})).await;
        token["grantId"].as_str().unwrap().to_owned()
    }

    /// A plain socket that has opened a stream and read its head.
    pub(crate) async fn stream(&self, query: &str) -> TcpStream {
        let mut socket = TcpStream::connect(&self.address).await.unwrap();
        let request = format!(
            "GET /v1/events/stream{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
            self.key
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.windows(6).any(|window| window == b"retry:") {
            let mut byte = [0; 1024];
            let count = socket.read(&mut byte).await.unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&head));
            head.extend_from_slice(&byte[..count]);
        }
        socket
    }

    /// Ends it and gives back its folder.
    pub(crate) fn into_folder(mut self) -> TempDir {
        self.folder.take().unwrap()
    }

    /// CPU time it has used, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        cpu_of(&self.child.id().to_string())
    }

    /// Its memory, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Nobody;

impl Listener for Nobody {
    fn changed(&self, _: &[Change]) {}
    fn appended(&self, _: Vec<(grantex_types::DeveloperId, grantex_core::log::StoredEvent)>) {}
}

/// The store of a folder, without a service.
pub(crate) fn store(folder: &Path) -> Arc<dyn Store> {
    let environment =
        Environment { clock: Arc::new(SystemClock), rng: Arc::new(SystemRng), listener: Arc::new(Nobody) };
    Arc::new(SqliteStore::open(folder, &environment).unwrap())
}
