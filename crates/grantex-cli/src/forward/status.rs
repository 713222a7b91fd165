//! `grantex forward status`

use std::path::Path;

use grantex::internal::redacted;
use grantex::{Client, HistoryParams, Timestamp};
use grantex_destinations::{Checkpoint, Filter, Report, State};
use grantex_types::EventId;
use serde::Serialize;

use super::config::Config;
use super::watch::now_ms;
use crate::{CommandError, print};

/// Events that are counted one by one, at most: beyond it the time tells more.
const MOST_COUNTED: usize = 10_000;

/// Events a page of the history holds: as many as the service gives.
const PAGE: u32 = 1000;

/// A forwarder that runs reports every 6 seconds at least.
const FRESH_MS: u64 = 10_000;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    destination: String,
    r#type: String,
    state: String,
    position: Option<String>,
    position_at: Option<String>,
    /// Events of its filter after the position; at least so many where `behind_is_partial`.
    behind: Option<usize>,
    behind_is_partial: bool,
    /// How long the oldest of them waits.
    lag_seconds: Option<u64>,
    delivered: u64,
    rate: f64,
    retries: u64,
    dead_letters: u64,
    gaps: usize,
    /// What was found last of these.
    last_gap: Option<Gap>,
    last_error: Option<String>,
    last_error_at: Option<String>,
    /// It is the rejection of an event, which is stored as a dead letter.
    last_error_is_rejection: bool,
    /// Since when nothing is wrong any more; without it, `last_error` is what is wrong now.
    recovered_at: Option<String>,
}

/// A place at which delivery went on although the log did not have the position any more.
#[derive(Serialize)]
struct Gap {
    /// The last event before it, if there was one.
    after: Option<String>,
    at: String,
    reason: String,
}

impl Gap {
    fn of(gap: &grantex_destinations::Gap) -> Self {
        let at = Timestamp::from_millis(gap.at_ms).to_string();
        Self { after: gap.after.clone(), at, reason: redacted(&gap.reason) }
    }
}

pub(super) async fn run(path: &Path, json: bool) -> Result<(), CommandError> {
    let config = Config::load(path)?;
    let state = State::look(&config.state_dir)?;
    let (client, _) = config.client()?;
    let (checkpoints, reports, gaps) =
        (state.checkpoints().await?, state.reports().await?, state.gaps().await?);
    let mut rows = Vec::new();
    for definition in config.definitions()? {
        let name = definition.name();
        let checkpoint =
            checkpoints.iter().find(|(of, _)| of == name).map(|(_, checkpoint)| *checkpoint);
        let report = reports.iter().find(|(of, _)| of == name).map(|(_, report)| report.clone());
        let filter = definition.delivery().filter(config.filter())?;
        let waiting = match checkpoint {
            Some(checkpoint) => count(&client, &filter, checkpoint).await,
            None => Err("the destination has no position yet".into()),
        };
        let mut status = describe(name, definition.kind(), checkpoint, &report.unwrap_or_default());
        match waiting {
            Ok(waiting) => {
                status.behind = Some(waiting.events);
                status.behind_is_partial = waiting.is_partial;
                status.lag_seconds = Some(
                    waiting
                        .oldest
                        .map_or(0, |oldest| now_ms().saturating_sub(oldest.millis()) / 1000),
                );
            }
            Err(error) => status.last_error = status.last_error.or(Some(error.to_string())),
        }
        status.dead_letters = state.count_dead_letters(name).await?;
        let mut own = gaps.iter().filter(|gap| gap.destination == name);
        status.gaps = own.clone().count();
        status.last_gap = own.next_back().map(Gap::of);
        rows.push(status);
    }
    if json {
        for row in rows {
            print::line(serde_json::to_string(&row)?);
        }
    } else {
        table(&rows);
    }
    Ok(())
}

struct Waiting {
    events: usize,
    is_partial: bool,
    oldest: Option<Timestamp>,
}

/// What the log holds after a checkpoint.
async fn count(
    client: &Client,
    filter: &Filter,
    checkpoint: Checkpoint,
) -> Result<Waiting, CommandError> {
    let mut waiting = Waiting { events: 0, is_partial: false, oldest: None };
    let after = Some(checkpoint.cursor.to_string());
    let mut params = HistoryParams { limit: Some(PAGE), after, ..history(filter) };
    loop {
        let page = client.events().list(&params).await?;
        waiting.oldest = waiting.oldest.or_else(|| page.items.first().map(|event| event.timestamp));
        waiting.events = waiting.events.saturating_add(page.items.len());
        match page.next_cursor {
            None => return Ok(waiting),
            Some(_) if waiting.events >= MOST_COUNTED => {
                waiting.is_partial = true;
                return Ok(waiting);
            }
            after => params.after = after,
        }
    }
}

