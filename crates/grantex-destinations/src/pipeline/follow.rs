//! The main part of a pipeline: reads the log, and delivers it batch by batch.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use grantex::EventId;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::{End, Pipeline};
use crate::batch::Batch;
use crate::delivery::{Cut, Outcome, Piece};
use crate::destination::{EventDestination, SendError};
use crate::feed::Feed;
use crate::gather::{Gather, Gathered};
use crate::held::Held;
use crate::log::{LogError, Start};
use crate::state::Checkpoint;
use crate::stats::now_ms;
use crate::tries::Tries;

/// How often a pipeline looks for dead letters to send again.
const TICK: Duration = Duration::from_secs(2);

/// A cursor that moves without events is recorded this often: it only saves reading again.
const CURSOR_INTERVAL: Duration = Duration::from_secs(10);

/// A pipeline while it follows the log. [`run`](Self::run) repeats three steps: [`prepare`] does
/// what has to be done before anything else is read, [`next`] waits for the next [`Step`], and
/// [`take`] acts on it.
///
/// [`prepare`]: Self::prepare
/// [`next`]: Self::next
/// [`take`]: Self::take
pub(super) struct Follow<'a, D> {
    pipeline: &'a Pipeline<D>,
    /// The log is opened here when it has to be opened again.
    start: Start,
    gather: Gather,
    /// Batches that are being delivered.
    sending: FuturesUnordered<BoxFuture<'a, Result<Outcome, Cut>>>,
    /// What the destination refuses, although it has accepted nothing yet.
    held: Held,
    reading: Tries,
    /// When the log is opened again, after it failed.
    reopen_at: Option<Instant>,
    /// The log does not have the position. What was read before is delivered first.
    lost: Option<LogError>,
    redelivery_is_due: bool,
    cursor_written: Option<Instant>,
    is_stopping: bool,
    tick: Interval,
}

/// What a pipeline acts on next.
enum Step {
    /// The forwarder stops.
    Stop,
    /// A delivery has ended.
    Delivered(Result<Outcome, Cut>),
    /// What is held is tried again.
    TryHeld,
    /// The log is opened again.
    Reopen,
    Tick,
    Gathered(Gathered),
}

/// Whether a pipeline continues.
enum Then {
    Continue,
    End,
}

