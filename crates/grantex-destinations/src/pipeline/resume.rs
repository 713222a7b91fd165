//! The start of a pipeline: the checkpoint to go on from, and what an earlier process left in
//! flight.

use futures_util::StreamExt as _;
use grantex::{EventId, GrantexEvent, Progress};

use super::{End, Pipeline};
use crate::batch::Batch;
use crate::delivery::{Cut, Outcome, Piece};
use crate::destination::{EventDestination, SendError};
use crate::log::{LogError, Start};
use crate::state::{Checkpoint, InFlight};
use crate::stats::now_ms;

impl<D: EventDestination> Pipeline<D> {
    /// Opens the destination and settles where to go on.
    pub(super) async fn resume(&self) -> Result<Option<Checkpoint>, End> {
        let kept = self
            .delivery
            .state
            .checkpoint(self.name())
            .await
            .map_err(|error| self.broken(error))?;
        self.delivery.look_for_proof().await.map_err(|error| self.broken(error))?;
        let delivered = kept.and_then(|checkpoint| checkpoint.delivered);
        let mut tries = self.delivery.tries();
        let own = loop {
            match self.unless_stopped(self.delivery.destination.open(delivered)).await? {
                Ok(own) => break own,
                Err(error) => self.unless_stopped(self.delivery.wait(&mut tries, &error)).await??,
            }
        };
        tries.over();
        let Some(own) = own.filter(|own| Some(*own) != delivered) else { return Ok(kept) };
        let checkpoint = Checkpoint { cursor: own, delivered: Some(own) };
        tracing::info!(destination = self.name(), event = %own, "the destination's own checkpoint wins");
        self.delivery
            .keep(|| self.delivery.state.restart_at(self.name(), checkpoint, now_ms()))
            .await?;
        Ok(Some(checkpoint))
    }

    /// Sends what was in flight when the process before ended. Gives where to go on, if it moved,
    /// and what the destination refuses without having accepted anything.
    pub(super) async fn recover(&self, start: &Start) -> Result<(Option<Start>, Vec<Piece>), End> {
        let records =
            self.delivery.state.in_flight(self.name()).await.map_err(|error| self.broken(error))?;
        let (mut place, mut held) = (None, Vec::new());
        for record in records {
            let from = place.as_ref().unwrap_or(start);
            let next = Start::After(record.last);
            if !record.is_done {
                tracing::info!(destination = self.name(), first = %record.first, last = %record.last, "a batch was in flight; it is sent again");
                let events = match self.read_range(&record, from).await {
                    Ok(events) => events,
                    Err(RangeError::End(end)) => return Err(end),
                    Err(RangeError::Lost(error)) => {
                        let after = self.lost(error, from).await?;
                        let forget = || self.delivery.state.forget_in_flight(self.name());
                        self.delivery.keep(forget).await?;
                        return Ok((Some(after), Vec::new()));
                    }
                };
                match Batch::recovered(events, record.clone()) {
                    Some(batch) => {
                        self.delivery.stats.read(batch.len());
                        if let Outcome::Held(pieces, reason) =
                            self.delivery.deliver(vec![Piece::recovered(batch)]).await?
                        {
                            tracing::warn!(
                                destination = self.name(),
                                reason,
                                "a batch in flight is refused"
                            );
                            held.extend(pieces);
                        }
                    }
                    None => {
                        let settle = || {
                            self.delivery.state.settle(
                                self.name(),
                                record.first,
                                None,
                                Vec::new(),
                                now_ms(),
                            )
                        };
                        let _: Option<EventId> = self.delivery.keep(settle).await?;
                    }
                }
            }
            place = Some(next);
        }
        Ok((place, held))
    }

    /// The events of a batch that was in flight, as the log has them.
    async fn read_range(
        &self,
        record: &InFlight,
        from: &Start,
    ) -> Result<Vec<GrantexEvent>, RangeError> {
        let mut tries = self.delivery.tries();
        loop {
            let mut steps = self.log.open(&record.settings.filter, from);
            let mut events: Vec<GrantexEvent> = Vec::new();
            let error = loop {
                match self.unless_stopped(steps.next()).await? {
                    Some(Ok(Progress::Event(event))) => {
                        let id = event.id;
                        if id >= record.first && id <= record.last {
                            events.push(event);
                        }
                        if id >= record.last {
                            tries.over();
                            return Ok(events);
                        }
                    }
                    // Trimmed events: the log begins after the batch.
                    Some(Ok(Progress::Cursor(id))) if id >= record.last => {
                        let reason = "the log begins after the batch in flight";
                        return Err(RangeError::Lost(LogError::Lost(reason.into())));
                    }
                    Some(Ok(Progress::Cursor(_))) => {}
                    Some(Err(error @ (LogError::Lost(_) | LogError::Unknown(_)))) => {
                        return Err(RangeError::Lost(error));
                    }
                    Some(Err(LogError::Refused(reason))) => break SendError::Refused(reason),
                    Some(Err(LogError::Broken(reason))) => break SendError::retry(reason),
                    None => break SendError::retry("the stream ended"),
                }
            };
            drop(steps);
            self.unless_stopped(self.delivery.wait(&mut tries, &error)).await??;
        }
    }
}

enum RangeError {
    Lost(LogError),
    End(End),
}

impl From<End> for RangeError {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

impl From<Cut> for RangeError {
    fn from(cut: Cut) -> Self {
        Self::End(cut.into())
    }
}
