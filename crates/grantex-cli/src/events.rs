//! `grantex events`

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, Subcommand};
use futures_util::{StreamExt as _, TryStreamExt as _};
use grantex::{Client, HistoryParams, StreamOptions};
use grantex_types::TypeSet;

use crate::print::Form;
use crate::target::Target;
use crate::{Failure, print};

/// Read the event log of a service
#[derive(Args)]
#[command(after_help = "Examples:
  export GRANTEX_API_KEY=gx_live_…
  grantex events tail
  grantex events tail --types grant.revoked --json | jq .data
  grantex events list --since 2026-03-01T00:00:00Z --json > events.ndjson")]
pub(crate) struct Events {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print events as they happen; reconnects and resumes by itself
    #[command(after_help = "Examples:
  grantex events tail --types budget.threshold,budget.exhausted
  grantex events tail --since 2026-03-01T12:00:00Z      first what happened since, then live
  grantex events tail --after evt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA
  grantex events tail --grant grnt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA --json")]
    Tail(Selection),
    /// Print the history and end
    #[command(after_help = "Examples:
  grantex events list --limit 20
  grantex events list --since 2026-03-01T12:00:00Z --principal user-123 --json")]
    List {
        #[command(flatten)]
        selection: Selection,
        /// End after this many events
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
}

#[derive(Args)]
struct Selection {
    /// Only these types, separated by commas
    #[arg(long, value_name = "TYPES", value_parser = types)]
    types: Option<String>,
    /// Only events of this agent's grants
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// Only events of grants that this principal gave
    #[arg(long, value_name = "ID")]
    principal: Option<String>,
    /// Only events of this grant
    #[arg(long, value_name = "ID")]
    grant: Option<String>,
    /// From this time on (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// After this event
    #[arg(long, value_name = "EVENT", conflicts_with = "since")]
    after: Option<String>,
    /// Print each event's JSON on one line
    #[arg(long)]
    json: bool,
}

fn types(text: &str) -> Result<String, String> {
    text.parse::<TypeSet>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

impl Selection {
    fn event_types(&self) -> Vec<String> {
        self.types.iter().flat_map(|types| types.split(',')).map(str::to_owned).collect()
    }

    fn stream(&self) -> StreamOptions {
        let mut options = StreamOptions::new().event_types(self.event_types());
        if let Some(since) = &self.since {
            options = options.since(since);
        }
        if let Some(after) = &self.after {
            options = options.last_event_id(after);
        }
        if let Some(agent) = &self.agent {
            options = options.agent_id(agent);
        }
        if let Some(principal) = &self.principal {
            options = options.principal_id(principal);
        }
        if let Some(grant) = &self.grant {
            options = options.grant_id(grant);
        }
        options
    }

    fn history(self, limit: Option<usize>) -> HistoryParams {
        HistoryParams {
            event_types: self.event_types(),
            since: self.since,
            agent_id: self.agent,
            principal_id: self.principal,
            grant_id: self.grant,
            limit: u32::try_from(limit.unwrap_or(PAGE).min(PAGE)).ok(),
            after: self.after,
            ..HistoryParams::default()
        }
    }
}

/// Events a page of the history holds: as many as the service gives.
const PAGE: usize = 1000;

pub(crate) async fn run(events: Events) -> Result<(), Failure> {
    let client = events.target.client()?;
    match events.command {
        Command::Tail(selection) => tail(&client, &selection).await,
        Command::List { selection, limit } => list(&client, selection, limit).await,
    }
}

async fn tail(client: &Client, selection: &Selection) -> Result<(), Failure> {
    let form = if selection.json { Form::Json } else { Form::Live };
    let is_lost = Arc::new(AtomicBool::new(false));
    let told = is_lost.clone();
    let options = selection.stream().on_reconnect(move |reconnect| {
        // Once per outage is enough.
        if !told.swap(true, Ordering::Relaxed) {
            let reason =
                reconnect.reason.as_ref().map_or("the service ended the stream".into(), ToString::to_string);
            print::note(format_args!("connection lost ({reason}); reconnecting"));
        }
    });
    let mut events = client.events().stream(options);
    while let Some(event) = events.next().await {
        print::event(event?.json(), form);
        is_lost.store(false, Ordering::Relaxed);
    }
    Ok(())
}

async fn list(client: &Client, selection: Selection, limit: Option<usize>) -> Result<(), Failure> {
    let form = if selection.json { Form::Json } else { Form::History };
    let events = client.events().all(selection.history(limit)).take(limit.unwrap_or(usize::MAX));
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.try_next().await? {
        print::event(event.json(), form);
    }
    Ok(())
}
