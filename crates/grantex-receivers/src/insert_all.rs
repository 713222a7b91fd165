use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::server::Kept;
use crate::{Faults, POISON};

/// Bytes and rows of a request.
const MOST_BYTES: usize = 10_000_000;
const MOST_ROWS: usize = 50_000;

const TABLE: &str = "/bigquery/v2/projects/{project}/datasets/{dataset}/tables";

/// BigQuery's REST API as far as `insertAll` needs it, with tables in memory.
#[derive(Debug, Clone, Default)]
pub struct InsertAll {
    /// The events that are in a table.
    pub kept: Kept,
    /// What it does wrong.
    pub faults: Faults,
    /// Tables' schemas, by name.
    pub tables: Arc<Mutex<BTreeMap<String, Value>>>,
    /// How many of the next rows fail in passing, each on its own.
    pub flaky_rows: Arc<Mutex<usize>>,
    /// Rows in all requests, sent again or not.
    pub rows_sent: Arc<Mutex<usize>>,
    insert_ids: Arc<Mutex<BTreeSet<String>>>,
}

impl InsertAll {
    /// Its routes.
    pub fn router(&self) -> Router {
        Router::new()
            .route(TABLE, post(create))
            .route(&format!("{TABLE}/{{table}}"), get(read))
            .route(&format!("{TABLE}/{{table}}/insertAll"), post(insert))
            .with_state(self.clone())
    }
}

type Names = BTreeMap<String, String>;

fn error(status: u16, reason: &str, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or_default();
    let errors = json!([{"reason": reason, "message": message}]);
    let body = json!({"error": {"code": status.as_u16(), "message": message, "errors": errors}});
    (status, axum::Json(body)).into_response()
}

async fn create(State(api): State<InsertAll>, body: Bytes) -> Response {
    let Ok(table) = serde_json::from_slice::<Value>(&body) else {
        return error(400, "parseError", "not JSON");
    };
    let Some(name) = table.pointer("/tableReference/tableId").and_then(Value::as_str) else {
        return error(400, "required", "tableId");
    };
    let mut tables = api.tables.lock();
    if tables.contains_key(name) {
        return error(409, "duplicate", "Already Exists");
    }
    tables.insert(name.to_owned(), table.clone());
    axum::Json(table).into_response()
}

async fn read(State(api): State<InsertAll>, Path(names): Path<Names>) -> Response {
    match names.get("table").and_then(|name| api.tables.lock().get(name).cloned()) {
        Some(table) => axum::Json(table).into_response(),
        None => error(404, "notFound", "Not found: Table"),
    }
}

async fn insert(State(api): State<InsertAll>, Path(names): Path<Names>, body: Bytes) -> Response {
    if body.len() > MOST_BYTES {
        return error(413, "uploadTooLarge", "Request payload size exceeds the limit");
    }
    let Some(table) = names.get("table").and_then(|name| api.tables.lock().get(name).cloned())
    else {
        return error(404, "notFound", "Not found: Table");
    };
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return error(400, "parseError", "not JSON");
    };
    let rows = request.get("rows").and_then(Value::as_array).cloned().unwrap_or_default();
    if rows.is_empty() || rows.len() > MOST_ROWS {
        return error(400, "invalid", "The number of rows is not between 1 and 50000");
    }
    *api.rows_sent.lock() += rows.len();
    let faults: Vec<Option<(&str, String)>> =
        rows.iter().map(|row| api.fault_of(&table, row)).collect();
    let skips = request.get("skipInvalidRows").and_then(Value::as_bool).unwrap_or(false);
    let stops = !skips && faults.iter().any(Option::is_some);
    let mut errors = Vec::new();
    for (index, (row, fault)) in rows.iter().zip(faults).enumerate() {
        let fault = fault.or_else(|| stops.then(|| ("stopped", String::new())));
        match fault {
            Some((reason, message)) => {
                errors.push(json!({"index": index, "errors": [{"reason": reason, "message": message, "location": ""}]}));
            }
            None => api.keep(row),
        }
    }
    axum::Json(json!({"kind": "bigquery#tableDataInsertAllResponse", "insertErrors": errors}))
        .into_response()
}

impl InsertAll {
    fn fault_of(&self, table: &Value, row: &Value) -> Option<(&'static str, String)> {
        let Some(json) = row.get("json").and_then(Value::as_object) else {
            return Some(("invalid", "no json".into()));
        };
        let fields =
            table.pointer("/schema/fields").and_then(Value::as_array).cloned().unwrap_or_default();
        let name = |field: &Value| field.get("name").and_then(Value::as_str).map(str::to_owned);
        let known: BTreeSet<String> = fields.iter().filter_map(name).collect();
        if let Some(unknown) = json.keys().find(|key| !known.contains(*key)) {
            return Some(("invalid", format!("no such field: {unknown}")));
        }
        let required =
            fields.iter().filter(|field| field.get("mode").is_some_and(|mode| mode == "REQUIRED"));
        if let Some(missing) = required.filter_map(name).find(|name| !json.contains_key(name)) {
            return Some(("invalid", format!("Missing required field: {missing}")));
        }
        if row.to_string().contains(POISON) {
            return Some(("invalid", "This row is poison".into()));
        }
        let mut flaky = self.flaky_rows.lock();
        if *flaky > 0 {
            *flaky -= 1;
            return Some(("backendError", "try again".into()));
        }
        None
    }

    fn keep(&self, row: &Value) {
        let text = |pointer: &str| row.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        // A repeat within the time that ids are remembered is dropped.
        let is_new = text("/insertId").is_none_or(|id| self.insert_ids.lock().insert(id));
        if is_new {
            self.kept.add(text("/json/event_id"));
        }
    }
}
