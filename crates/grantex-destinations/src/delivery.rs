//! One batch in flight, until every event of it is acknowledged or a dead letter.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use grantex::EventId;
use grantex::internal::redacted;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::batch::{Batch, BatchSettings};
use crate::destination::{EventDestination, SendError};
use crate::observer::{DeliveryFailure, Observer};
use crate::retry::RetryPolicy;
use crate::state::{DeadLetter, RejectedEvent, State, StateError};
use crate::stats::{Stats, now_ms};
use crate::tries::Tries;

/// A try that takes longer is aborted: no receiver needs so long, and a destination that hangs must
/// be reported.
const LONGEST_TRY: Duration = Duration::from_secs(900);

/// Dead letters that are sent again in one go, between two batches.
const REDELIVERIES: u32 = 100;

/// The delivery was cut. The batch stays in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The time to stop is over.
    Stopped,
    /// The destination will accept nothing any more.
    Over(String),
}

/// Delivers to one destination.
pub(crate) struct Delivery<D> {
    pub(crate) destination: D,
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) stats: Arc<Stats>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) retry: RetryPolicy,
    /// Whether the destination has accepted anything since its configuration changed.
    pub(crate) proof: Proof,
    /// Cancelled when the time to wait is over.
    pub(crate) cut: CancellationToken,
}

/// Whether a destination has accepted anything with this configuration; only then its refusals
/// count.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    /// Names the configuration.
    pub(crate) configuration: String,
    is_given: AtomicBool,
}

impl Proof {
    /// It has none yet, if it needs one.
    pub(crate) fn of(configuration: String, is_needed: bool) -> Self {
        Self { configuration, is_given: AtomicBool::new(!is_needed) }
    }
}

/// Single events that are tried before a destination counts as one that refuses everything.
pub(crate) const PROBES: usize = 5;

/// A batch, or a part of one.
#[derive(Debug)]
pub(crate) struct Piece {
    batch: Batch,
    /// Its place is known and recorded.
    is_recorded: bool,
}

impl Piece {
    /// A batch that is new.
    pub(crate) fn new(batch: Batch) -> Self {
        Self { batch, is_recorded: false }
    }

    /// A batch that an earlier process had recorded.
    pub(crate) fn recovered(batch: Batch) -> Self {
        // A half that was never sent has no place yet.
        let is_recorded = !batch.place().is_null();
        Self { batch, is_recorded }
    }

    /// Its first event.
    pub(crate) fn first(&self) -> EventId {
        self.batch.first()
    }
}

/// The result of delivering pieces.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Every event is acknowledged or among the dead letters.
    Settled,
    /// The destination refuses, and has accepted nothing since its configuration changed: something
    /// else may have answered. These are still to be delivered, in log order; with its answer.
    Held(Vec<Piece>, String),
}

impl<D: EventDestination> Delivery<D> {
    /// Whether the destination's refusals count.
    pub(crate) fn is_proven(&self) -> bool {
        self.proof.is_given.load(Relaxed)
    }

    /// Checks whether an earlier process, or an operator, has settled that the refusals count.
    pub(crate) async fn look_for_proof(&self) -> Result<bool, StateError> {
        if !self.is_proven() {
            let is_given = self.state.is_proven(&self.name, &self.proof.configuration).await?;
            self.proof.is_given.store(is_given, Relaxed);
        }
        Ok(self.is_proven())
    }

    async fn accepted(&self) -> Result<(), Cut> {
        if !self.proof.is_given.swap(true, Relaxed) {
            self.keep(|| self.state.prove(&self.name, &self.proof.configuration)).await?;
        }
        Ok(())
    }

    /// Delivers pieces, which are in log order.
    pub(crate) async fn deliver(&self, pieces: Vec<Piece>) -> Result<Outcome, Cut> {
        // The last is the next: halves of halves come before what follows them.
        let mut pieces = pieces;
        pieces.reverse();
        // Single events that were refused before anything was accepted, and the answer to the last.
        let (mut refused, mut said) = (Vec::new(), String::new());
        while let Some(mut piece) = pieces.pop() {
            if !refused.is_empty() && !self.is_proven() {
                if refused.len() >= PROBES {
                    pieces.push(piece);
                    break;
                }
                piece = self.first_alone(piece, &mut pieces).await?;
            }
            match self.deliver_piece(piece, &mut pieces).await? {
                None if !refused.is_empty() && self.is_proven() => {
                    pieces.extend(refused.drain(..).rev());
                }
                None => {}
                Some((piece, reason)) => {
                    refused.push(piece);
                    said = reason;
                }
            }
        }
        if refused.is_empty() {
            return Ok(Outcome::Settled);
        }
        refused.extend(pieces.into_iter().rev());
        Ok(Outcome::Held(refused, said))
    }

