//! A service on a loopback port, and clients of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use grantex_core::env::Clock;
use grantex_core::store::{self, Scope, Tx};
use grantex_server::operator::{OperatorAnswer, OperatorRequest, ask_service};
use grantex_server::{
    App, Jobs, KeyFolder, Memory, NewKeys, OperatorSocket, Parts, Settings, SystemClock, SystemRng,
    Tls, load_keys,
};
use grantex_store::DataDir;
use grantex_store::sqlite::{Environment, SqliteStore};
use grantex_store::suite::Twice;
use grantex_types::Timestamp;
use grantex_types::sse::{Decoder, Item};
use metrics_exporter_prometheus::PrometheusHandle;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The metrics of this process: of all its services together.
pub static METRICS: LazyLock<PrometheusHandle> =
    LazyLock::new(|| grantex_server::install_metrics().unwrap());

/// Longer than anything takes that works.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The machine's clock, and how far a test has moved it.
pub struct TestClock {
    ahead_millis: AtomicU64,
}

impl TestClock {
    pub fn advance(&self, seconds: u64) {
        self.ahead_millis.fetch_add(seconds * 1000, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_millis(self.ahead_millis.load(Ordering::SeqCst))
    }
}

/// A running service; its data go with it.
pub struct Service {
    pub base: String,
    /// Where it says that it is, if that is not `base`.
    public_base: Option<String>,
    pub clock: Arc<TestClock>,
    settings: Settings,
    folder: TempDir,
    shutdown: CancellationToken,
    running: Option<(JoinHandle<()>, DataDir, Arc<SqliteStore>)>,
    pub http: reqwest::Client,
}

impl Service {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        // Another test may have installed it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut settings = Settings::default();
        settings.streams.keep_alive = Duration::from_millis(200);
        settings.streams.drain = Duration::from_millis(400);
        change(&mut settings);
        let mut service = Self {
            base: String::new(),
            public_base: None,
            clock: Arc::new(TestClock { ahead_millis: AtomicU64::new(0) }),
            settings,
            folder: tempfile::tempdir().unwrap(),
            shutdown: CancellationToken::new(),
            running: None,
            http: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
        };
        service.run("127.0.0.1:0").await;
        service
    }

    async fn run(&mut self, address: &str) {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        self.base = format!("http://{address}");
        self.settings.public_base = self.public_base.clone().unwrap_or_else(|| self.base.clone());
        let data_dir = DataDir::lock(self.folder.path()).unwrap();
        let memory = Memory::new(&self.settings);
        let environment = Environment {
            clock: self.clock.clone(),
            rng: Arc::new(SystemRng),
            listener: memory.clone(),
        };
        let store = Arc::new(SqliteStore::open(data_dir.path(), &environment).unwrap());
        self.shutdown = CancellationToken::new();
        let (secrets, signing) = load_keys(
            store.as_ref(),
            Arc::new(KeyFolder::new(data_dir.path())),
            self.clock.as_ref(),
            NewKeys::Refuse,
        )
        .await
        .unwrap();
        let app = App::new(Parts {
            settings: self.settings.clone(),
            // Commands can run again after a conflict: here, all of them do.
            store: Arc::new(Twice(store.clone())),
            clock: self.clock.clone(),
            secrets,
            signing,
            leases: data_dir.leases(),
            memory,
            prometheus: None,
            shutdown: self.shutdown.clone(),
        });
        Jobs::start(&app);
        tokio::spawn(OperatorSocket::bind(data_dir.path()).unwrap().serve(Arc::clone(&app)));
        let router = grantex_server::router(&app);
        let serving = grantex_server::serve(
            vec![listener],
            router,
            app,
            Tls::default(),
            self.shutdown.clone(),
        );
        self.running = Some((tokio::spawn(serving), data_dir, store));
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// What the service answers its operator.
    pub async fn operator(&self, request: OperatorRequest) -> OperatorAnswer {
        ask_service(self.folder.path(), &request).await.unwrap()
    }

    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    pub async fn stop(&mut self) {
        self.shutdown.cancel();
        let (task, data_dir, store) = self.running.take().unwrap();
        tokio::time::timeout(PATIENCE, task).await.expect("shutdown ends").unwrap();
        store.close();
        drop(data_dir);
    }

    /// Starts it again with another public base.
    pub async fn restart_as(&mut self, public_base: &str) {
        self.public_base = Some(public_base.to_owned());
        self.restart().await;
    }

    /// Stops it and starts it again at the same address, on the same data.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.resume().await;
    }

