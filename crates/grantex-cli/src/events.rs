//! `grantex events`

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand};
use futures_util::{StreamExt as _, TryStreamExt as _};
use grantex::{Client, Error, EventId, HistoryParams, Payload, Progress, StreamOptions};
use grantex_types::{Event, Timestamp, TypeSet};
use tokio::sync::Notify;

use crate::lines::{Form, Lines, SHORT_ID_CHARS, described};
use crate::refused::with_request;
use crate::target::Target;
use crate::{CommandError, print, when};

/// Read the event log of a service
#[derive(Args)]
#[command(after_help = "Examples:
  export GRANTEX_API_KEY=gx_live_…
  grantex events tail
  grantex events tail --types grant.revoked --json | jq .data
  grantex events list --limit 20
  grantex events list --oldest --since 2026-03-01T00:00:00Z --json > events.ndjson
  grantex events show evt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA")]
pub(crate) struct Events {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print events as they happen; reconnects and resumes automatically
    ///
    /// On a terminal, lines show the names of agents, local time and the end of each event's id,
    /// and fit the width. In a pipe or a file they have whole ids and UTC.
    #[command(after_help = "Examples:
  grantex events tail --types budget.threshold,budget.exhausted
  grantex events tail --since 5m                        the last five minutes first, then live
  grantex events tail --after evt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA
  grantex events tail --grant grnt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA --json")]
    Tail(Selection),
    /// Print past events, newest first
    ///
    /// On a terminal, lines show the names of agents, local time and the end of each event's id,
    /// and fit the width. In a pipe or a file they have whole ids and UTC.
    #[command(after_help = "Examples:
  grantex events list --limit 20
  grantex events list --since yesterday --until 14:00
  grantex events list --oldest --since 2026-03-01T12:00:00Z --principal user-123 --json")]
    List {
        #[command(flatten)]
        selection: Selection,
        #[command(flatten)]
        part: Part,
    },
    /// Print one event
    #[command(after_help = "Examples:
  grantex events show evt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA
  grantex events show X0Y1ZA                            looks among the newest 10,000 events
  grantex events show evt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA --json | jq .data")]
    Show {
        /// The event's id, or its last 6 or more characters, as lists on a terminal show them
        id: String,
        /// Print it as one line of JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct Part {
    /// Print the oldest event first
    #[arg(long)]
    oldest: bool,
    /// Only events before this time, in the same formats as --since
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    #[arg(long_help = format!("Only events before this time: {}", when::FORMS))]
    until: Option<Timestamp>,
    /// Only events before this one (its id)
    #[arg(long, value_name = "EVENT", conflicts_with = "until")]
    before: Option<EventId>,
    /// Print at most this many events
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    limit: Option<usize>,
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
    /// Only events from this time on: 5m (ago), 14:00, yesterday, RFC 3339; see --help
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    #[arg(long_help = format!("Only events from this time on: {}", when::FORMS))]
    since: Option<Timestamp>,
    /// Only events after this one (its id)
    #[arg(long, value_name = "EVENT", conflicts_with = "since")]
    after: Option<EventId>,
    /// Print each event as one line of JSON
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
            options = options.last_event_id(after.to_string());
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

    fn history(&self, part: &Part) -> HistoryParams {
        HistoryParams {
            event_types: self.event_types(),
            since: self.since.map(|at| at.to_string()),
            until: part.until.map(|at| at.to_string()),
            agent_id: self.agent.clone(),
            principal_id: self.principal.clone(),
            grant_id: self.grant.clone(),
            limit: u32::try_from(part.limit.unwrap_or(PAGE).min(PAGE)).ok(),
            after: self.after.map(|id| id.to_string()),
            before: part.before.map(|id| id.to_string()),
            newest_first: !part.oldest,
        }
    }

    /// The newest event after `place` that this shows.
    async fn newest(
        &self,
        client: &Client,
        place: Option<EventId>,
    ) -> Result<Option<EventId>, Error> {
        let part = Part { oldest: false, until: None, before: None, limit: Some(1) };
        let mut params = self.history(&part);
        params.after = place.map(|id| id.to_string()).or(params.after);
        let mut newest = std::pin::pin!(client.events().all(params));
        Ok(newest.try_next().await?.map(|event| event.id))
    }

    fn form(&self, for_people: Form) -> Form {
        if self.json { Form::Json } else { for_people }
    }
}

/// Events a page of the history holds: as many as the service gives.
const PAGE: usize = 1000;
/// The newest events among which `show` looks for the end of an id: ten pages take about a second,
/// and among more the last characters are not unique.
const MOST_SEARCHED: usize = 10_000;

pub(crate) async fn run(events: Events) -> Result<(), CommandError> {
    let client = events.target.client()?;
    match events.command {
        Command::Tail(selection) => {
            tail(&client, &selection).await.map_err(|error| with_options(error, false))
        }
        Command::List { selection, part } => {
            if let (Some(since), Some(until)) = (selection.since, part.until)
                && since >= until
            {
                return Err(format!(
                    "no event can match: --since is {since}, which is not before --until, {until}"
                )
                .into());
            }
            list(&client, &selection, &part)
                .await
                .map_err(|error| with_options(error, !part.oldest))
        }
        Command::Show { id, json } => show(&client, &id, json).await,
    }
}

/// Says with which options to continue where the log does not have the event that they name, or
/// where an event is damaged.
fn with_options(error: Error, is_backwards: bool) -> CommandError {
    let Some(answer) = error.api() else { return error.into() };
    match answer.code.as_deref() {
        Some("EVENTS_EXPIRED") => {
            let text = "events after this one are no longer retained: to begin with the oldest that \
                        is, use --since 1970-01-01 in place of --after";
            return with_request(text, answer).into();
        }
        Some("EVENT_UNKNOWN") => {
            let text = "the log has never had an event with this id: correct --after or --before, \
                        or give a time with --since or --until";
            return with_request(text, answer).into();
        }
        Some("EVENT_DAMAGED") => {}
        _ => return error.into(),
    }
    let way = match (is_backwards, &answer.resume_before, &answer.resume_after) {
        (true, Some(id), _) => format!("to continue with the events before it, use --before {id}"),
        (true, None, _) => "no older event can be read".to_owned(),
        (false, _, Some(id)) => format!("to continue with the events after it, use --after {id}"),
        (false, _, None) => return error.into(),
    };
    format!("{error}; {way}").into()
}

/// The state of a tail's connection.
#[derive(Default)]
struct Outage {
    /// The connection was lost, and not all missed events have arrived yet.
    is_on: AtomicBool,
    /// There has been a connection.
    was_open: AtomicBool,
    /// A connection is open again.
    opened: Notify,
}

impl Outage {
    /// The options of a stream that reports its state here.
    fn watch(self: &Arc<Self>, options: StreamOptions) -> StreamOptions {
        let (lost, open) = (Arc::clone(self), Arc::clone(self));
        let options = options.on_open(move || {
            if open.was_open.swap(true, Ordering::Relaxed) {
                open.opened.notify_one();
            } else if open.is_on.swap(false, Ordering::Relaxed) {
                print::note("connected");
            }
        });
        options.on_reconnect(move |reconnect| {
            // Once per outage is enough.
            if lost.is_on.swap(true, Ordering::Relaxed) {
                return;
            }
            let reason = reconnect.reason.as_ref();
            let reason = reason.map_or("the service ended the stream".into(), ToString::to_string);
            if lost.was_open.load(Ordering::Relaxed) {
                print::note(format_args!("connection lost ({reason}); reconnecting"));
            } else {
                print::note(format_args!("not connected ({reason}); retrying"));
            }
        })
    }