/// The part of the history that a filter lets through.
pub(super) fn history(filter: &Filter) -> HistoryParams {
    HistoryParams {
        event_types: filter.types.clone(),
        agent_id: filter.agent_id.clone(),
        principal_id: filter.principal_id.clone(),
        grant_id: filter.grant_id.clone(),
        ..HistoryParams::default()
    }
}

/// Whether the forwarder that wrote this report still runs.
pub(super) fn is_fresh(report: &Report) -> bool {
    now_ms().saturating_sub(report.at_ms) < FRESH_MS
}

fn describe(name: &str, kind: &str, checkpoint: Option<Checkpoint>, report: &Report) -> Status {
    let time = |ms: u64| Timestamp::from_millis(ms).to_string();
    let is_fresh = is_fresh(report);
    let state = match report.state.as_str() {
        "" => "never ran",
        state @ ("stopped" | "failed") => state,
        state if is_fresh => state,
        _ => "not running",
    };
    Status {
        destination: name.to_owned(),
        r#type: kind.to_owned(),
        state: state.to_owned(),
        position: checkpoint.map(|checkpoint| checkpoint.cursor.to_string()),
        // Before the first event there is no time.
        position_at: checkpoint
            .filter(|checkpoint| checkpoint.cursor != EventId::ZERO)
            .map(|checkpoint| time(checkpoint.cursor.millis())),
        behind: None,
        behind_is_partial: false,
        lag_seconds: None,
        delivered: report.delivered,
        rate: if is_fresh { report.rate } else { 0.0 },
        retries: report.retries,
        dead_letters: 0,
        gaps: 0,
        last_gap: None,
        last_error: report.last_error.as_deref().map(redacted),
        last_error_at: report.last_error_at_ms.map(time),
        last_error_is_rejection: report.last_error_is_rejection,
        recovered_at: report.recovered_at_ms.map(time),
    }
}

fn table(rows: &[Status]) {
    let bold = anstyle::Style::new().bold();
    let head = format!(
        "{:16} {:9} {:11} {:>8} {:>7} {:>8} {:>8} {:>7}  {}",
        "DESTINATION", "TYPE", "STATE", "BEHIND", "LAG", "RATE", "RETRIES", "DEAD", "POSITION"
    );
    print::pieces(&[(bold, &head)]);
    for row in rows {
        let plus = if row.behind_is_partial { "+" } else { "" };
        let behind = row.behind.map_or("?".into(), |events| format!("{events}{plus}"));
        let lag = row.lag_seconds.map_or("?".into(), |seconds| format!("{seconds} s"));
        let rate = format!("{:.0}/s", row.rate);
        let position = row.position_at.as_deref().unwrap_or("-");
        print::line(format_args!(
            "{:16} {:9} {:11} {behind:>8} {lag:>7} {rate:>8} {:>8} {:>7}  {position}",
            row.destination, row.r#type, row.state, row.retries, row.dead_letters
        ));
        if let Some(error) = &row.last_error {
            let at = row.last_error_at.as_deref().unwrap_or_default();
            let recovered = row.recovered_at.as_deref().and_then(|at| at.parse().ok());
            let over = match recovered {
                Some(_) if row.last_error_is_rejection => " (stored as a dead letter)".into(),
                Some(at) => format!(" (recovered {} ago)", ago(at)),
                None => String::new(),
            };
            let call = if row.state == "failing" { "manual action required: " } else { "" };
            print::line(format_args!("{:16} {at} {call}{error}{over}", ""));
        }
        if let Some(Gap { at, reason, .. }) = &row.last_gap {
            let count =
                if row.gaps == 1 { "1 gap".into() } else { format!("{} gaps, the last", row.gaps) };
            print::line(format_args!("{:16} {count} at {at}: {reason}", ""));
        }
    }
}

/// How long ago something was, in the largest unit that has a whole one.
fn ago(at: Timestamp) -> String {
    let seconds = now_ms().saturating_sub(at.millis()) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}
