//! The Storage Write API: <https://cloud.google.com/bigquery/docs/write-api>
//!
//! One committed stream, to which each batch is appended at its offset. An append that is repeated
//! at the same offset is answered with `ALREADY_EXISTS`: that is what makes it exactly once.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status, Streaming};

use super::proto::{
    self, AppendRowsRequest, AppendRowsResponse, AppendRowsResult, CreateWriteStreamRequest,
    DescriptorProto, FieldDescriptorProto, Label, ProtoData, ProtoRows, ProtoSchema, StreamType,
    Type, WriteStream,
};
use super::rest::Rest;
use super::{BigQueryOptions, MOST_BYTES, rows};
use crate::batch::{Batch, Place};
use crate::destination::SendError;
use crate::error::ConfigError;
use crate::http::{HttpOptions, base_url};
use crate::tls::Trust;
use crate::tls::read;

const GOOGLE: &str = "https://bigquerystorage.googleapis.com";

#[derive(Debug)]
pub(super) struct StorageWrite {
    channel: Channel,
    timeout: Duration,
    current: Mutex<Option<Current>>,
}

/// The stream that is written to.
#[derive(Debug)]
struct Current {
    at: At,
    connection: Option<Connection>,
}

/// Where a batch belongs.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct At {
    stream: String,
    offset: i64,
}

#[derive(Debug)]
struct Connection {
    requests: mpsc::Sender<AppendRowsRequest>,
    responses: Streaming<AppendRowsResponse>,
}

/// A row on the wire, as in the schema below.
#[derive(Clone, PartialEq, prost::Message)]
struct ProtoRow {
    #[prost(string, tag = "1")]
    event_id: String,
    #[prost(string, tag = "2")]
    event_type: String,
    #[prost(int64, tag = "3")]
    created_at: i64,
    #[prost(string, tag = "4")]
    data: String,
}

fn schema() -> ProtoSchema {
    let columns = [
        ("event_id", Type::String),
        ("event_type", Type::String),
        ("created_at", Type::Int64),
        ("data", Type::String),
    ];
    let field = |(number, (name, kind)): (i32, (&str, Type))| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(kind.into()),
    };
    let descriptor = DescriptorProto {
        name: Some("Event".to_owned()),
        field: (1..).zip(columns).map(field).collect(),
    };
    ProtoSchema { proto_descriptor: Some(descriptor) }
}

