//! Events as lines for people, and as JSON.
//!
//! A terminal gets sentences with names, in the local time zone, cut to its width. Where the output
//! goes elsewhere each line has the whole ids and UTC.

use std::io::IsTerminal as _;

use anstyle::{AnsiColor, Style};
use grantex::Client;
use grantex::internal::Escaped;
use grantex_types::event::{Event, EventData, EventType, IssueMethod, RevokedBy};
use grantex_types::{Amount, GrantId, Timestamp};
use jiff::tz::TimeZone;

use crate::names::Names;
use crate::print::{self, PLAIN, Piece};

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

/// Prints events to standard output.
pub(crate) struct Lines {
    form: Form,
    /// For a terminal.
    names: Option<Names>,
}

/// The width of a terminal that does not say it.
const USUAL_COLUMNS: usize = 80;
/// The width of the longest type.
const TYPE_COLUMNS: usize = 16;
const GAP: &str = "  ";
/// An id's last characters, which differ even between events of one millisecond.
const SHORT_ID_CHARS: usize = 6;
/// Columns that a sentence has left beside a whole id: nearly every one fits.
const WIDE_SENTENCE: usize = 72;
/// Columns that it has left beside a short one: most fit. On a terminal of 80 columns the sentence
/// has them all.
const LEAST_SENTENCE: usize = 54;

impl Lines {
    /// Lines of this form about a developer's events.
    pub(crate) fn new(client: &Client, form: Form) -> Self {
        let is_for_people = form != Form::Json && std::io::stdout().is_terminal();
        Self { form, names: is_for_people.then(|| Names::new(client)) }
    }

    /// Prints one event, coloured on a terminal unless it is JSON.
    pub(crate) async fn print(&mut self, envelope: &str) {
        let event = match self.form {
            Form::Json => None,
            Form::Live | Form::History => serde_json::from_str::<Event>(envelope).ok(),
        };
        let Some(event) = event else {
            print::line(envelope);
            return;
        };
        let (time, sentence, id) = match &mut self.names {
            None => (event.created_at.to_string(), plain(&event.data), event.id.to_string()),
            Some(names) => {
                let time = local(event.created_at, self.form);
                let taken = [time.len(), TYPE_COLUMNS, GAP.len(), GAP.len()].iter().sum();
                let sentence = Escaped(sentence(&event.data, names).await).to_string();
                let room = columns().saturating_sub(taken);
                let (sentence, id) = fitted(&sentence, &event.id.to_string(), room);
                (time, sentence, id)
            }
        };
        let kind = event.data.event_type();
        let (dim, gap): (_, Piece<'_>) = (Style::new().dimmed(), (PLAIN, &GAP));
        let padded = format!("{kind:<TYPE_COLUMNS$}");
        let mut line: Vec<Piece<'_>> =
            vec![(dim, &time), gap, (colour(kind), &padded), gap, (PLAIN, &sentence)];
        if !id.is_empty() {
            line.extend([gap, (dim, &id)]);
        }
        print::pieces(&line);
    }
}

/// One sentence about an event, with the names that can be looked up.
pub(crate) async fn described(client: &Client, data: &EventData) -> String {
    sentence(data, &mut Names::new(client)).await
}

fn local(at: Timestamp, form: Form) -> String {
    let format = if form == Form::Live { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    let millis = i64::try_from(at.millis()).ok();
    let zoned = millis.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    zoned.map_or_else(
        || at.to_string(),
        |zoned| zoned.to_zoned(TimeZone::system()).strftime(format).to_string(),
    )
}

/// The width of the terminal that standard output is.
fn columns() -> usize {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => USUAL_COLUMNS,
    }
}

/// A sentence and an id that fill `room` columns, the same way for every event: the whole id where
/// there is much room, else a short one, else none.
fn fitted(sentence: &str, id: &str, room: usize) -> (String, String) {
    let beside = |id: &str| room.saturating_sub(GAP.len()).saturating_sub(width(id));
    let short = short(id);
    let (left, id) = if beside(id) >= WIDE_SENTENCE {
        (beside(id), id.to_owned())
    } else if beside(&short) >= LEAST_SENTENCE {
        (beside(&short), short)
    } else {
        return (cut(sentence, room), String::new());
    };
    let sentence = cut(sentence, left);
    let padding = " ".repeat(left.saturating_sub(width(&sentence)));
    (sentence + &padding, id)
}

fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut left = room.saturating_sub(1);
    let fits = text.chars().take_while(|c| {
        let fits = char_width(*c) <= left;
        left = left.saturating_sub(char_width(*c));
        fits
    });
    fits.chain(['…']).collect()
}

fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// The columns that a terminal shows a character in.
fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x200b..=0x200d | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// `evt_…X0Y1ZA`
fn short(id: &str) -> String {
    let (prefix, rest) = id.split_once('_').unwrap_or(("", id));
    let end = rest.get(rest.len().saturating_sub(SHORT_ID_CHARS)..).unwrap_or(rest);
    format!("{prefix}_…{end}")
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

/// An amount without needless zeros.
fn amount(amount: Amount) -> String {
    let text = amount.to_string();
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What happened to a grant.
fn happening(data: &EventData) -> String {
    match data {
        EventData::GrantCreated { principal_id, scopes, .. } => {
            format!("{principal_id:?} allows {}", scopes.as_slice().join(", "))
        }
        EventData::GrantRevoked { revoked_by, .. } => {
            let by = match revoked_by {
                RevokedBy::Developer => "the developer",
                RevokedBy::Principal => "the principal",
                RevokedBy::System => "the system, in a cascade",
            };
            format!("by {by}")
        }
        EventData::TokenIssued { method, .. } => {
            let method = match method {
                IssueMethod::Exchange => "exchange",
                IssueMethod::Refresh => "refresh",
            };
            format!("by {method}")
        }
        EventData::BudgetThreshold { percentage, remaining, initial, .. } => {
            let (remaining, initial) = (amount(remaining.amount()), amount(initial.amount()));
            format!("crossed {percentage} %: {remaining} of {initial} left")
        }
        EventData::BudgetExhausted { initial, .. } => {
            format!("all of {} used", amount(initial.amount()))
        }
    }
}

fn plain(data: &EventData) -> String {
    format!("{}  {}", data.grant_id(), happening(data))
}

async fn sentence(data: &EventData, names: &mut Names) -> String {
    let EventData::GrantCreated { grant_id, agent_id, principal_id, scopes } = data else {
        let holder = holder(data.grant_id(), names).await;
        let happening = happening(data);
        // What matters most comes first: narrow terminals show no more.
        return match data {
            EventData::BudgetThreshold { .. } | EventData::BudgetExhausted { .. } => {
                format!("{happening}: {holder}")
            }
            _ => format!("{holder}: {happening}"),
        };
    };
    let agent = agent(*agent_id, names).await;
    let scopes = scopes.as_slice().join(", ");
    let Some(grant) = names.grant(*grant_id).await else {
        return format!("{agent} may use {scopes} for {principal_id}");
    };
    let Some(parent) = grant.parent_grant_id else {
        return format!("{principal_id} allowed {agent} {scopes}");
    };
    let above = match names.grant(parent).await {
        Some(parent) => self::agent(parent.agent_id, names).await,
        None => short(&parent.to_string()),
    };
    format!("{above} passed {scopes} on to {agent}")
}

/// Who holds a grant, and from whom.
async fn holder(grant: GrantId, names: &mut Names) -> String {
    match names.grant(grant).await {
        Some(grant) => format!("{} for {}", agent(grant.agent_id, names).await, grant.principal_id),
        None => short(&grant.to_string()),
    }
}

async fn agent(id: grantex_types::AgentId, names: &mut Names) -> String {
    names.agent(id).await.unwrap_or_else(|| short(&id.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "evt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA";

    #[test]
    fn a_line_fits_its_room() {
        let sentence = "Travel agent passed travel:book on to Hotel finder";
        assert_eq!(fitted(sentence, ID, 104), (format!("{sentence:72}"), ID.to_owned()));
        assert_eq!(fitted(sentence, ID, 103), (format!("{sentence:90}"), "evt_…X0Y1ZA".to_owned()));
        for room in 0..120 {
            for text in [
                sentence,
                "日本語のエージェント passed travel:book on to 酒店查找器 and to all the others",
            ] {
                let (sentence, id) = fitted(text, ID, room);
                let gap = if id.is_empty() { 0 } else { GAP.len() };
                assert!(
                    width(&sentence) + gap + width(&id) <= room.max(1),
                    "{room}: {sentence}{id}"
                );
                assert!(room < 67 || !id.is_empty());
            }
        }
    }

    #[test]
    fn amounts_have_no_needless_zeros() {
        for (given, shown) in
            [("100", "100"), ("15.50", "15.5"), ("0.0001", "0.0001"), ("0", "0"), ("10.0", "10")]
        {
            assert_eq!(amount(given.parse().unwrap()), shown);
        }
    }
}
