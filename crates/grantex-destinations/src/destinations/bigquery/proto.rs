//! The calls and messages of the Storage Write API that `storage_write` uses, on the wire as
//! `google/cloud/bigquery/storage/v1/storage.proto`, `google/rpc/status.proto` and
//! `google/protobuf/descriptor.proto` define them.
//!
//! Fields that are neither set nor read are left out: protobuf skips a field that it does not know.
//! The crates generated from all of Google's definitions take longer to build than the rest of this
//! crate.

use bytes::Bytes;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{IntoStreamingRequest, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CreateWriteStreamRequest {
    #[prost(string, tag = "1")]
    pub(super) parent: String,
    #[prost(message, optional, tag = "2")]
    pub(super) write_stream: Option<WriteStream>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WriteStream {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(enumeration = "StreamType", tag = "2")]
    pub(super) r#type: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum StreamType {
    Unspecified = 0,
    /// A row can be read as soon as its append is acknowledged.
    Committed = 1,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AppendRowsRequest {
    #[prost(string, tag = "1")]
    pub(super) write_stream: String,
    /// Where in the stream the rows belong: a `google.protobuf.Int64Value`.
    #[prost(message, optional, tag = "2")]
    pub(super) offset: Option<i64>,
    #[prost(message, optional, tag = "4")]
    pub(super) proto_rows: Option<ProtoData>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ProtoData {
    #[prost(message, optional, tag = "1")]
    pub(super) writer_schema: Option<ProtoSchema>,
    #[prost(message, optional, tag = "2")]
    pub(super) rows: Option<ProtoRows>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ProtoSchema {
    #[prost(message, optional, tag = "1")]
    pub(super) proto_descriptor: Option<DescriptorProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ProtoRows {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(super) serialized_rows: Vec<Bytes>,
}

/// What the messages in [`ProtoRows`] consist of.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DescriptorProto {
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(message, repeated, tag = "2")]
    pub(super) field: Vec<FieldDescriptorProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FieldDescriptorProto {
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(int32, optional, tag = "3")]
    pub(super) number: Option<i32>,
    #[prost(enumeration = "Label", optional, tag = "4")]
    pub(super) label: Option<i32>,
    #[prost(enumeration = "Type", optional, tag = "5")]
    pub(super) r#type: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Label {
    Optional = 1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Type {
    Int64 = 3,
    String = 9,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AppendRowsResponse {
    #[prost(oneof = "AppendRowsResult", tags = "1, 2")]
    pub(super) response: Option<AppendRowsResult>,
    #[prost(message, repeated, tag = "4")]
    pub(super) row_errors: Vec<RowError>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum AppendRowsResult {
    #[prost(message, tag = "1")]
    Appended(AppendResult),
    #[prost(message, tag = "2")]
    Error(RpcStatus),
}

/// That the rows were appended. It says where, which the sender knows.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AppendResult {}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RowError {
    #[prost(int64, tag = "1")]
    pub(super) index: i64,
    #[prost(string, tag = "3")]
    pub(super) message: String,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
}

pub(super) async fn create_write_stream(
    channel: Channel,
    request: Request<CreateWriteStreamRequest>,
) -> Result<Response<WriteStream>, Status> {
    let path = "/google.cloud.bigquery.storage.v1.BigQueryWrite/CreateWriteStream";
    let mut client = ready(channel).await?;
    client.unary(request, PathAndQuery::from_static(path), ProstCodec::default()).await
}

/// Appends what `requests` yields, and answers each.
pub(super) async fn append_rows(
    channel: Channel,
    requests: impl IntoStreamingRequest<Message = AppendRowsRequest>,
) -> Result<Response<Streaming<AppendRowsResponse>>, Status> {
    let path = "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows";
    let requests = requests.into_streaming_request();
    let mut client = ready(channel).await?;
    client.streaming(requests, PathAndQuery::from_static(path), ProstCodec::default()).await
}

async fn ready(channel: Channel) -> Result<Grpc<Channel>, Status> {
    let mut client = Grpc::new(channel);
    let failed = |error| Status::unknown(format!("the connection is not ready: {error}"));
    client.ready().await.map_err(failed)?;
    Ok(client)
}
