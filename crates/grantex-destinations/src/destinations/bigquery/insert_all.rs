//! `tabledata.insertAll`:
//! <https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll>

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::rest::Rest;
use super::{MOST_BYTES, Row, rows};
use crate::batch::Batch;
use crate::destination::SendError;

/// How often single rows that failed are sent again before the batch is: within the minute in which
/// repeats of the others are dropped.
const ROW_TRIES: u32 = 4;

/// What every answer of `insertAll` is.
const KIND: &str = "bigquery#tableDataInsertAllResponse";

#[derive(Debug)]
pub(super) struct InsertAll;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    skip_invalid_rows: bool,
    ignore_unknown_values: bool,
    rows: Vec<Insert<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Insert<'a> {
    insert_id: &'a str,
    json: Columns<'a>,
}

#[derive(Serialize)]
struct Columns<'a> {
    event_id: &'a str,
    event_type: &'a str,
    created_at: &'a str,
    data: &'a str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Inserted {
    kind: Option<String>,
    insert_errors: Option<Vec<RowErrors>>,
}

#[derive(Debug, Deserialize)]
struct RowErrors {
    index: usize,
    #[serde(default)]
    errors: Vec<RowError>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RowError {
    reason: String,
    message: String,
    location: String,
}

impl InsertAll {
    /// Inserts all rows; sends again only those that failed.
    pub(super) async fn insert(&self, rest: &Rest, batch: &Batch) -> Result<(), SendError> {
        let rows = rows(batch);
        let mut waiting: Vec<usize> = (0..rows.len()).collect();
        let mut rejected = BTreeMap::new();
        for attempt in 0..ROW_TRIES {
            let sent: Vec<&Row> = waiting.iter().filter_map(|index| rows.get(*index)).collect();
            let failed = post(rest, &sent).await?;
            let mut again = Vec::new();
            for row in failed {
                let Some(index) = waiting.get(row.index).copied() else { continue };
                match row.errors.iter().find(|error| is_final(&error.reason)) {
                    Some(error) => {
                        rejected.insert(
                            index,
                            format!("{}: {} {}", error.reason, error.message, error.location),
                        );
                    }
                    None => again.push(index),
                }
            }
            waiting = again;
            if waiting.is_empty() {
                break;
            }
            sleep(Duration::from_millis(500).saturating_mul(attempt.saturating_add(1))).await;
        }
        if !waiting.is_empty() {
            return Err(SendError::retry(format!("{} rows were not taken", waiting.len())));
        }
        if rejected.is_empty() {
            return Ok(());
        }
        Err(SendError::EventsRejected {
            events: rejected.into_iter().collect(),
            others_delivered: true,
        })
    }
}

/// Whether a row with this error will never be accepted. `stopped` means that another row was at
/// fault.
fn is_final(reason: &str) -> bool {
    matches!(reason, "invalid" | "invalidQuery" | "notFound" | "required")
}

async fn post(rest: &Rest, rows: &[&Row]) -> Result<Vec<RowErrors>, SendError> {
    let rows = rows
        .iter()
        .map(|row| Insert {
            insert_id: &row.event_id,
            json: Columns {
                event_id: &row.event_id,
                event_type: &row.event_type,
                created_at: &row.created_at.0,
                data: &row.data,
            },
        })
        .collect();
    // Good rows go in beside bad ones.
    let body = serde_json::to_vec(&Request {
        skip_invalid_rows: true,
        ignore_unknown_values: false,
        rows,
    });
    let body = body.map_err(|error| SendError::rejected(error.to_string()))?;
    if body.len() > MOST_BYTES {
        return Err(SendError::TooLarge(format!("BigQuery takes {MOST_BYTES} bytes at once")));
    }
    let answer =
        rest.call(Method::POST, &format!("{}/insertAll", rest.table_path()), Some(body)).await?;
    match answer.status.as_u16() {
        404 => Err(SendError::refused(format!(
            "check that the table {} exists, or set create_table = true. {}",
            rest.table_name(),
            answer.quote()
        ))),
        // Rate limits come as 403, too.
        403 if answer.body.contains("rateLimitExceeded")
            || answer.body.contains("quotaExceeded") =>
        {
            Err(answer.retry())
        }
        _ => {
            answer.check()?;
            // Whatever else there is in a 200, an error's document too, inserted nothing.
            let inserted = answer.object().map(serde_json::Value::Object);
            let inserted = inserted.and_then(|inserted| Inserted::deserialize(inserted).ok());
            let inserted = inserted
                .filter(|inserted| inserted.kind.as_deref().is_none_or(|kind| kind == KIND));
            inserted
                .map(|inserted| inserted.insert_errors.unwrap_or_default())
                .ok_or_else(|| answer.not_of("BigQuery"))
        }
    }
}