impl StorageWrite {
    pub(super) fn new(options: &BigQueryOptions, http: &HttpOptions) -> Result<Self, ConfigError> {
        let base = match (&options.storage_endpoint, &options.endpoint) {
            (Some(endpoint), _) => base_url("storage_endpoint", endpoint)?,
            (None, None) => GOOGLE.to_owned(),
            (None, Some(_)) => {
                return Err(ConfigError::value(
                    "storage_endpoint",
                    "is needed beside endpoint: rows go over gRPC",
                ));
            }
        };
        let wrong = |error: tonic::transport::Error| {
            ConfigError::value("storage_endpoint", error.to_string())
        };
        let mut endpoint = Endpoint::from_shared(base.clone())
            .map_err(wrong)?
            .connect_timeout(http.timeout().min(Duration::from_secs(10)))
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20));
        if base.starts_with("https://") {
            let mut tls = ClientTlsConfig::new();
            if let (Some(certificate), Some(key)) = (&http.client_cert_file, &http.client_key_file)
            {
                let pem = (read("client_cert_file", certificate)?, read("client_key_file", key)?);
                tls = tls.identity(Identity::from_pem(pem.0, pem.1));
            }
            endpoint = match &http.ca_file {
                Some(path) => endpoint.tls_config_with_verifier(tls, Trust::in_file(path)?),
                None => endpoint.tls_config(tls.with_native_roots()),
            }
            .map_err(wrong)?;
        }
        // tonic connects within a runtime, and only when the first request comes.
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| {
            ConfigError::whole("the Storage Write API needs a Tokio runtime around it")
        })?;
        let _entered = runtime.enter();
        Ok(Self {
            channel: endpoint.connect_lazy(),
            timeout: http.timeout(),
            current: Mutex::new(None),
        })
    }

    /// Where the next batch belongs; makes a stream where there is none.
    pub(super) async fn place(&self, rest: &Rest) -> Result<Place, SendError> {
        let mut current = self.current.lock().await;
        let at = match &*current {
            Some(current) => current.at.clone(),
            None => {
                let at = At { stream: self.create_stream(rest).await?, offset: 0 };
                *current = Some(Current { at: at.clone(), connection: None });
                at
            }
        };
        serde_json::to_value(at).map_err(|error| SendError::retry(error.to_string()))
    }

    /// Appends a batch at its place.
    pub(super) async fn append(&self, rest: &Rest, batch: &Batch) -> Result<(), SendError> {
        let at: At = serde_json::from_value(batch.place().clone()).map_err(|error| {
            SendError::Misplaced(format!("the batch's place cannot be read: {error}"))
        })?;
        let serialized: Vec<Bytes> = rows(batch)
            .into_iter()
            .map(|row| ProtoRow {
                event_id: row.event_id,
                event_type: row.event_type,
                created_at: row.created_at.1,
                data: row.data,
            })
            .map(|row| row.encode_to_vec().into())
            .collect();
        if serialized.iter().map(Bytes::len).sum::<usize>() > MOST_BYTES {
            return Err(SendError::TooLarge(format!("BigQuery takes {MOST_BYTES} bytes at once")));
        }
        let count = i64::try_from(serialized.len()).unwrap_or(i64::MAX);
        let request = AppendRowsRequest {
            write_stream: at.stream.clone(),
            offset: Some(at.offset),
            proto_rows: Some(ProtoData {
                writer_schema: Some(schema()),
                rows: Some(ProtoRows { serialized_rows: serialized }),
            }),
        };
        let mut slot = self.current.lock().await;
        // After a restart, or after another batch had to move: the place names the stream.
        let connection = match slot.take() {
            Some(current) if current.at.stream == at.stream => current.connection,
            _ => None,
        };
        let (result, connection) = self.exchange(rest, request, connection).await;
        let result = match result.and_then(appended) {
            Ok(rejected) if rejected.is_empty() => Ok(()),
            // Nothing of the append is in the table.
            Ok(events) => Err(SendError::EventsRejected { events, others_delivered: false }),
            Err(status) if status.code() == Code::AlreadyExists => Ok(()),
            Err(status) if is_gone(&status) => self.after_a_lost_stream(rest, batch, &status).await,
            Err(status) => Err(refusal(&status)),
        };
        if matches!(result, Err(SendError::Misplaced(_))) {
            return result;
        }
        let moved = if result.is_ok() { count } else { 0 };
        let next = At { offset: at.offset.saturating_add(moved), ..at };
        *slot = Some(Current { at: next, connection });
        result
    }

    /// One request and its answer, over the connection there is or a new one.
    async fn exchange(
        &self,
        rest: &Rest,
        request: AppendRowsRequest,
        connection: Option<Connection>,
    ) -> (Result<AppendRowsResponse, Status>, Option<Connection>) {
        let exchange = async {
            let mut connection = match connection {
                Some(connection) => {
                    let closed = |_| Status::unavailable("the connection is closed");
                    connection.requests.send(request).await.map_err(closed)?;
                    connection
                }
                None => self.connect(rest, request).await?,
            };
            let response = connection.responses.message().await?;
            let response = response
                .ok_or_else(|| Status::unavailable("the connection ended without an answer"))?;
            Ok((response, connection))
        };
        match timeout(self.timeout, exchange).await {
            Ok(Ok((response, connection))) => (Ok(response), Some(connection)),
            Ok(Err(status)) => (Err(status), None),
            Err(_) => (
                Err(Status::deadline_exceeded(format!("no answer within {:?}", self.timeout))),
                None,
            ),
        }
    }

    /// A connection with its first request: the service answers nothing before that.
    async fn connect(&self, rest: &Rest, first: AppendRowsRequest) -> Result<Connection, Status> {
        let (requests, mut receiver) = mpsc::channel(1);
        let stream = first.write_stream.clone();
        requests.send(first).await.map_err(|_| Status::internal("the receiver is gone"))?;
        let outgoing = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
        let request = with_headers(rest, outgoing, "write_stream", &stream).await?;
        let response = proto::append_rows(self.channel.clone(), request).await?;
        Ok(Connection { requests, responses: response.into_inner() })
    }

    async fn create_stream(&self, rest: &Rest) -> Result<String, SendError> {
        let parent = rest.table_path();
        let stream = WriteStream { r#type: StreamType::Committed.into(), ..WriteStream::default() };
        let request =
            CreateWriteStreamRequest { parent: parent.clone(), write_stream: Some(stream) };
        let create = async {
            let request = with_headers(rest, request, "parent", &parent).await?;
            proto::create_write_stream(self.channel.clone(), request).await
        };
        let made = timeout(self.timeout, create).await;
        let made = made.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        match made {
            Ok(stream) => Ok(stream.into_inner().name),
            Err(status) if status.code() == Code::NotFound => Err(SendError::refused(format!(
                "check that the table {} exists, or set create_table = true. {}",
                rest.table_name(),
                status.message()
            ))),
            Err(status) => Err(refusal(&status)),
        }
    }

    /// The stream no longer exists, and cannot report whether the batch was appended: the table
    /// can.
    async fn after_a_lost_stream(
        &self,
        rest: &Rest,
        batch: &Batch,
        status: &Status,
    ) -> Result<(), SendError> {
        let lost = || {
            SendError::Misplaced(format!(
                "the stream cannot be used any more: {}",
                status.message()
            ))
        };
        if !batch.is_repeat() {
            return Err(lost());
        }
        let ids: Vec<String> = batch.events().iter().map(|event| event.id.to_string()).collect();
        let time =
            |event: Option<&grantex::GrantexEvent>| event.map(|event| event.timestamp.to_string());
        let (from, to) = (time(batch.events().first()), time(batch.events().last()));
        let count = rest.count(&ids, &from.unwrap_or_default(), &to.unwrap_or_default()).await?;
        // An append is taken as a whole or not at all.
        if count == ids.len() { Ok(()) } else { Err(lost()) }
    }
}

