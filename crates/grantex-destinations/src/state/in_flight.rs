use std::collections::BTreeSet;

use grantex::EventId;
use rusqlite::{Connection, params};

use super::dead_letters::{self, RejectedEvent};
use super::{Checkpoint, State, StateError, id, json, text, write_checkpoint};
use crate::batch::{BatchSettings, Place};

/// A batch that is recorded before it is sent, so that a restart sends the same one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InFlight {
    pub(crate) first: EventId,
    pub(crate) last: EventId,
    /// Events between the two that were rejected before.
    pub(crate) excluded: BTreeSet<EventId>,
    pub(crate) settings: BatchSettings,
    pub(crate) place: Place,
    /// The destination has acknowledged it; an earlier one is still in flight.
    pub(crate) is_done: bool,
}

impl State {
    /// The batches that were in flight when the last forwarder ended, in log order.
    pub(crate) async fn in_flight(&self, destination: &str) -> Result<Vec<InFlight>, StateError> {
        let destination = destination.to_owned();
        self.with(move |connection| in_flight(connection, &destination)).await
    }

    /// Records a batch that is about to be sent; it replaces any that begins with the same event.
    pub(crate) async fn begin(&self, destination: &str, batch: InFlight) -> Result<(), StateError> {
        let destination = destination.to_owned();
        self.with(move |connection| write(connection, &destination, &batch)).await
    }

    /// Records that `old` is from now on sent as `new`, smaller ones, without `rejected`.
    pub(crate) async fn replace(
        &self,
        destination: &str,
        old: EventId,
        new: Vec<InFlight>,
        rejected: Vec<RejectedEvent>,
    ) -> Result<(), StateError> {
        let destination = destination.to_owned();
        self.with(move |connection| {
            let transaction = connection.transaction()?;
            delete(&transaction, &destination, old)?;
            for batch in &new {
                write(&transaction, &destination, batch)?;
            }
            for letter in &rejected {
                dead_letters::write(&transaction, &destination, letter)?;
            }
            Ok(transaction.commit()?)
        })
        .await
    }

    /// Records that the batch which begins with `first` is settled: acknowledged up to `delivered`,
    /// if anything of it was, except for those `rejected`. Moves the checkpoint over all
    /// consecutive settled batches, and returns it if it moved.
    pub(crate) async fn settle(
        &self,
        destination: &str,
        first: EventId,
        delivered: Option<EventId>,
        rejected: Vec<RejectedEvent>,
        now_ms: u64,
    ) -> Result<Option<EventId>, StateError> {
        let destination = destination.to_owned();
        self.with(move |connection| {
            let transaction = connection.transaction()?;
            for letter in &rejected {
                dead_letters::write(&transaction, &destination, letter)?;
            }
            transaction
                .prepare_cached(
                    "UPDATE in_flight SET done = 1 WHERE destination = ?1 AND first = ?2",
                )?
                .execute(params![destination, first.to_string()])?;
            let settled = in_flight(&transaction, &destination)?;
            let mut cursor = None;
            for batch in settled.iter().take_while(|batch| batch.is_done) {
                delete(&transaction, &destination, batch.first)?;
                // Of one that was settled before its turn the last event is known, rejected or
                // not.
                let delivered = if batch.first == first { delivered } else { Some(batch.last) };
                let checkpoint = Checkpoint { cursor: batch.last, delivered };
                write_checkpoint(&transaction, &destination, checkpoint, now_ms)?;
                cursor = Some(batch.last);
            }
            transaction.commit()?;
            Ok(cursor)
        })
        .await
    }

    /// Sets a destination's place, whatever was in flight.
    pub(crate) async fn restart_at(
        &self,
        destination: &str,
        checkpoint: Checkpoint,
        now_ms: u64,
    ) -> Result<(), StateError> {
        let destination = destination.to_owned();
        self.with(move |connection| {
            let transaction = connection.transaction()?;
            transaction.execute("DELETE FROM in_flight WHERE destination = ?1", [&destination])?;
            write_checkpoint(&transaction, &destination, checkpoint, now_ms)?;
            Ok(transaction.commit()?)
        })
        .await
    }

    /// Deletes the records of batches in flight.
    pub(crate) async fn forget_in_flight(&self, destination: &str) -> Result<(), StateError> {
        let destination = destination.to_owned();
        self.with(move |connection| {
            connection.execute("DELETE FROM in_flight WHERE destination = ?1", [&destination])?;
            Ok(())
        })
        .await
    }
}

fn in_flight(connection: &Connection, destination: &str) -> Result<Vec<InFlight>, StateError> {
    type Row = (String, String, String, String, String, bool);
    let sql = "SELECT first, last, excluded, settings, place, done FROM in_flight WHERE destination = ?1 ORDER BY first";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([destination], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
    })?;
    rows.map(|row| {
        let (first, last, excluded, settings, place, is_done): Row = row?;
        let excluded: Vec<String> = json(&excluded)?;
        Ok(InFlight {
            first: id(&first)?,
            last: id(&last)?,
            excluded: excluded.iter().map(|text| id(text)).collect::<Result<_, _>>()?,
            settings: json(&settings)?,
            place: json(&place)?,
            is_done,
        })
    })
    .collect()
}

fn write(connection: &Connection, destination: &str, batch: &InFlight) -> Result<(), StateError> {
    let excluded: Vec<String> = batch.excluded.iter().map(EventId::to_string).collect();
    let sql = "INSERT OR REPLACE INTO in_flight (destination, first, last, excluded, settings, place, done)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    connection.prepare_cached(sql)?.execute(params![
        destination,
        batch.first.to_string(),
        batch.last.to_string(),
        text(&excluded)?,
        text(&batch.settings)?,
        text(&batch.place)?,
        batch.is_done
    ])?;
    Ok(())
}

fn delete(connection: &Connection, destination: &str, first: EventId) -> Result<(), StateError> {
    connection
        .prepare_cached("DELETE FROM in_flight WHERE destination = ?1 AND first = ?2")?
        .execute(params![destination, first.to_string()])?;
    Ok(())
}