    /// The first event of a piece as a piece of its own; the others are next.
    async fn first_alone(&self, piece: Piece, pieces: &mut Vec<Piece>) -> Result<Piece, Cut> {
        let before = piece.batch.record().first;
        match piece.batch.split_first() {
            Err(single) => Ok(Piece { batch: *single, is_recorded: piece.is_recorded }),
            Ok((one, others)) => {
                let records = vec![one.record(), others.record()];
                self.keep(|| self.state.replace(&self.name, before, records.clone(), Vec::new()))
                    .await?;
                pieces.push(Piece::new(others));
                Ok(Piece::new(one))
            }
        }
    }

    /// Delivers one piece, or pushes the pieces that it is split into. Returns a single event that
    /// was refused before anything was accepted, with the answer.
    async fn deliver_piece(
        &self,
        mut piece: Piece,
        pieces: &mut Vec<Piece>,
    ) -> Result<Option<(Piece, String)>, Cut> {
        let mut tries = self.tries();
        loop {
            let Err(error) = self.attempt(&mut piece).await? else {
                self.accepted().await?;
                self.settle(&piece.batch, Vec::new()).await?;
                break;
            };
            let reason = error.to_string();
            self.report_unknown_indexes(&piece.batch, &error);
            match error {
                // Otherwise the same batch would be sent again at once, without end.
                SendError::EventsRejected { events, .. }
                    if events.iter().all(|(index, _)| *index >= piece.batch.len()) =>
                {
                    let reason = "the destination rejects events that are not in the batch";
                    pieces.extend(self.split(piece.batch, reason).await?);
                    break;
                }
                SendError::EventsRejected { events, others_delivered: true }
                    if events.len() < piece.batch.len() =>
                {
                    self.accepted().await?;
                    self.exclude(&mut piece, &events, true).await?;
                    break;
                }
                // An answer that names some of the events has read them; one that refuses all may
                // come from anything.
                SendError::EventsRejected { events, others_delivered }
                    if events.len() < piece.batch.len() || self.is_proven() =>
                {
                    if self.exclude(&mut piece, &events, others_delivered).await? {
                        break;
                    }
                }
                SendError::TooLarge(_)
                | SendError::Rejected(_)
                | SendError::EventsRejected { .. }
                    if !self.is_proven() =>
                {
                    tries.over();
                    if piece.batch.len() == 1 {
                        return Ok(Some((piece, reason)));
                    }
                    let first = self.first_alone(piece, pieces).await?;
                    pieces.push(first);
                    break;
                }
                SendError::TooLarge(reason) | SendError::Rejected(reason) => {
                    pieces.extend(self.split(piece.batch, &reason).await?);
                    break;
                }
                SendError::Over(reason) => return Err(Cut::Over(reason)),
                passing => self.wait(&mut tries, &passing).await?,
            }
        }
        tries.over();
        Ok(None)
    }

    /// Logs the indexes of a rejection that name no event of the batch.
    fn report_unknown_indexes(&self, batch: &Batch, error: &SendError) {
        let SendError::EventsRejected { events, .. } = error else { return };
        let indexes: Vec<usize> =
            events.iter().map(|(index, _)| *index).filter(|index| *index >= batch.len()).collect();
        if !indexes.is_empty() {
            tracing::warn!(
                destination = self.name,
                ?indexes,
                events = batch.len(),
                "the destination rejects events that are not in the batch; check the indexes"
            );
        }
    }