async fn with_headers<T>(
    rest: &Rest,
    message: T,
    key: &str,
    value: &str,
) -> Result<Request<T>, Status> {
    let headers = rest.authorization().await.map_err(|error| match error {
        SendError::Refused(reason) => Status::unauthenticated(reason),
        other => Status::unavailable(other.to_string()),
    })?;
    let mut request = Request::new(message);
    *request.metadata_mut() = MetadataMap::from_headers(headers);
    let routing = MetadataValue::try_from(format!("{key}={value}"));
    let routing = routing.map_err(|error| Status::invalid_argument(error.to_string()))?;
    request.metadata_mut().insert("x-goog-request-params", routing);
    Ok(request)
}

/// Whether a stream takes no more: closed, collected, or its end lies before the offset.
fn is_gone(status: &Status) -> bool {
    match status.code() {
        Code::NotFound | Code::OutOfRange | Code::FailedPrecondition => true,
        Code::InvalidArgument => status.message().to_ascii_lowercase().contains("finalized"),
        _ => false,
    }
}

/// The rows that reject an append, or what the answer says in place of a result.
fn appended(response: AppendRowsResponse) -> Result<Vec<(usize, String)>, Status> {
    let row =
        |row: proto::RowError| (usize::try_from(row.index).unwrap_or(usize::MAX), row.message);
    let rejected: Vec<_> = response.row_errors.into_iter().map(row).collect();
    match response.response {
        Some(AppendRowsResult::Error(error)) if rejected.is_empty() => {
            Err(Status::new(Code::from(error.code), error.message))
        }
        None if rejected.is_empty() => Err(Status::unavailable("an answer without a result")),
        _ => Ok(rejected),
    }
}

/// What a failed call means. A batch is never rejected by one: only errors of rows do that.
fn refusal(status: &Status) -> SendError {
    let message = format!("{:?}: {}", status.code(), status.message());
    match status.code() {
        Code::Unauthenticated
        | Code::PermissionDenied
        | Code::InvalidArgument
        | Code::NotFound
        | Code::Unimplemented => SendError::refused(message),
        _ => SendError::retry(message),
    }
}