    /// Starts it again after a stop.
    pub async fn resume(&mut self) {
        let address = self.base.trim_start_matches("http://").to_owned();
        for _ in 0..100 {
            // The store's threads end with the last request's task.
            match DataDir::lock(self.folder.path()) {
                Ok(lock) => {
                    drop(lock);
                    break;
                }
                Err(_) => tokio::task::yield_now().await,
            }
        }
        self.run(&address).await;
    }

    /// Writes into the store as an older version may have done: the service is stopped meanwhile.
    pub async fn write_before<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut dyn Tx) -> grantex_core::Result<T> + Send + 'static,
    ) -> T {
        self.stop().await;
        let environment = Environment {
            clock: self.clock.clone(),
            rng: Arc::new(SystemRng),
            listener: Arc::new(()),
        };
        let store = SqliteStore::open(self.folder.path(), &environment).unwrap();
        let mut work = Some(work);
        let work = move |tx: &mut dyn Tx| work.take().unwrap()(tx);
        let written = store::write(&store, Scope::Global, store::Needs::NONE, "write_before", work)
            .await
            .unwrap();
        drop(store);
        self.resume().await;
        written
    }

    pub fn anonymous(&self) -> Client {
        Client { http: self.http.clone(), base: self.base.clone(), key: String::new() }
    }

    async fn developer(&self, mode: &str) -> Client {
        let made = self
            .anonymous()
            .post("/v1/signup", &json!({"name": "Test", "mode": mode}))
            .await
            .ok(201);
        Client { key: made["apiKey"].as_str().unwrap().to_owned(), ..self.anonymous() }
    }

    pub async fn sandbox(&self) -> Client {
        self.developer("sandbox").await
    }

    pub async fn live(&self) -> Client {
        self.developer("live").await
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// An answer, ready to be looked at.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Answer {
    /// The body of an answer with this status.
    #[track_caller]
    pub fn ok(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.body
    }

    /// Checks that it is an error with this status and code, in the form that all errors have.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.body["code"], code, "{}", self.text);
        assert_eq!(self.body["requestId"], self.headers["x-request-id"].to_str().unwrap());
        let message = self.body["message"].as_str().unwrap().to_owned();
        assert!(!message.is_empty());
        message
    }
}

/// Somebody who calls the API.
#[derive(Clone)]
pub struct Client {
    pub http: reqwest::Client,
    pub base: String,
    pub key: String,
}