    /// One try. The batch is recorded before anything is sent.
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
            timeout(LONGEST_TRY, sent).await.unwrap_or_else(|_| {
                Err(SendError::retry(format!("no answer within {LONGEST_TRY:?}")))
            })
        };
        let result = self.unless_cut(attempt).await?;
        if matches!(result, Err(SendError::Misplaced(_))) {
            piece.is_recorded = false;
        }
        piece.batch.mark_sent();
        Ok(result)
    }

    /// Halves a batch that is refused as a whole; a single event is rejected. Returns the pieces to
    /// send, last first.
    async fn split(&self, batch: Batch, reason: &str) -> Result<Vec<Piece>, Cut> {
        let first = batch.record().first;
        match batch.halves() {
            Ok((one, two)) => {
                tracing::debug!(
                    destination = self.name,
                    events = one.len(),
                    reason,
                    "a batch is halved"
                );
                let records = vec![one.record(), two.record()];
                self.keep(|| self.state.replace(&self.name, first, records.clone(), Vec::new()))
                    .await?;
                Ok(vec![Piece::new(two), Piece::new(one)])
            }
            Err(single) => {
                let letters: Vec<_> = single
                    .events()
                    .iter()
                    .map(|event| self.reject(event.clone(), reason))
                    .collect();
                self.settle(&single, letters).await?;
                Ok(Vec::new())
            }
        }
    }

    /// Removes rejected events from a batch; `true` when nothing of it is left to send.
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
            out.into_iter().map(|(index, event)| self.reject(event, reason(index))).collect();
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
        self.keep(|| self.state.replace(&self.name, first, records.clone(), letters.clone()))
            .await?;
        self.rejected(&letters);
        piece.is_recorded = false;
        Ok(false)
    }

    fn reject(&self, event: grantex::GrantexEvent, reason: &str) -> RejectedEvent {
        let reason = redacted(reason);
        tracing::error!(
            destination = self.name,
            event = %event.id,
            reason,
            "the destination rejected this event; it is stored as a dead letter"
        );
        RejectedEvent { event, reason, at_ms: now_ms() }
    }

    /// Counts dead letters that are stored, and reports them.
    fn rejected(&self, letters: &[RejectedEvent]) {
        if !letters.is_empty() {
            self.stats.rejected(letters);
            self.observer.rejected(&self.name, letters);
        }
    }

    /// Records that a batch is settled, and counts its delivered events.
    async fn settle(&self, batch: &Batch, letters: Vec<RejectedEvent>) -> Result<(), Cut> {
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
        letters: Vec<RejectedEvent>,
    ) -> Result<(), Cut> {
        let settle = || self.state.settle(&self.name, first, delivered, letters.clone(), now_ms());
        let cursor = self.keep(settle).await?;
        self.rejected(&letters);
        if let Some(cursor) = cursor {
            self.stats.at(cursor);
        }
        Ok(())
    }

    /// Sends dead letters again that an operator asked for, each separately.
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

    /// `false` when the destination accepts nothing now.
    async fn redeliver_one(
        &self,
        settings: &BatchSettings,
        letter: DeadLetter,
    ) -> Result<bool, Cut> {
        let number = letter.number;
        let Ok(event) = grantex::GrantexEvent::from_json(letter.event.get()) else {
            return Ok(true);
        };
        let mut batch = Batch::redelivery(event.clone(), settings.clone());
        let attempt = async {
            let place = self.destination.place(&batch).await?;
            batch.set_place(place);
            self.destination.send(&batch).await?;
            self.destination.flush().await
        };
        match self.unless_cut(attempt).await? {
            Ok(()) => {
                self.accepted().await?;
                self.keep(async || self.state.drop_dead_letters(&[number]).await).await?;
                self.stats.read(1);
                self.stats.delivered(1);
                tracing::info!(destination = self.name, event = %event.id, "a dead letter was delivered");
                Ok(true)
            }
            Err(
                error @ (SendError::Retry { .. } | SendError::Refused(_) | SendError::Misplaced(_)),
            ) => {
                self.stats.note(&error.to_string());
                tracing::warn!(destination = self.name, %error, "redelivery failed; retrying");
                Ok(false)
            }
            Err(SendError::Over(reason)) => Err(Cut::Over(reason)),
            Err(error) => {
                let letter = self.reject(event, &error.to_string());
                self.keep(|| self.state.add_dead_letter(&self.name, letter.clone())).await?;
                self.stats.read(1);
                self.stats.refused_again(&letter);
                self.observer.rejected(&self.name, &[letter]);
                Ok(true)
            }
        }
    }

    /// The tries of one operation.
    pub(crate) fn tries(&self) -> Tries {
        Tries::new(self.retry, &self.stats)
    }

    /// Reports the failure, and waits until the next try.
    pub(crate) async fn wait(&self, tries: &mut Tries, error: &SendError) -> Result<(), Cut> {
        let delay = tries.failed(error);
        let (reason, failures) = (error.to_string(), tries.failures());
        let needs_action = matches!(error, SendError::Refused(_));
        self.observer.failed(&DeliveryFailure {
            destination: &self.name,
            message: &reason,
            failures,
            needs_action,
            retry_in: Some(delay),
        });
        // Every failure of an outage would drown what else is in the log.
        if needs_action {
            tracing::error!(destination = self.name, %reason, failures, ?delay, "failing: manual action required");
        } else if failures.is_power_of_two() {
            tracing::warn!(destination = self.name, %reason, failures, ?delay, "delivery failed; retrying");
        }
        self.unless_cut(sleep(delay)).await
    }

    /// Repeats a change of the state until it succeeds: nothing is sent that is not recorded.
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
        self.cut.run_until_cancelled(work).await.ok_or(Cut::Stopped)
    }
}
