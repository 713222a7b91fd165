//! Events on a terminal.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use grantex_types::event::{Event, EventData, EventType, IssueMethod, RevokedBy};

/// Prints a line to standard output. Ends the process quietly when nobody reads any more, as in
/// `grantex events tail | head`.
pub(crate) fn line(text: impl std::fmt::Display) {
    let written = writeln!(anstream::stdout().lock(), "{text}");
    if let Err(error) = written {
        let quiet = error.kind() == std::io::ErrorKind::BrokenPipe;
        std::process::exit(i32::from(!quiet));
    }
}

/// How events are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The envelope as it is.
    Json,
    /// A line for people who watch: the time of day.
    Live,
    /// A line for people who look back: day and time.
    History,
}

/// Prints one event, coloured on a terminal unless it is JSON.
pub(crate) fn event(envelope: &str, form: Form) {
    let event = match form {
        Form::Json => None,
        Form::Live | Form::History => serde_json::from_str::<Event>(envelope).ok(),
    };
    let Some(event) = event else {
        line(format_args!("{envelope}"));
        return;
    };
    let colour = colour(event.data.event_type());
    let dim = Style::new().dimmed();
    let at = event.created_at.to_string();
    let time = if form == Form::Live { at.get(11..23).unwrap_or(&at) } else { &at };
    line(format_args!(
        "{dim}{time}{dim:#}  {colour}{:<16}{colour:#}  {}  {dim}{}{dim:#}",
        event.data.event_type(),
        describe(&event.data),
        event.id
    ));
}

fn colour(kind: EventType) -> Style {
    let colour = match kind {
        EventType::GrantCreated => AnsiColor::Green,
        EventType::GrantRevoked => AnsiColor::Red,
        EventType::TokenIssued => AnsiColor::Cyan,
        EventType::BudgetThreshold => AnsiColor::Yellow,
        EventType::BudgetExhausted => AnsiColor::Magenta,
    };
    colour.on_default().bold()
}

fn describe(data: &EventData) -> String {
    match data {
        EventData::GrantCreated { grant_id, principal_id, scopes, .. } => {
            format!("{grant_id}  {principal_id:?} allows {}", scopes.as_slice().join(", "))
        }
        EventData::GrantRevoked { grant_id, revoked_by } => {
            let by = match revoked_by {
                RevokedBy::Developer => "the developer",
                RevokedBy::Principal => "the principal",
                RevokedBy::System => "the system, in a cascade",
            };
            format!("{grant_id}  by {by}")
        }
        EventData::TokenIssued { grant_id, method, .. } => {
            let method = match method {
                IssueMethod::Exchange => "exchange",
                IssueMethod::Refresh => "refresh",
            };
            format!("{grant_id}  by {method}")
        }
        EventData::BudgetThreshold { grant_id, percentage, remaining, initial } => {
            format!("{grant_id}  {percentage} % used, {} of {} left", remaining.amount(), initial.amount())
        }
        EventData::BudgetExhausted { grant_id, initial } => {
            format!("{grant_id}  all of {} used", initial.amount())
        }
    }
}
