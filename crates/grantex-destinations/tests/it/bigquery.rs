use grantex_destinations::conformance::{self, MemoryLog, Order, Promises, Receiver, sample_event};
use grantex_destinations::{
    Batch, BigQueryDestination, BigQueryMethod, BigQueryOptions, DeliveryOptions, EventDestination,
    EventId, HttpOptions, Place, SendError,
};
use grantex_receivers::{Fault, InsertAll, Server};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::{Process, oversize, quick, source, start, until};

/// The emulator, and a table in it.
struct Table {
    server: Process,
    client: reqwest::Client,
    name: &'static str,
}

impl Table {
    async fn start(name: &'static str) -> Self {
        let table =
            Self { server: Process::start(&["bigquery"]), client: reqwest::Client::new(), name };
        let dataset = json!({"datasetReference": {"projectId": "tests", "datasetId": "events"}});
        table.call("projects/tests/datasets", &dataset).await;
        table
    }

    async fn call(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}/bigquery/v2/{path}", self.server.address("endpoint"));
        let answer = self.client.post(url).json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    fn options(&self) -> BigQueryOptions {
        BigQueryOptions {
            create_table: true,
            endpoint: Some(self.server.address("endpoint")),
            storage_endpoint: Some(self.server.address("storage_endpoint")),
            ..BigQueryOptions::new("tests", "events", self.name)
        }
    }

    async fn rows(&self, columns: &str) -> Vec<Vec<String>> {
        let query = format!("SELECT {columns} FROM `tests.events.{}` ORDER BY event_id", self.name);
        let body = json!({"query": query, "useLegacySql": false, "maxResults": 100_000});
        let result = self.call("projects/tests/queries", &body).await;
        let cell = |cell: &Value| cell["v"].as_str().unwrap_or_default().to_owned();
        let row = |row: &Value| row["f"].as_array().unwrap().iter().map(cell).collect();
        result["rows"].as_array().into_iter().flatten().map(row).collect()
    }
}

impl Receiver for Table {
    type Destination = BigQueryDestination;

    async fn destination(&self) -> BigQueryDestination {
        let destination =
            BigQueryDestination::new("bigquery", &self.options(), &HttpOptions::default()).unwrap();
        destination.open(None).await.unwrap();
        destination
    }

    async fn received(&self) -> Vec<EventId> {
        self.rows("event_id").await.iter().map(|row| row[0].parse().unwrap()).collect()
    }

    fn promises(&self) -> Promises {
        Promises { order: Order::None, is_exactly_once: true }
    }
}

#[test]
fn conforms() {
    let runtime = Runtime::new().unwrap();
    let table = runtime.block_on(Table::start("conforming"));
    conformance::check(&table).unwrap();
}

#[tokio::test]
async fn a_row_has_the_columns_that_users_query() {
    let folder = tempfile::tempdir().unwrap();
    let table = Table::start("columns").await;
    let log = MemoryLog::default();
    log.append(2);
    let source = source(&log, folder.path());
    source.add_destination_with(table.destination().await, &quick()).unwrap();
    let running = start(&source);
    until("they arrive", || source.stats()[0].delivered == 2).await;
    source.stop().await;
    running.await.unwrap().unwrap();
    let rows = table
        .rows("event_id, event_type, UNIX_MILLIS(created_at), JSON_VALUE(data, '$.method')")
        .await;
    let expected = [
        log.ids()[1].to_string(),
        "token.issued".into(),
        "1772366400001".into(),
        "exchange".into(),
    ];
    assert_eq!(rows[1], expected);
}

#[tokio::test]
async fn the_probe_reports_what_is_wrong() {
    let table = Table::start("probed").await;
    let told = |options: BigQueryOptions| async move {
        BigQueryDestination::new("bigquery", &options, &HttpOptions::default())
            .unwrap()
            .probe()
            .await
    };
    assert!(told(table.options()).await.unwrap().contains("will be created"));
    let missing =
        told(BigQueryOptions { create_table: false, ..table.options() }).await.unwrap_err();
    assert!(
        matches!(&missing, SendError::Refused(told) if told.contains("create_table = true")),
        "{missing}"
    );
    table.destination().await;
    assert!(told(table.options()).await.unwrap().contains("has the columns it needs"));
    let incomplete = BigQueryOptions { storage_endpoint: None, ..table.options() };
    let told =
        BigQueryDestination::new("bigquery", &incomplete, &HttpOptions::default()).unwrap_err();
    assert_eq!(told.key.as_deref(), Some("storage_endpoint"));
}

/// `insertAll`, as strict as the service.
struct Rows {
    api: InsertAll,
    server: Server,
}

impl Rows {
    async fn start() -> Self {
        let api = InsertAll::default();
        let server = Server::start(api.router(), api.faults.clone(), 0).await.unwrap();
        Self { api, server }
    }
}