    fn end(&self, caught_up: Option<usize>) {
        self.is_on.store(false, Ordering::Relaxed);
        match caught_up {
            None => print::note("connected again"),
            Some(0) => print::note("connected again, no event was missed"),
            Some(1) => print::note("connected again, 1 event caught up"),
            Some(count) => print::note(format_args!("connected again, {count} events caught up")),
        }
    }
}

async fn tail(client: &Client, selection: &Selection) -> Result<(), Error> {
    let mut lines = Lines::new(client, selection.form(Form::Live));
    let outage = Arc::new(Outage::default());
    let mut steps = client.events().stream(outage.watch(selection.stream())).progress();
    // The stream's cursor, and the last event that was missed in an outage.
    let (mut place, mut newest) = (None, None);
    let mut caught_up: usize = 0;
    loop {
        tokio::select! {
            biased;
            () = outage.opened.notified() => {
                if outage.is_on.load(Ordering::Relaxed) {
                    match selection.newest(client, place).await {
                        Ok(found) => newest = Some(found),
                        // How many there are does not matter so much.
                        Err(_) => outage.end(None),
                    }
                }
            }
            step = steps.next() => match step.transpose()? {
                Some(Progress::Event(event)) => {
                    lines.print(event.json()).await;
                    place = Some(event.id);
                    if outage.is_on.load(Ordering::Relaxed) {
                        caught_up = caught_up.saturating_add(1);
                    }
                }
                Some(Progress::Cursor(id)) => place = Some(id),
                None => return Ok(()),
            },
        }
        if let Some(last) = newest
            && last <= place
        {
            outage.end(Some(std::mem::take(&mut caught_up)));
            newest = None;
        }
    }
}

async fn list(client: &Client, selection: &Selection, part: &Part) -> Result<(), Error> {
    let mut lines = Lines::new(client, selection.form(Form::History));
    let events =
        client.events().all(selection.history(part)).take(part.limit.unwrap_or(usize::MAX));
    let mut events = std::pin::pin!(events);
    let mut is_empty = true;
    while let Some(event) = events.try_next().await? {
        is_empty = false;
        lines.print(event.json()).await;
    }
    if is_empty {
        print::note("no events match");
    }
    Ok(())
}

async fn show(client: &Client, id: &str, json: bool) -> Result<(), CommandError> {
    let id = match id.parse::<EventId>() {
        Ok(id) => id,
        Err(_) => ending_with(client, id).await?,
    };
    let found = client.events().get(&id.to_string()).await?;
    if json {
        print::line(found.event.json());
        return Ok(());
    }
    if let Payload::Known(data) = &found.event.data {
        print::line(described(client, data).await);
    }
    print::line(format_args!("position {} of the log", found.position));
    match serde_json::from_str::<Event>(found.event.json()) {
        Ok(event) => print::pretty(&event),
        Err(_) => print::pretty(&serde_json::from_str::<serde_json::Value>(found.event.json())?),
    }
}

/// The event whose id ends so. Lists on a terminal show such an end, after `…`.
async fn ending_with(client: &Client, text: &str) -> Result<EventId, CommandError> {
    let end = text.trim_start_matches(EventId::PREFIX).trim_start_matches(['…', '.']);
    let end = end.to_ascii_uppercase();
    let short = SHORT_ID_CHARS..EventId::CHARS.saturating_sub(EventId::PREFIX.len());
    if !short.contains(&end.len()) || !end.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(format!(
            "{text:?} is not an event id: give the whole id, {} characters such as \
             evt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA, or its last {SHORT_ID_CHARS} or more characters, such \
             as X0Y1ZA",
            EventId::CHARS
        )
        .into());
    }
    let params = HistoryParams {
        newest_first: true,
        limit: u32::try_from(PAGE).ok(),
        ..HistoryParams::default()
    };
    let newest = client.events().all(params).take(MOST_SEARCHED);
    let found: Vec<EventId> = newest
        .map_ok(|event| event.id)
        .try_filter(|id| std::future::ready(id.to_string().ends_with(&end)))
        .try_collect()
        .await?;
    match *found.as_slice() {
        [id] => Ok(id),
        [] => Err(format!(
            "no id of the newest {MOST_SEARCHED} events ends with {end}; give the whole id, which \
             `grantex events list --json` prints"
        )
        .into()),
        [one, other, ..] => Err(format!(
            "more than one id ends with {end}, such as {one} and {other}; give more characters"
        )
        .into()),
    }
}
