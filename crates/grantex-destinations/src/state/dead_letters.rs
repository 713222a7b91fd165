use grantex::{EventId, GrantexEvent};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;

use super::{State, StateError, id};

/// An event that a destination rejects, with the answer that rejected it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DeadLetter {
    /// Names it in commands.
    pub number: i64,
    /// The destination that refused it.
    pub destination: String,
    /// The event.
    #[serde(serialize_with = "display")]
    pub event_id: EventId,
    /// The event's envelope, as the service sent it.
    pub event: Box<serde_json::value::RawValue>,
    /// What the destination answered.
    pub reason: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// How often it was refused.
    pub tries: u32,
    /// It waits to be sent again.
    pub is_waiting: bool,
}

fn display<S: serde::Serializer>(id: &EventId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// Which dead letters a command is about.
#[derive(Debug, Clone, Default)]
pub struct DeadLetters {
    /// Only this destination's; all when `None`.
    pub destination: Option<String>,
    /// Only these numbers; all when empty.
    pub numbers: Vec<i64>,
}

/// An event and the answer that rejects it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RejectedEvent {
    /// The event.
    pub event: GrantexEvent,
    /// What the destination answered.
    pub reason: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// The state of dead letters that are to be sent again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Redelivery {
    /// Delivered, or dropped meanwhile.
    pub delivered: u64,
    /// Refused again: a dead letter again.
    pub refused: u64,
    /// Not tried yet, or not accepted yet: their destination is down, or does not run.
    pub waiting: u64,
}

const COLUMNS: &str = "number, destination, event_id, event, reason, at, tries, again";

impl State {
    /// Dead letters, oldest first.
    pub async fn dead_letters(&self, which: DeadLetters) -> Result<Vec<DeadLetter>, StateError> {
        self.with(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM dead_letter WHERE (?1 IS NULL OR destination = ?1) ORDER BY number"
            );
            let letters = read(connection, &sql, params![which.destination])?;
            Ok(letters.into_iter().filter(|letter| which.holds(letter.number)).collect())
        })
        .await
    }

    /// How many a destination has.
    pub async fn count_dead_letters(&self, destination: &str) -> Result<u64, StateError> {
        let destination = destination.to_owned();
        self.with(move |connection| {
            let sql = "SELECT count(*) FROM dead_letter WHERE destination = ?1";
            let count: i64 =
                connection.prepare_cached(sql)?.query_row([destination], |row| row.get(0))?;
            Ok(count.unsigned_abs())
        })
        .await
    }

    /// Asks the forwarder to send these again: it does so within seconds, or when it starts.
    pub async fn retry_dead_letters(&self, letters: &[i64]) -> Result<(), StateError> {
        self.each(letters, "UPDATE dead_letter SET again = 1 WHERE number = ?1").await
    }

    /// The state of these since they were to be sent again.
    pub async fn redelivery(&self, letters: &[i64]) -> Result<Redelivery, StateError> {
        let letters = letters.to_vec();
        self.with(move |connection| {
            let mut statement =
                connection.prepare_cached("SELECT again FROM dead_letter WHERE number = ?1")?;
            let mut so_far = Redelivery::default();
            for number in letters {
                let count = match statement.query_row([number], |row| row.get(0)).optional()? {
                    None => &mut so_far.delivered,
                    Some(false) => &mut so_far.refused,
                    Some(true) => &mut so_far.waiting,
                };
                *count = count.saturating_add(1);
            }
            Ok(so_far)
        })
        .await
    }

    /// Deletes these.
    pub async fn drop_dead_letters(&self, letters: &[i64]) -> Result<(), StateError> {
        self.each(letters, "DELETE FROM dead_letter WHERE number = ?1").await
    }

    async fn each(&self, letters: &[i64], sql: &'static str) -> Result<(), StateError> {
        let letters = letters.to_vec();
        self.with(move |connection| {
            let transaction = connection.transaction()?;
            for number in letters {
                transaction.prepare_cached(sql)?.execute([number])?;
            }
            Ok(transaction.commit()?)
        })
        .await
    }

    /// Those of a destination that wait to be sent again, at most `limit`.
    pub(crate) async fn waiting_dead_letters(
        &self,
        destination: &str,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StateError> {
        let destination = destination.to_owned();
        self.with(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM dead_letter WHERE destination = ?1 AND again = 1 ORDER BY number LIMIT ?2"
            );
            read(connection, &sql, params![destination, limit])
        })
        .await
    }

    /// Puts an event back among the dead letters: it was refused again.
    pub(crate) async fn add_dead_letter(
        &self,
        destination: &str,
        letter: RejectedEvent,
    ) -> Result<(), StateError> {
        let destination = destination.to_owned();
        self.with(move |connection| write(connection, &destination, &letter)).await
    }
}

impl DeadLetters {
    fn holds(&self, number: i64) -> bool {
        self.numbers.is_empty() || self.numbers.contains(&number)
    }
}

fn read(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<DeadLetter>, StateError> {
    type Row = (i64, String, String, String, String, i64, u32, bool);
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(parameters, |row| {
        Ok((
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
            row.get(5)?,
            row.get(6)?,
            row.get(7)?,
        ))
    })?;
    rows.map(|row| {
        let (number, destination, event_id, event, reason, at, tries, is_waiting): Row = row?;
        let event = serde_json::value::RawValue::from_string(event)
            .map_err(|error| StateError::Damaged(error.to_string()))?;
        let event_id = id(&event_id)?;
        Ok(DeadLetter {
            number,
            destination,
            event_id,
            event,
            reason,
            at_ms: at.unsigned_abs(),
            tries,
            is_waiting,
        })
    })
    .collect()
}

pub(super) fn write(
    connection: &Connection,
    destination: &str,
    letter: &RejectedEvent,
) -> Result<(), StateError> {
    let sql = "INSERT INTO dead_letter (destination, event_id, event, reason, at, tries, again)
               VALUES (?1, ?2, ?3, ?4, ?5, 1, 0)
               ON CONFLICT (destination, event_id) DO UPDATE SET reason = ?4, at = ?5, tries = tries + 1, again = 0";
    connection.prepare_cached(sql)?.execute(params![
        destination,
        letter.event.id.to_string(),
        letter.event.json(),
        letter.reason,
        letter.at_ms.cast_signed()
    ])?;
    Ok(())
}
