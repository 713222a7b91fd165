use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::{State, StateError, json, text};

/// The status of a destination's pipeline, stored every few seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Report {
    /// `running`; `retrying` while a failed operation is retried; `failing` while that needs manual
    /// action; `stopped`; `failed` where it has ended for good.
    pub state: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Events that were delivered since the forwarder started.
    pub delivered: u64,
    /// Of these, a second, lately.
    pub rate: f64,
    /// Tries that failed since the forwarder started.
    pub retries: u64,
    /// The last error.
    pub last_error: Option<String>,
    /// When that was, in milliseconds since 1970.
    pub last_error_at_ms: Option<u64>,
    /// The last error is the rejection of an event, which is stored as a dead letter.
    #[serde(default)]
    pub last_error_is_rejection: bool,
    /// When the last error ended, in milliseconds since 1970.
    pub recovered_at_ms: Option<u64>,
}

/// A part of the log that was deleted before a destination received it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Gap {
    /// The destination.
    pub destination: String,
    /// The last event before it, if there was one.
    pub after: Option<String>,
    /// When it was found, in milliseconds since 1970.
    pub at_ms: u64,
    /// The service's answer.
    pub reason: String,
}

impl State {
    /// Keeps a destination's report.
    pub(crate) async fn report(&self, destination: &str, report: Report) -> Result<(), StateError> {
        let destination = destination.to_owned();
        self.with(move |connection| {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO report (destination, report) VALUES (?1, ?2)",
                )?
                .execute(params![destination, text(&report)?])?;
            Ok(())
        })
        .await
    }

    /// The last report of each destination, by name.
    pub async fn reports(&self) -> Result<Vec<(String, Report)>, StateError> {
        self.with(|connection| {
            let mut statement = connection
                .prepare("SELECT destination, report FROM report ORDER BY destination")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.map(|row| {
                let (name, report): (String, String) = row?;
                Ok((name, json(&report)?))
            })
            .collect()
        })
        .await
    }

    /// Records that events after `after` were gone.
    pub(crate) async fn record_gap(&self, gap: Gap) -> Result<(), StateError> {
        self.with(move |connection| {
            connection.execute(
                "INSERT INTO gap (destination, after, at, reason) VALUES (?1, ?2, ?3, ?4)",
                params![gap.destination, gap.after, gap.at_ms.cast_signed(), gap.reason],
            )?;
            Ok(())
        })
        .await
    }

    /// The gaps that were recorded, oldest first.
    pub async fn gaps(&self) -> Result<Vec<Gap>, StateError> {
        self.with(|connection| {
            let mut statement = connection.prepare(
                "SELECT destination, after, at, reason FROM gap ORDER BY at, destination",
            )?;
            let rows = statement.query_map([], |row| {
                let at: i64 = row.get(2)?;
                Ok(Gap {
                    destination: row.get(0)?,
                    after: row.get(1)?,
                    at_ms: at.unsigned_abs(),
                    reason: row.get(3)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}
