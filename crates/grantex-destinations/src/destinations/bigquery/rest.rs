//! The REST API: tables, queries, credentials.

use std::collections::BTreeSet;

use google_cloud_auth::credentials::{self, CacheableResource, Credentials};
use http::{Extensions, HeaderMap};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::BigQueryOptions;
use crate::destination::SendError;
use crate::error::ConfigError;
use crate::http::{Answer, HttpOptions, base_url, send};
use crate::tls::read;

const GOOGLE: &str = "https://bigquery.googleapis.com";
const SCOPE: &str = "https://www.googleapis.com/auth/bigquery";

/// The table's columns and their types.
pub(super) const COLUMNS: [(&str, &str); 4] = [
    ("event_id", "STRING"),
    ("event_type", "STRING"),
    ("created_at", "TIMESTAMP"),
    ("data", "JSON"),
];

#[derive(Debug)]
pub(super) struct Rest {
    client: Client,
    base: String,
    credentials: Option<Credentials>,
    project: String,
    dataset: String,
    table: String,
}

impl Rest {
    pub(super) fn new(options: &BigQueryOptions, http: &HttpOptions) -> Result<Self, ConfigError> {
        let base = base_url("endpoint", options.endpoint.as_deref().unwrap_or(GOOGLE))?;
        let is_plain = base.starts_with("http://");
        Ok(Self {
            client: http.client()?,
            credentials: if is_plain { None } else { Some(google(options)?) },
            base,
            project: options.project_id.clone(),
            dataset: options.dataset_id.clone(),
            table: options.table_id.clone(),
        })
    }

    pub(super) fn table_name(&self) -> String {
        format!("{}.{}.{}", self.project, self.dataset, self.table)
    }

    /// `projects/…/datasets/…/tables/…`
    pub(super) fn table_path(&self) -> String {
        format!("projects/{}/datasets/{}/tables/{}", self.project, self.dataset, self.table)
    }

    /// Headers that say who asks.
    pub(super) async fn authorization(&self) -> Result<HeaderMap, SendError> {
        let Some(credentials) = &self.credentials else { return Ok(HeaderMap::new()) };
        match credentials.headers(Extensions::new()).await {
            Ok(CacheableResource::New { data, .. }) => Ok(data),
            Ok(CacheableResource::NotModified) => {
                Err(SendError::retry("the credentials gave no token"))
            }
            Err(error) if error.is_transient() => {
                Err(SendError::retry(format!("no token from Google: {error}")))
            }
            Err(error) => Err(SendError::refused(format!("no token from Google: {error}"))),
        }
    }

    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, SendError> {
        let url = format!("{}/bigquery/v2/{path}", self.base);
        let request = self.client.request(method, url).headers(self.authorization().await?);
        send(match body {
            Some(body) => request.header("Content-Type", "application/json").body(body),
            None => request,
        })
        .await
    }

    /// The names of the table's columns; `None` where there is no table.
    pub(super) async fn table(&self) -> Result<Option<BTreeSet<String>>, SendError> {
        let answer = self.call(Method::GET, &self.table_path(), None).await?;
        if answer.status.as_u16() == 404 {
            return Ok(None);
        }
        answer.check()?;
        let Some(table) = answer.object().filter(|table| table.contains_key("tableReference"))
        else {
            return Err(answer.not_of("BigQuery"));
        };
        let table = Value::Object(table);
        let fields =
            table.pointer("/schema/fields").and_then(Value::as_array).into_iter().flatten();
        let names = fields.filter_map(|field| field.get("name")?.as_str()).map(str::to_owned);
        Ok(Some(names.collect()))
    }

    /// Makes the table if it is not there.
    pub(super) async fn create_table(&self) -> Result<(), SendError> {
        if self.table().await?.is_some() {
            return Ok(());
        }
        let mode = |name: &str| if name == "data" { "NULLABLE" } else { "REQUIRED" };
        let fields: Vec<Value> = COLUMNS
            .iter()
            .map(|(name, kind)| json!({"name": name, "type": kind, "mode": mode(name)}))
            .collect();
        let table = json!({
            "tableReference": {"projectId": self.project, "datasetId": self.dataset, "tableId": self.table},
            "schema": {"fields": fields},
            "timePartitioning": {"type": "DAY", "field": "created_at"},
            "clustering": {"fields": ["event_type"]},
            "description": "Events of Grantex",
        });
        let path = format!("projects/{}/datasets/{}/tables", self.project, self.dataset);
        let answer = self.call(Method::POST, &path, Some(table.to_string().into())).await?;
        match answer.status.as_u16() {
            // Another one made it meanwhile.
            409 => Ok(()),
            404 => Err(SendError::refused(format!(
                "check that the dataset {} exists: {}",
                self.dataset,
                answer.quote()
            ))),
            _ => answer.check(),
        }
    }

    /// How many of these events the table holds.
    pub(super) async fn count(
        &self,
        ids: &[String],
        from: &str,
        to: &str,
    ) -> Result<usize, SendError> {
        let table = self.table_name();
        let list: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
        // Ids and times are of a fixed alphabet: nothing in them ends a text. The times spare the
        // query all other partitions.
        let query = format!(
            "SELECT COUNT(DISTINCT event_id) AS n FROM `{table}` WHERE created_at BETWEEN TIMESTAMP '{from}' AND TIMESTAMP '{to}' AND event_id IN ({})",
            list.join(",")
        );
        let body = json!({"query": query, "useLegacySql": false, "timeoutMs": 20_000});
        let answer = self
            .call(
                Method::POST,
                &format!("projects/{}/queries", self.project),
                Some(body.to_string().into()),
            )
            .await?;
        answer.check().map_err(|error| {
            SendError::retry(format!("the table could not be queried: {error}"))
        })?;
        let result: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let count = result
            .pointer("/rows/0/f/0/v")
            .and_then(Value::as_str)
            .and_then(|text| text.parse().ok());
        count.ok_or_else(|| {
            SendError::retry("the table could not be queried: the query takes too long")
        })
    }
}

fn google(options: &BigQueryOptions) -> Result<Credentials, ConfigError> {
    let Some(path) = &options.credentials_file else {
        let built = credentials::Builder::default().with_scopes([SCOPE]).build();
        return built.map_err(|error| {
            ConfigError::value(
                "credentials_file",
                format!("none is given, and there are no default credentials: {error}"),
            )
        });
    };
    let wrong = |error: String| {
        ConfigError::value("credentials_file", format!("{}: {error}", path.display()))
    };
    let key: Value = serde_json::from_slice(&read("credentials_file", path)?)
        .map_err(|error| wrong(error.to_string()))?;
    let scopes = credentials::service_account::AccessSpecifier::from_scopes([SCOPE]);
    let builder = credentials::service_account::Builder::new(key).with_access_specifier(scopes);
    builder.build().map_err(|error| wrong(error.to_string()))
}