impl Client {
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        if self.key.is_empty() { request } else { request.bearer_auth(&self.key) }
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response =
            tokio::time::timeout(PATIENCE, request.send()).await.expect("an answer").unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::Null), text }
    }

    /// An answer whose body is yet to come.
    pub async fn send_raw(&self, path: &str) -> reqwest::Response {
        let sent = self.request(Method::GET, path).send();
        tokio::time::timeout(PATIENCE, sent).await.expect("an answer").unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub async fn post_once(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).header("Idempotency-Key", key).json(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub async fn agent(&self) -> String {
        let agent = self.post("/v1/agents", &json!({"name": "Agent"})).await.ok(201);
        agent["agentId"].as_str().unwrap().to_owned()
    }

    /// With a sandbox key: a code for this agent and principal.
    pub async fn code(
        &self,
        agent: &str,
        principal: &str,
        scopes: &[&str],
        expires_in: &str,
    ) -> String {
        let request = json!({"agentId": agent, "principalId": principal, "scopes": scopes, "expiresIn": expires_in});
        let asked = self.post("/v1/authorize", &request).await.ok(201);
        asked["code"].as_str().unwrap().to_owned()
    }

    pub async fn token(&self, agent: &str) -> Token {
        self.token_for(agent, "user-1", &["a:read", "a:write"], "24h").await
    }

    pub async fn token_for(
        &self,
        agent: &str,
        principal: &str,
        scopes: &[&str],
        expires_in: &str,
    ) -> Token {
        let code = self.code(agent, principal, scopes, expires_in).await;
        Token::read(&self.post("/v1/token", &json!({"agentId": agent, "code": code})).await.ok(201))
    }

    pub async fn delegate(&self, parent: &Token, agent: &str) -> Token {
        let request =
            json!({"parentGrantToken": parent.jwt, "subAgentId": agent, "scopes": ["a:read"]});
        Token::read(&self.post("/v1/grants/delegate", &request).await.ok(201))
    }

    /// A sandbox grant with a budget.
    pub async fn budget(&self, amount: &str) -> String {
        let agent = self.agent().await;
        let grant = self.token(&agent).await.grant;
        self.post("/v1/budget/allocate", &json!({"grantId": grant, "initialBudget": amount}))
            .await
            .ok(201);
        grant
    }

    pub async fn debit(&self, grant: &str, amount: &str) -> Answer {
        self.post("/v1/budget/debit", &json!({"grantId": grant, "amount": amount})).await
    }

    /// The whole log, paged.
    pub async fn log(&self) -> Vec<Value> {
        let mut events = Vec::new();
        let mut path = "/v1/events?limit=1000".to_owned();
        loop {
            let page = self.get(&path).await.ok(200);
            events.extend(page["events"].as_array().unwrap().iter().cloned());
            match page["nextCursor"].as_str() {
                Some(cursor) => path = format!("/v1/events?limit=1000&after={cursor}"),
                None => return events,
            }
        }
    }

    pub async fn stream(&self, query: &str) -> Stream {
        self.stream_after(query, None).await
    }

    pub async fn stream_after(&self, query: &str, last_event_id: Option<&str>) -> Stream {
        let mut request = self.request(Method::GET, &format!("/v1/events/stream{query}"));
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        let response =
            tokio::time::timeout(PATIENCE, request.send()).await.expect("headers at once").unwrap();
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Stream {
            bytes: response.bytes_stream().boxed(),
            decoder: Decoder::new(1 << 20),
            items: VecDeque::new(),
            cursor: String::new(),
        }
    }
}

/// A grant token and what came with it.
#[derive(Debug, Clone)]
pub struct Token {
    pub jwt: String,
    pub refresh: String,
    pub grant: String,
}

impl Token {
    pub fn read(body: &Value) -> Self {
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        Self { jwt: text("grantToken"), refresh: text("refreshToken"), grant: text("grantId") }
    }

    /// The JWT's payload, not verified.
    pub fn claims(&self) -> Value {
        self.part(1)
    }

    /// The JWT's header.
    pub fn header(&self) -> Value {
        self.part(0)
    }

    fn part(&self, index: usize) -> Value {
        use base64::Engine as _;
        let part = self.jwt.split('.').nth(index).unwrap();
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }
}

/// An open SSE stream.
pub struct Stream {
    bytes: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    decoder: Decoder,
    items: VecDeque<Item>,
    pub cursor: String,
}

impl Stream {
    /// The next item of any kind; `None` at the end of the stream.
    pub async fn item(&mut self) -> Option<Item> {
        while self.items.is_empty() {
            let chunk = tokio::time::timeout(PATIENCE, self.bytes.next())
                .await
                .expect("not silent")?
                .ok()?;
            let mut items = Vec::new();
            self.decoder.feed(&chunk, &mut items).unwrap();
            self.items.extend(items);
        }
        let item = self.items.pop_front();
        if let Some(Item::Cursor(id)) = &item {
            self.cursor.clone_from(id);
        }
        item
    }

    /// The next event; `None` at the end of the stream.
    pub async fn event(&mut self) -> Option<Value> {
        loop {
            if let Item::Message { data, event } = self.item().await? {
                assert_eq!(event, "", "no event: line");
                return Some(serde_json::from_str(&data).unwrap());
            }
        }
    }

    pub async fn events(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.event().await.expect("the stream goes on"));
        }
        events
    }

    /// Reads to the end of the stream.
    pub async fn ended(mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(event) = self.event().await {
            events.push(event);
        }
        events
    }
}

/// Each event's type, with the percentage of a threshold.
pub fn types(events: &[Value]) -> Vec<String> {
    events
        .iter()
        .map(|event| match event["data"]["percentage"].as_u64() {
            Some(percentage) => format!("{} {percentage}", event["type"].as_str().unwrap()),
            None => event["type"].as_str().unwrap().to_owned(),
        })
        .collect()
}

pub fn ids(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

/// Waits until `holds` does.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
