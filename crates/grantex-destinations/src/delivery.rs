//! One batch on its way, until every event of it is acknowledged or among the dead letters.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use grantex::EventId;
use grantex::internal::redacted;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::batch::{Batch, BatchSettings};
use crate::destination::{EventDestination, SendError};
use crate::observer::{Failure, Observer};
use crate::retry::RetryPolicy;
use crate::state::{Condemned, DeadLetter, State, StateError};
use crate::stats::{Stats, now_ms};
use crate::tries::Tries;

/// A try that takes longer is given up: nothing that a receiver does takes so long, and a destination
/// that hangs must say so.
const LONGEST_TRY: Duration = Duration::from_secs(900);

/// Dead letters that are sent again in one go, between two batches.
const REDELIVERIES: u32 = 100;

/// The delivery was cut: the time to stop is over. The batch stays in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut;

/// What delivers to one destination.
pub(crate) struct Delivery<D> {
    pub(crate) destination: D,
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) stats: Arc<Stats>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) retry: RetryPolicy,
    /// Cancelled when waiting has no more time.
    pub(crate) cut: CancellationToken,
}

struct Piece {
    batch: Batch,
    /// Its place is known and written down.
    is_recorded: bool,
}

impl<D: EventDestination> Delivery<D> {
    /// Delivers a batch that is new.
    pub(crate) async fn deliver(&self, batch: Batch) -> Result<(), Cut> {
        self.deliver_piece(Piece { batch, is_recorded: false }).await
    }

    /// Delivers a batch that an earlier process had written down.
    pub(crate) async fn deliver_again(&self, batch: Batch) -> Result<(), Cut> {
        // A half that was never sent has no place yet.
        let is_recorded = !batch.place().is_null();
        self.deliver_piece(Piece { batch, is_recorded }).await
    }

    async fn deliver_piece(&self, piece: Piece) -> Result<(), Cut> {
        // The last is the next: halves of halves come before what follows them.
        let mut pieces = vec![piece];
        while let Some(mut piece) = pieces.pop() {
            let mut tries = self.tries();
            loop {
                let Err(error) = self.attempt(&mut piece).await? else {
                    self.settle(&piece.batch, Vec::new()).await?;
                    break;
                };
                match error {
                    // Else the same batch would come back at once, for ever.
                    SendError::EventsRejected { events, .. }
                        if events.iter().all(|(index, _)| *index >= piece.batch.len()) =>
                    {
                        let reason = "the destination condemns events that are not in the batch";
                        pieces.extend(self.split(piece.batch, reason).await?);
                        break;
                    }
                    SendError::TooLarge(reason) | SendError::Rejected(reason) => {
                        pieces.extend(self.split(piece.batch, &reason).await?);
                        break;
                    }
                    SendError::EventsRejected { events, others_delivered } => {
                        if self.exclude(&mut piece, &events, others_delivered).await? {
                            break;
                        }
                    }
                    passing => self.wait(&mut tries, &passing).await?,
                }
            }
            tries.over();
        }
        Ok(())
    }

    /// One try. The batch is written down before anything is sent.
    async fn attempt(&self, piece: &mut Piece) -> Result<Result<(), SendError>, Cut> {
        let batch = &mut piece.batch;
        let is_recorded = &mut piece.is_recorded;
        let attempt = async {
            if !*is_recorded {
                let place = self.destination.place(batch).await?;
                batch.set_place(place);
                let begun = self.state.begin(&self.name, batch.record()).await;
                begun?;
                *is_recorded = true;
            }
            let sent = async {
                self.destination.send(batch).await?;
                self.destination.flush().await
            };
            timeout(LONGEST_TRY, sent)
                .await
                .unwrap_or_else(|_| Err(SendError::retry(format!("no answer within {LONGEST_TRY:?}"))))
        };
        let result = self.unless_cut(attempt).await?;
        if matches!(result, Err(SendError::Misplaced(_))) {
            piece.is_recorded = false;
        }
        piece.batch.mark_sent();
        Ok(result)
    }

    /// Halves a batch that is refused as a whole; an event that stands alone is condemned. Gives what
    /// is to be sent, last first.
    async fn split(&self, batch: Batch, reason: &str) -> Result<Vec<Piece>, Cut> {
        let first = batch.record().first;
        match batch.halves() {
            Ok((one, two)) => {
                tracing::debug!(destination = self.name, events = one.len(), reason, "a batch is halved");
                let records = vec![one.record(), two.record()];
                self.keep(|| self.state.replace(&self.name, first, records.clone(), Vec::new())).await?;
                let piece = |batch| Piece { batch, is_recorded: false };
                Ok(vec![piece(two), piece(one)])
            }
            Err(single) => {
                let letters: Vec<_> =
                    single.events().iter().map(|event| self.condemn(event.clone(), reason)).collect();
                self.settle(&single, letters).await?;
                Ok(Vec::new())
            }
        }
    }

    /// Takes condemned events out of a batch; `true` when nothing of it is left to send.
    async fn exclude(
        &self,
        piece: &mut Piece,
        rejected: &[(usize, String)],
        others_delivered: bool,
    ) -> Result<bool, Cut> {
        let first = piece.batch.record().first;
        let indexes: BTreeSet<usize> = rejected.iter().map(|(index, _)| *index).collect();
        let reason = |index: usize| {
            let found = rejected.iter().find(|(candidate, _)| *candidate == index);
            found.map_or("rejected", |(_, reason)| reason)
        };
        let out = piece.batch.exclude(&indexes);
        let letters: Vec<_> =
            out.into_iter().map(|(index, event)| self.condemn(event, reason(index))).collect();
        let is_empty = piece.batch.events().is_empty();
        if others_delivered || is_empty {
            if !is_empty {
                self.stats.delivered(piece.batch.len());
            }
            let delivered = (!is_empty).then(|| piece.batch.last());
            self.settle_record(first, delivered, letters).await?;
            return Ok(true);
        }
        let records = vec![piece.batch.record()];
        self.keep(|| self.state.replace(&self.name, first, records.clone(), letters.clone())).await?;
        self.condemned(&letters);
        piece.is_recorded = false;
        Ok(false)
    }

