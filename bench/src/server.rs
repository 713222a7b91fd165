//! The service as a process: its address, its CPU time, its memory.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use grantex_types::DeveloperId;
use serde_json::{Value, json};
use tempfile::TempDir;

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
        Self::start_with(binary, &[]).await
    }

    /// Starts it on an empty folder, with further options.
    pub(crate) async fn start_with(binary: &Path, options: &[&str]) -> Self {
        Self::launch(binary, tempfile::tempdir().unwrap(), options).await
    }

    /// Starts it on a folder that was filled before.
    pub(crate) async fn on(binary: &Path, folder: TempDir) -> Self {
        Self::launch(binary, folder, &[]).await
    }

    async fn launch(binary: &Path, folder: TempDir, options: &[&str]) -> Self {
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--metrics", "true"])
            // One developer at one address is all of the load: what protects the others is not
            // measured.
            .args(["--rate-limit", "0", "--signup-rate", "0", "--signup-rate-in-all", "0"])
            .args([
                "--max-streams",
                "0",
                "--max-connections",
                "0",
                "--max-connections-per-address",
                "0",
            ])
            .args(["--log", "warn,grantex=info", "--log-format", "json", "--data-dir"])
            .arg(folder.path())
            .args(options)
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
        server.key = server.sign_up().await;
        server
    }

    async fn post(&self, path: &str, body: &Value, key: &str) -> Value {
        let request = self.http.post(format!("http://{}{path}", self.address)).bearer_auth(key);
        request.json(body).send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    /// The key of a new developer.
    pub(crate) async fn sign_up(&self) -> String {
        let made = self.post("/v1/signup", &json!({"name": "Bench", "mode": "sandbox"}), "").await;
        made["apiKey"].as_str().unwrap().to_owned()
    }

    /// The developer whose key this is.
    pub(crate) async fn developer_of(&self, key: &str) -> DeveloperId {
        self.get(key, "/v1/me").await["developerId"].as_str().unwrap().parse().unwrap()
    }

    /// A new agent of the developer whose key this is.
    pub(crate) async fn agent_of(&self, key: &str) -> String {
        let made = self.post("/v1/agents", &json!({"name": "Agent"}), key).await;
        made["agentId"].as_str().unwrap().to_owned()
    }

    /// A figure of its own metrics.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let url = format!("http://{}/metrics", self.address);
        let text = self
            .http
            .get(url)
            .send()
            .await
            .unwrap()
            .error_for_status()
            .unwrap()
            .text()
            .await
            .unwrap();
        let mut lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        let (_, value) = lines
            .find(|(found, _)| *found == name)
            .unwrap_or_else(|| panic!("the metric {name} is missing"));
        value.parse().unwrap()
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> Value {
        let request = self.http.get(format!("http://{}{path}", self.address)).bearer_auth(key);
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    /// The file of its database.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.as_ref().unwrap().path().join("grantex.db")
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
