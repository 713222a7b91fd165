//! `grantex events`

use clap::{Args, Subcommand};
use grantex_types::TypeSet;
use grantex_types::api::events::EventList;

use crate::api::{Api, Target};
use crate::print::Form;
use crate::tail::{Follow, Followed, follow};
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
    fn filter(&self) -> Vec<(&'static str, String)> {
        [
            ("types", &self.types),
            ("agentId", &self.agent),
            ("principalId", &self.principal),
            ("grantId", &self.grant),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.clone().map(|value| (name, value)))
        .collect()
    }
}

pub(crate) async fn run(events: Events) -> Result<(), Failure> {
    let api = Api::of(&events.target)?.require_key()?;
    match events.command {
        Command::Tail(selection) => tail(api, selection).await,
        Command::List { selection, limit } => list(&api, &selection, limit).await,
    }
}

async fn tail(api: Api, selection: Selection) -> Result<(), Failure> {
    let filter = selection.filter();
    let mut events = follow(api, Follow { filter, since: selection.since, after: selection.after });
    let form = if selection.json { Form::Json } else { Form::Live };
    let mut said = false;
    while let Some(followed) = events.recv().await {
        match followed {
            Followed::Event(envelope) => {
                said = false;
                print::event(&envelope, form);
            }
            // Once per outage is enough.
            Followed::Reconnecting(reason) => {
                if !said {
                    anstream::eprintln!("connection lost ({reason}); reconnecting");
                }
                said = true;
            }
            Followed::Ended(failure) => return Err(failure),
        }
    }
    Ok(())
}

async fn list(api: &Api, selection: &Selection, limit: Option<usize>) -> Result<(), Failure> {
    let form = if selection.json { Form::Json } else { Form::History };
    let mut left = limit.unwrap_or(usize::MAX);
    let mut after = selection.after.clone();
    while left > 0 {
        let mut query = selection.filter();
        query.push(("limit", left.min(1000).to_string()));
        match (&after, &selection.since) {
            (Some(after), _) => query.push(("after", after.clone())),
            (None, Some(since)) => query.push(("since", since.clone())),
            (None, None) => {}
        }
        let page: EventList = api.get("/v1/events", &query).await?;
        for event in &page.events {
            print::event(event.get(), form);
        }
        left = left.saturating_sub(page.events.len());
        match page.next_cursor {
            Some(cursor) => after = Some(cursor.to_string()),
            None => return Ok(()),
        }
    }
    Ok(())
}