    fn condemn(&self, event: grantex::GrantexEvent, reason: &str) -> Condemned {
        let reason = redacted(reason);
        tracing::error!(
            destination = self.name,
            event = %event.id,
            reason,
            "the destination will not take this event; it is among the dead letters"
        );
        Condemned { event, reason, at_ms: now_ms() }
    }

    /// Counts dead letters that are kept by now, and tells of them.
    fn condemned(&self, letters: &[Condemned]) {
        if !letters.is_empty() {
            self.stats.condemned(letters);
            self.observer.condemned(&self.name, letters);
        }
    }

    /// Writes down that a batch is settled, and counts what of it was delivered.
    async fn settle(&self, batch: &Batch, letters: Vec<Condemned>) -> Result<(), Cut> {
        let record = batch.record();
        let delivered = letters.is_empty().then(|| batch.last());
        if letters.is_empty() {
            self.stats.delivered(batch.len());
        }
        self.settle_record(record.first, delivered, letters).await
    }

    async fn settle_record(
        &self,
        first: EventId,
        delivered: Option<EventId>,
        letters: Vec<Condemned>,
    ) -> Result<(), Cut> {
        let settle = || self.state.settle(&self.name, first, delivered, letters.clone(), now_ms());
        let cursor = self.keep(settle).await?;
        self.condemned(&letters);
        if let Some(cursor) = cursor {
            self.stats.at(cursor);
        }
        Ok(())
    }

    /// Sends dead letters again that somebody asked for; each on its own.
    pub(crate) async fn redeliver(&self, settings: &BatchSettings) -> Result<(), Cut> {
        let waiting = match self.state.waiting_dead_letters(&self.name, REDELIVERIES).await {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::warn!(destination = self.name, %error, "dead letters cannot be read");
                return Ok(());
            }
        };
        for letter in waiting {
            if !self.redeliver_one(settings, letter).await? {
                break;
            }
        }
        Ok(())
    }

    /// `false` when the destination takes nothing now.
    async fn redeliver_one(&self, settings: &BatchSettings, letter: DeadLetter) -> Result<bool, Cut> {
        let number = letter.number;
        let Ok(event) = grantex::GrantexEvent::from_json(letter.event.get()) else { return Ok(true) };
        let mut batch = Batch::redelivery(event.clone(), settings.clone());
        let attempt = async {
            let place = self.destination.place(&batch).await?;
            batch.set_place(place);
            self.destination.send(&batch).await?;
            self.destination.flush().await
        };
        match self.unless_cut(attempt).await? {
            Ok(()) => {
                self.keep(async || self.state.drop_dead_letters(&[number]).await).await?;
                self.stats.read(1);
                self.stats.delivered(1);
                tracing::info!(destination = self.name, event = %event.id, "a dead letter was delivered");
                Ok(true)
            }
            Err(error @ (SendError::Retry { .. } | SendError::Refused(_) | SendError::Misplaced(_))) => {
                self.stats.note(&error.to_string());
                tracing::warn!(destination = self.name, %error, "dead letters wait; they are tried again soon");
                Ok(false)
            }
            Err(error) => {
                let letter = self.condemn(event, &error.to_string());
                self.keep(|| self.state.condemn(&self.name, letter.clone())).await?;
                self.stats.read(1);
                self.condemned(&[letter]);
                Ok(true)
            }
        }
    }

    /// The tries of one thing.
    pub(crate) fn tries(&self) -> Tries {
        Tries::new(self.retry, &self.stats)
    }

    /// Says what failed, and waits as long as it should.
    pub(crate) async fn wait(&self, tries: &mut Tries, error: &SendError) -> Result<(), Cut> {
        let delay = tries.failed(error);
        let (reason, failures) = (error.to_string(), tries.failures());
        let needs_somebody = matches!(error, SendError::Refused(_));
        self.observer.failed(&Failure {
            destination: &self.name,
            message: &reason,
            failures,
            needs_somebody,
            retry_in: Some(delay),
        });
        // Every failure of an outage would drown what else is in the log.
        if needs_somebody {
            tracing::error!(destination = self.name, %reason, failures, ?delay, "failing: manual action required");
        } else if failures.is_power_of_two() {
            tracing::warn!(destination = self.name, %reason, failures, ?delay, "a batch was not taken; it is sent again");
        }
        self.unless_cut(sleep(delay)).await
    }

    /// Does what the state needs until it succeeds: nothing is sent that is not written down.
    pub(crate) async fn keep<F, W, T>(&self, mut write: F) -> Result<T, Cut>
    where
        F: FnMut() -> W,
        W: Future<Output = Result<T, StateError>>,
    {
        let mut tries = self.tries();
        loop {
            match self.unless_cut(write()).await? {
                Ok(done) => {
                    tries.over();
                    return Ok(done);
                }
                Err(error) => self.wait(&mut tries, &SendError::refused(error.to_string())).await?,
            }
        }
    }

    pub(crate) async fn unless_cut<T>(&self, work: impl Future<Output = T>) -> Result<T, Cut> {
        self.cut.run_until_cancelled(work).await.ok_or(Cut)
    }
}
