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
pub(crate) const SHORT_ID_CHARS: usize = 6;
/// Columns that a sentence has left beside a whole id: nearly every one fits.
const WIDE_SENTENCE: usize = 72;
/// Columns that it has left beside the whole time and a short id: most fit.
const USUAL_SENTENCE: usize = 54;
/// Columns that it has left beside a short time. Where there are fewer the line has no time.
const LEAST_SENTENCE: usize = 16;

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
                let sentence = Escaped(sentence(&event.data, names).await).to_string();
                let formats = match self.form {
                    Form::Live => [CLOCK, CLOCK],
                    _ => ["%Y-%m-%d %H:%M:%S", "%m-%d %H:%M"],
                };
                let times = formats.map(|format| local(event.created_at, format));
                fitted(columns(), times, &sentence, &event.id.to_string())
            }
        };
        let kind = event.data.event_type();
        let (dim, gap): (_, Piece<'_>) = (Style::new().dimmed(), (PLAIN, &GAP));
        let padded = format!("{kind:<TYPE_COLUMNS$}");
        let pieces: [Piece<'_>; 4] =
            [(dim, &time), (colour(kind), &padded), (PLAIN, &sentence), (dim, &id)];
        let is_shown = [!time.is_empty(), true, !sentence.is_empty(), true];
        let mut line: Vec<Piece<'_>> = Vec::new();
        for (piece, _) in pieces.into_iter().zip(is_shown).filter(|(_, is_shown)| *is_shown) {
            if !line.is_empty() {
                line.push(gap);
            }
            line.push(piece);
        }
        print::pieces(&line);
    }
}

/// One sentence about an event, with the names that can be looked up.
pub(crate) async fn described(client: &Client, data: &EventData) -> String {
    sentence(data, &mut Names::new(client)).await
}

const CLOCK: &str = "%H:%M:%S";

fn local(at: Timestamp, format: &str) -> String {
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

/// The time, sentence and id of a line with this many columns, the same way for every event. There
/// is always an id, whole where there is much room. A narrower line has a shorter one of the two
/// times, then none, and a sentence that is cut, then none.
fn fitted(
    columns: usize,
    [long_time, short_time]: [String; 2],
    sentence: &str,
    id: &str,
) -> (String, String, String) {
    let room = |time: &str, id: &str| {
        let time = if time.is_empty() { 0 } else { width(time).saturating_add(GAP.len()) };
        let taken = [time, TYPE_COLUMNS, GAP.len(), GAP.len(), width(id)];
        columns.saturating_sub(taken.iter().sum())
    };
    let short_id = ending(id);
    let (time, id) = if room(&long_time, id) >= WIDE_SENTENCE {
        (long_time, id.to_owned())
    } else if room(&long_time, &short_id) >= USUAL_SENTENCE {
        (long_time, short_id)
    } else if room(&short_time, &short_id) >= LEAST_SENTENCE {
        (short_time, short_id)
    } else {
        (String::new(), short_id)
    };
    let left = room(&time, &id);
    let sentence = cut(sentence, left);
    let padding = " ".repeat(left.saturating_sub(width(&sentence)));
    (time, sentence + &padding, id)
}

fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let Some(mut left) = room.checked_sub(1) else { return String::new() };
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

/// `…X0Y1ZA`
fn ending(id: &str) -> String {
    format!("…{}", id.get(id.len().saturating_sub(SHORT_ID_CHARS)..).unwrap_or(id))
}

/// `grnt_…X0Y1ZA`
fn short(id: &str) -> String {
    let (prefix, _) = id.split_once('_').unwrap_or(("", id));
    format!("{prefix}_{}", ending(id))
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
        let times = || ["2026-03-01 14:00:05".to_owned(), "03-01 14:00".to_owned()];
        let sentence = "Travel agent passed travel:book on to Hotel finder";
        let fit = |columns| fitted(columns, times(), sentence, ID);
        let [long, short] = times();
        assert_eq!(fit(143), (long.clone(), format!("{sentence:72}"), ID.to_owned()));
        assert_eq!(fit(142), (long.clone(), format!("{sentence:94}"), "…X0Y1ZA".to_owned()));
        assert_eq!(fit(80).0, short);
        assert_eq!(fit(40).0, "");
        assert_eq!(fit(27), (String::new(), String::new(), "…X0Y1ZA".to_owned()));
        for columns in 27..200 {
            for text in [
                sentence,
                "日本語のエージェント passed travel:book on to 酒店查找器 and to all the others",
            ] {
                let (time, sentence, id) = fitted(columns, times(), text, ID);
                let parts = [&*time, &" ".repeat(TYPE_COLUMNS), &*sentence, &*id];
                let shown = parts.iter().filter(|part| !part.is_empty());
                let taken: usize = shown.clone().map(|part| width(part)).sum();
                assert!(taken + (shown.count() - 1) * GAP.len() <= columns, "{columns}");
                assert!(id.ends_with("X0Y1ZA"));
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