impl<'a, D: EventDestination> Follow<'a, D> {
    pub(super) fn new(pipeline: &'a Pipeline<D>, start: Start, held: Vec<Piece>) -> Self {
        let tries = || pipeline.delivery.tries();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            gather: open(pipeline, &start),
            pipeline,
            start,
            sending: FuturesUnordered::new(),
            held: Held::new(held, tries()),
            reading: tries(),
            reopen_at: None,
            lost: None,
            redelivery_is_due: true,
            cursor_written: None,
            is_stopping: false,
            tick,
        }
    }

    /// Reads and delivers until it is stopped or cannot go on.
    pub(super) async fn run(mut self) -> Result<(), End> {
        loop {
            if let Then::End = self.prepare().await? {
                return Ok(());
            }
            let step = self.next().await?;
            if let Then::End = self.take(step).await? {
                return Ok(());
            }
        }
    }

    async fn prepare(&mut self) -> Result<Then, End> {
        let delivery = &self.pipeline.delivery;
        if self.sending.is_empty() {
            // What is held stays in flight: the next start tries it again.
            if self.is_stopping && (self.lost.is_some() || !self.held.is_empty()) {
                return Ok(Then::End);
            }
            if let Some(error) = self.lost.take() {
                self.start = self.pipeline.lost(error, &self.start).await?;
                self.gather = open(self.pipeline, &self.start);
                self.cursor_written = None;
            }
            if self.redelivery_is_due && !self.is_stopping {
                delivery.redeliver(&self.pipeline.settings).await?;
                self.redelivery_is_due = false;
            }
        }
        if delivery.is_proven() {
            self.held.is_proven();
        }
        Ok(Then::Continue)
    }

    /// Cancel-safe in each of its branches: an item that is not taken is returned by the next call.
    async fn next(&mut self) -> Result<Step, End> {
        let Pipeline { delivery, stop, concurrency, .. } = self.pipeline;
        let may_gather = self.lost.is_none()
            && (self.is_stopping || !self.redelivery_is_due)
            && !self.held.is_full()
            && self.sending.len() < *concurrency
            && self.reopen_at.is_none();
        let reopening = pin!(sleep_until(self.reopen_at));
        let trying = pin!(sleep_until(self.held.try_at()));
        let step = tokio::select! {
            biased;
            () = delivery.cut.cancelled() => return Err(Cut::Stopped.into()),
            () = stop.cancelled(), if !self.is_stopping => Step::Stop,
            Some(outcome) = self.sending.next(), if !self.sending.is_empty() => {
                Step::Delivered(outcome)
            }
            () = trying, if !self.held.is_empty() && self.sending.is_empty() => Step::TryHeld,
            () = reopening, if self.reopen_at.is_some() => Step::Reopen,
            _ = self.tick.tick() => Step::Tick,
            gathered = self.gather.next(&delivery.destination), if may_gather => {
                Step::Gathered(gathered)
            }
        };
        Ok(step)
    }

    async fn take(&mut self, step: Step) -> Result<Then, End> {
        match step {
            Step::Stop => {
                (self.is_stopping, self.reopen_at) = (true, None);
                self.gather.close();
            }
            Step::Delivered(outcome) => {
                if let Outcome::Held(pieces, reason) = outcome? {
                    self.hold(pieces, &reason);
                }
            }
            Step::TryHeld => {
                let pieces = self.held.take();
                self.deliver(pieces);
            }
            Step::Reopen => {
                self.reopen_at = None;
                self.gather = open(self.pipeline, &self.start);
            }
            Step::Tick => {
                self.redelivery_is_due = true;
                self.look_for_proof().await;
            }
            Step::Gathered(gathered) => return self.take_gathered(gathered).await,
        }
        Ok(Then::Continue)
    }

    async fn take_gathered(&mut self, gathered: Gathered) -> Result<Then, End> {
        match gathered {
            Gathered::Batch(events) => {
                self.reading.over();
                if let Some(batch) = Batch::new(events, self.pipeline.settings.clone()) {
                    self.start = Start::After(batch.last());
                    self.deliver(vec![Piece::new(batch)]);
                }
            }
            Gathered::Cursor(id) => {
                self.reading.over();
                self.start = Start::After(id);
                if self.sending.is_empty() && self.held.is_empty() {
                    self.move_to(id).await?;
                }
            }
            Gathered::Failed(error) => self.stream_failed(error),
            Gathered::Drained if self.is_stopping => {
                while let Some(outcome) = self.sending.next().await {
                    // What is held stays in flight.
                    let _: Outcome = outcome?;
                }
                return Ok(Then::End);
            }
            Gathered::Drained => {
                let delay = self.reading.failed(&SendError::retry("the stream of events ended"));
                self.reopen_at = Instant::now().checked_add(delay);
            }
        }
        Ok(Then::Continue)
    }

    fn deliver(&self, pieces: Vec<Piece>) {
        self.sending.push(Box::pin(self.pipeline.delivery.deliver(pieces)));
    }

    /// Keeps what is refused although nothing was accepted yet, and reports it.
    fn hold(&mut self, pieces: Vec<Piece>, reason: &str) {
        let name = self.pipeline.name();
        let error = SendError::refused(format!(
            "{reason}; the destination has accepted nothing since its configuration changed, so no \
             event becomes a dead letter: check the address, or run `grantex forward dead-letters \
             set-aside {name}` to make dead letters of what it refuses"
        ));
        let (failures, delay) = self.held.add(pieces, &error);
        let reason = error.to_string();
        tracing::error!(destination = name, %reason, failures, ?delay, "failing: manual action required");
        self.pipeline.notify(&reason, failures, true, Some(delay));
    }

    /// Looks whether an operator has decided that the refusals count. What is held would wait for
    /// minutes otherwise.
    async fn look_for_proof(&mut self) {
        if self.held.is_empty() {
            return;
        }
        match self.pipeline.delivery.look_for_proof().await {
            Ok(true) => self.held.is_proven(),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(destination = self.pipeline.name(), %error, "the state cannot be read");
            }
        }
    }

    /// The stream ended with an error: settles when it is opened again, or that the position is
    /// lost.
    fn stream_failed(&mut self, error: LogError) {
        let error = match error {
            LogError::Lost(_) | LogError::Unknown(_) => {
                self.lost = Some(error);
                return;
            }
            LogError::Refused(reason) => SendError::Refused(reason),
            LogError::Broken(reason) => SendError::retry(reason),
        };
        let delay = self.reading.failed(&error);
        let (reason, needs_action) = (error.to_string(), matches!(error, SendError::Refused(_)));
        let destination = self.pipeline.name();
        if needs_action {
            tracing::error!(destination, %reason, "the service refuses to stream: manual action required");
        } else {
            tracing::warn!(destination, %reason, "the stream of events ended; opening it again");
        }
        self.pipeline.notify(&reason, self.reading.failures(), needs_action, Some(delay));
        self.reopen_at = Instant::now().checked_add(delay);
    }

    /// Everything up to `cursor` is hidden by the filter.
    async fn move_to(&mut self, cursor: EventId) -> Result<(), End> {
        let delivery = &self.pipeline.delivery;
        delivery.stats.at(cursor);
        if self.cursor_written.is_none_or(|at| at.elapsed() >= CURSOR_INTERVAL) {
            let checkpoint = Checkpoint { cursor, delivered: None };
            delivery
                .keep(|| delivery.state.move_to(self.pipeline.name(), checkpoint, now_ms()))
                .await?;
            self.cursor_written = Some(Instant::now());
        }
        Ok(())
    }
}

fn open<D>(pipeline: &Pipeline<D>, start: &Start) -> Gather {
    let feed = Feed::open(
        Arc::clone(&pipeline.log),
        pipeline.settings.filter.clone(),
        start.clone(),
        Arc::clone(&pipeline.delivery.stats),
    );
    Gather::new(feed, pipeline.limits)
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
