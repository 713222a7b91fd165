//! The binary as a process, and a client of it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

/// Longer than anything takes that works.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn grantex(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grantex"));
    command.args(arguments).env_remove("GRANTEX_API_KEY").env_remove("GRANTEX_BASE_URL");
    command
}

pub fn output(arguments: &[&str]) -> Output {
    grantex(arguments).output().unwrap()
}

/// Standard output of a command that succeeds.
#[track_caller]
pub fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A process whose lines are collected as they come; killed when it goes out of scope.
pub struct Process {
    child: Child,
    pub out: Lines,
    pub err: Lines,
}

#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn collect(source: impl std::io::Read + Send + 'static) -> Self {
        let lines = Self::default();
        let sink = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(source).lines().map_while(Result::ok) {
                sink.0.lock().unwrap().push(line);
            }
        });
        lines
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// The first line that holds `text`, once there is one.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.all().into_iter().find(|line| line.contains(text)) {
                return line;
            }
            assert!(Instant::now() < deadline, "no line with {text:?} in {:#?}", self.all());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The lines, once there are this many.
    #[track_caller]
    pub fn wait_count(&self, count: usize) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        while self.all().len() < count {
            assert!(Instant::now() < deadline, "fewer than {count} lines: {:#?}", self.all());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.all()
    }
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = Lines::collect(child.stdout.take().unwrap());
        let err = Lines::collect(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    pub fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.pid()]).status().unwrap().success());
    }

    /// Waits for its end; whether it was a success.
    pub fn wait(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// As a power cut would end it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `grantex serve` on a port of its own.
pub struct Server {
    pub process: Process,
    pub base: String,
}

impl Server {
    pub fn start(data_dir: &Path, extra: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", data_dir, extra)
    }

    pub fn start_at(listen: &str, data_dir: &Path, extra: &[&str]) -> Self {
        let mut command = grantex(&[
            "serve",
            "--listen",
            listen,
            "--rate-limit",
            "0",
            "--log-format",
            "json",
            "--data-dir",
        ]);
        command.arg(data_dir).args(extra);
        let process = Process::start(&mut command);
        let line = process.err.wait_for("\"serving\"");
        let line: Value = serde_json::from_str(&line).unwrap();
        let scheme = if extra.contains(&"--tls-cert") { "https" } else { "http" };
        Self { process, base: format!("{scheme}://{}", line["address"].as_str().unwrap()) }
    }

    pub fn address(&self) -> String {
        self.base.split("://").nth(1).unwrap().to_owned()
    }

    pub async fn sandbox(&self) -> Client {
        let anonymous = Client { http: http(), base: self.base.clone(), key: String::new() };
        let made = anonymous
            .post("/v1/signup", &json!({"name": "Test", "mode": "sandbox"}))
            .await
            .unwrap();
        Client { key: made.1["apiKey"].as_str().unwrap().to_owned(), ..anonymous }
    }
}

fn http() -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // No connection outlives a request: the service is killed between two of them.
    reqwest::Client::builder().timeout(PATIENCE).pool_max_idle_per_host(0).build().unwrap()
}

#[derive(Clone)]
pub struct Client {
    pub http: reqwest::Client,
    pub base: String,
    pub key: String,
}

pub type Answer = Result<(u16, Value), reqwest::Error>;

impl Client {
    pub fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mut request =
            self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn agent(&self) -> String {
        let (_, agent) = self.post("/v1/agents", &json!({"name": "Agent"})).await.unwrap();
        agent["agentId"].as_str().unwrap().to_owned()
    }

    /// A grant token's answer.
    pub async fn token(&self, agent: &str) -> Value {
        let request = json!({"agentId": agent, "principalId": "user-1", "scopes": ["a"]});
        let (_, asked) = self.post("/v1/authorize", &request).await.unwrap();
        let (status, token) = self
            .post("/v1/token", &json!({"agentId": agent, "code": asked["code"]}))
            .await
            .unwrap();
        assert_eq!(status, 201, "{token}");
        token
    }

    pub async fn log(&self) -> Vec<Value> {
        let mut events = Vec::new();
        let mut path = "/v1/events?limit=1000".to_owned();
        loop {
            let (status, page) = self.get(&path).await.unwrap();
            assert_eq!(status, 200, "{page}");
            events.extend(page["events"].as_array().unwrap().iter().cloned());
            match page["nextCursor"].as_str() {
                Some(cursor) => path = format!("/v1/events?limit=1000&after={cursor}"),
                None => return events,
            }
        }
    }
}
