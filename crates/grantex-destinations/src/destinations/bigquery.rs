//! Google BigQuery.

mod insert_all;
mod proto;
mod rest;
mod storage_write;

use std::time::Duration;

use serde::Deserialize;

use crate::batch::{Batch, Place};
use crate::destination::{BatchLimits, EventDestination, SendError};
use crate::error::ConfigError;
use crate::format::{self, FormatKind};
use crate::http::HttpOptions;
use insert_all::InsertAll;
use rest::Rest;
use storage_write::StorageWrite;

/// Bytes of one request: both APIs accept 10 MB; the margin is for what they count in addition.
const MOST_BYTES: usize = 9_000_000;

/// Where the rows go, and how.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BigQueryOptions {
    /// The project.
    pub project_id: String,
    /// The dataset, which must exist.
    pub dataset_id: String,
    /// The table.
    pub table_id: String,
    /// `storage_write` unless given.
    #[serde(default)]
    pub method: BigQueryMethod,
    /// Make the table if it is not there: partitioned by day, clustered by type.
    #[serde(default)]
    pub create_table: bool,
    /// A service account's key file; the application default credentials unless given.
    pub credentials_file: Option<std::path::PathBuf>,
    /// Another REST endpoint than Google's. Over plain `http://` no credentials are sent.
    pub endpoint: Option<String>,
    /// Another gRPC endpoint than Google's, for `storage_write`.
    pub storage_endpoint: Option<String>,
}

impl BigQueryOptions {
    /// A table, all else by default.
    pub fn new(
        project_id: impl Into<String>,
        dataset_id: impl Into<String>,
        table_id: impl Into<String>,
    ) -> Self {
        Self {
            project_id: project_id.into(),
            dataset_id: dataset_id.into(),
            table_id: table_id.into(),
            method: BigQueryMethod::default(),
            create_table: false,
            credentials_file: None,
            endpoint: None,
            storage_endpoint: None,
        }
    }
}

/// How rows are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BigQueryMethod {
    /// The Storage Write API, on a stream with offsets: exactly once.
    #[default]
    StorageWrite,
    /// `tabledata.insertAll` with `insertId`: BigQuery drops repeats for about a minute, as best it
    /// can.
    InsertAll,
}

/// Writes each event as a row of `event_id`, `event_type`, `created_at` and `data`.
#[derive(Debug)]
pub struct BigQueryDestination {
    name: String,
    rest: Rest,
    method: Method,
    create_table: bool,
}

#[derive(Debug)]
enum Method {
    StorageWrite(Box<StorageWrite>),
    InsertAll(InsertAll),
}

/// What an event is as a row.
#[derive(Debug)]
struct Row {
    event_id: String,
    event_type: String,
    /// RFC 3339, and microseconds since 1970.
    created_at: (String, i64),
    /// JSON: the payload, or with another format than the service's own the whole event in it.
    data: String,
}

fn rows(batch: &Batch) -> Vec<Row> {
    let row = |event: &grantex::GrantexEvent| {
        let data = if batch.format().kind == FormatKind::Native {
            format::data(event).get().to_owned()
        } else {
            let mut out = Vec::new();
            batch.encode(event, &mut out);
            String::from_utf8(out).unwrap_or_default()
        };
        let micros = event.timestamp.millis().saturating_mul(1000).cast_signed();
        Row {
            event_id: event.id.to_string(),
            event_type: event.r#type.to_string(),
            created_at: (event.timestamp.to_string(), micros),
            data,
        }
    };
    batch.events().iter().map(row).collect()
}

impl BigQueryDestination {
    /// A destination of this name.
    pub fn new(
        name: impl Into<String>,
        options: &BigQueryOptions,
        http: &HttpOptions,
    ) -> Result<Self, ConfigError> {
        for (key, value) in [
            ("project_id", &options.project_id),
            ("dataset_id", &options.dataset_id),
            ("table_id", &options.table_id),
        ] {
            let is_plain =
                |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
            if value.is_empty() || !value.chars().all(is_plain) {
                return Err(ConfigError::value(
                    key,
                    format!("{value:?} is no name that BigQuery has"),
                ));
            }
        }
        let rest = Rest::new(options, http)?;
        let method = match options.method {
            BigQueryMethod::InsertAll => Method::InsertAll(InsertAll),
            BigQueryMethod::StorageWrite => {
                if http.proxy.is_some() {
                    return Err(ConfigError::value(
                        "proxy",
                        "the Storage Write API speaks gRPC, which goes through no proxy here; use method = \"insert_all\"",
                    ));
                }
                Method::StorageWrite(Box::new(StorageWrite::new(options, http)?))
            }
        };
        Ok(Self { name: name.into(), rest, method, create_table: options.create_table })
    }
}

impl EventDestination for BigQueryDestination {
    fn name(&self) -> &str {
        &self.name
    }

    fn refusals_need_proof(&self) -> bool {
        true
    }

    fn defaults(&self) -> BatchLimits {
        BatchLimits { events: 500, bytes: 2 << 20, age: Duration::from_secs(2) }
    }

    fn max_concurrency(&self) -> usize {
        match self.method {
            Method::StorageWrite(_) => 1,
            Method::InsertAll(_) => crate::destination::MAX_CONCURRENCY,
        }
    }

    async fn open(
        &self,
        _: Option<grantex::EventId>,
    ) -> Result<Option<grantex::EventId>, SendError> {
        if self.create_table {
            self.rest.create_table().await?;
        }
        Ok(None)
    }

    async fn place(&self, _: &Batch) -> Result<Place, SendError> {
        match &self.method {
            Method::StorageWrite(writer) => writer.place(&self.rest).await,
            Method::InsertAll(_) => Ok(Place::Null),
        }
    }

    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        match &self.method {
            Method::StorageWrite(writer) => writer.append(&self.rest, batch).await,
            Method::InsertAll(method) => method.insert(&self.rest, batch).await,
        }
    }

    async fn probe(&self) -> Result<String, SendError> {
        match self.rest.table().await? {
            Some(columns) => {
                let missing: Vec<_> =
                    rest::COLUMNS.iter().filter(|(name, _)| !columns.contains(*name)).collect();
                if let Some((name, kind)) = missing.first() {
                    return Err(SendError::refused(format!(
                        "the table has no column {name} {kind}"
                    )));
                }
                Ok(format!("table {} has the columns it needs", self.rest.table_name()))
            }
            None if self.create_table => {
                Ok(format!("table {} will be created", self.rest.table_name()))
            }
            None => Err(SendError::refused(format!(
                "there is no table {}; create it, or set create_table = true",
                self.rest.table_name()
            ))),
        }
    }
}