impl Receiver for Rows {
    type Destination = BigQueryDestination;

    async fn destination(&self) -> BigQueryDestination {
        let options = BigQueryOptions {
            method: BigQueryMethod::InsertAll,
            create_table: true,
            endpoint: Some(self.server.url()),
            ..BigQueryOptions::new("tests", "events", "rows")
        };
        BigQueryDestination::new("bigquery", &options, &HttpOptions::default()).unwrap()
    }

    async fn received(&self) -> Vec<EventId> {
        self.api.kept.ids().iter().map(|id| id.parse().unwrap()).collect()
    }

    fn promises(&self) -> Promises {
        // insertId is forgotten after a minute or so: no promise to build on.
        Promises { order: Order::None, is_exactly_once: false }
    }

    async fn disturb(&self) {
        *self.api.flaky_rows.lock() = 3;
        let faults = [
            Fault::Status(503),
            Fault::Status(429),
            Fault::Reset,
            Fault::TakenButReset,
            Fault::TakenButStatus(500),
            Fault::Status(413),
        ];
        self.api.faults.add(faults);
    }
}

#[test]
fn insert_all_conforms() {
    let runtime = Runtime::new().unwrap();
    conformance::check(&runtime.block_on(Rows::start())).unwrap();
}

#[tokio::test]
async fn insert_all_sends_again_only_the_rows_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    let rows = Rows::start().await;
    *rows.api.flaky_rows.lock() = 2;
    let log = MemoryLog::default();
    log.append(10);
    let source = source(&log, folder.path());
    source.add_destination_with(rows.destination().await, &quick()).unwrap();
    let running = start(&source);
    until("they arrive", || rows.api.kept.count() == 10).await;
    let stats = source.stop().await;
    running.await.unwrap().unwrap();
    assert_eq!((*rows.api.rows_sent.lock(), stats[0].retries), (12, 0));
}

#[tokio::test]
async fn a_row_beyond_the_limit_is_a_dead_letter() {
    let table = Table::start("oversize").await;
    oversize(table.destination().await, 9_000_001).await;
    let rows = Rows::start().await;
    oversize(rows.destination().await, 9_000_001).await;
    assert_eq!(rows.api.kept.count(), 9);
}

#[derive(Clone, PartialEq, prost::Message)]
struct FinalizeWriteStreamRequest {
    #[prost(string, tag = "1")]
    name: String,
}

/// Closes a stream.
async fn finalize(channel: tonic::transport::Channel, name: String) {
    let path = "/google.cloud.bigquery.storage.v1.BigQueryWrite/FinalizeWriteStream";
    let path = http::uri::PathAndQuery::from_static(path);
    let request = tonic::Request::new(FinalizeWriteStreamRequest { name });
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<_, ()>::default();
    client.unary(request, path, codec).await.unwrap();
}

/// Appends, closes the stream behind the pipeline's back, and says that the answer was lost.
struct LosesTheStream {
    inner: BigQueryDestination,
    channel: tonic::transport::Channel,
    appends: std::sync::atomic::AtomicUsize,
    /// Whether it appends before the stream is closed.
    is_appended: bool,
}

impl EventDestination for LosesTheStream {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn place(&self, batch: &Batch) -> Result<Place, SendError> {
        self.inner.place(batch).await
    }

    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        if self.appends.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0 {
            return self.inner.send(batch).await;
        }
        if self.is_appended {
            self.inner.send(batch).await?;
        }
        let name = batch.place()["stream"].as_str().unwrap().to_owned();
        finalize(self.channel.clone(), name).await;
        Err(SendError::retry("the answer was lost"))
    }
}

#[tokio::test]
async fn where_the_stream_is_gone_the_table_is_asked() {
    let table = Table::start("gone").await;
    let log = MemoryLog::default();
    for (round, is_appended) in [(1, true), (2, false)] {
        log.append(10);
        let folder = tempfile::tempdir().unwrap();
        let since = log.ids().len() - 10;
        let destination = LosesTheStream {
            inner: table.destination().await,
            channel: tonic::transport::Endpoint::from_shared(
                table.server.address("storage_endpoint"),
            )
            .unwrap()
            .connect_lazy(),
            appends: std::sync::atomic::AtomicUsize::new(0),
            is_appended,
        };
        let source = source(&log, folder.path());
        let since = sample_event(since as u64).timestamp.to_string();
        source
            .add_destination_with(destination, &DeliveryOptions { since: Some(since), ..quick() })
            .unwrap();
        let running = start(&source);
        until("they arrive", || source.stats()[0].delivered == 10).await;
        source.stop().await;
        running.await.unwrap().unwrap();
        assert_eq!(table.received().await, log.ids(), "round {round}");
    }
}
