//! The way of events to one destination, from its checkpoint on.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use grantex::{EventId, GrantexEvent, Progress};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::batch::{Batch, BatchSettings};
use crate::delivery::{Cut, Delivery, Outcome, Piece};
use crate::destination::{BatchLimits, EventDestination, SendError};
use crate::feed::Feed;
use crate::gather::{Gather, Gathered};
use crate::held::Held;
use crate::log::{EventLog, LogError, Start};
use crate::observer::Failure;
use crate::options::OnLostPosition;
use crate::state::{Checkpoint, Gap, InFlight, Report, StateError};
use crate::stats::{Phase, now_ms};
use crate::tries::Tries;

/// How often a pipeline looks after what is not urgent: reports, dead letters to send again.
const TICK: Duration = Duration::from_secs(2);

/// A report that says nothing new is kept this often: `status` takes an older one for a forwarder
/// that is gone.
const HEARTBEAT_MS: u64 = 6000;

/// How long closing a destination may take once stopping has no more time.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// A place that moves without events is written down this often: it only saves reading again.
const CURSOR_INTERVAL: Duration = Duration::from_secs(10);

/// What a gap says where events were deleted too early.
const EVENTS_ARE_GONE: &str =
    "events were deleted before they could be delivered; delivery goes on with the oldest event";

/// What a gap says where the log was moved back or replaced.
const LOG_IS_ANOTHER: &str = "the log does not know the last event that was delivered, so it was restored from an \
     older copy or is another log; it is delivered from its oldest event, and what was delivered before arrives again";

/// Why a pipeline ended for good.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The log does not reach back to the checkpoint, and the policy is to stop.
    #[error(
        "{destination}: events are gone before they could be delivered: {reason}. \
         Set on_lost_position = \"continue\" to go on from the oldest event, with the gap recorded"
    )]
    LostPosition {
        /// The destination.
        destination: String,
        /// What the service said.
        reason: String,
    },
    /// The log does not know the checkpoint, and the policy is to stop.
    #[error(
        "{destination}: the log does not know the last event that was delivered, so it was restored from an older \
         copy or is another log: {reason}. Set on_lost_position = \"continue\" to deliver the log from its oldest \
         event; what was delivered before then arrives again"
    )]
    UnknownPosition {
        /// The destination.
        destination: String,
        /// What the service said.
        reason: String,
    },
    /// The destination will never take anything any more.
    #[error("{destination}: {reason}; it gets no more events")]
    Over {
        /// The destination.
        destination: String,
        /// Why.
        reason: String,
    },
    /// The state cannot be read.
    #[error("{destination}: {source}")]
    State {
        /// The destination.
        destination: String,
        /// Why.
        source: StateError,
    },
}

/// How a pipeline ends early.
enum End {
    Cut(Cut),
    Failed(PipelineError),
}

impl From<Cut> for End {
    fn from(cut: Cut) -> Self {
        Self::Cut(cut)
    }
}

/// One destination, and what it takes to deliver to it.
pub(crate) struct Pipeline<D> {
    pub(crate) delivery: Delivery<D>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) settings: BatchSettings,
    pub(crate) limits: BatchLimits,
    pub(crate) concurrency: usize,
    pub(crate) start: Start,
    pub(crate) on_lost_position: OnLostPosition,
    /// Cancelled when no more is to be read.
    pub(crate) stop: CancellationToken,
}

impl<D: EventDestination> Pipeline<D> {
    /// Runs until it is stopped or cannot go on.
    pub(crate) async fn run(mut self) -> Result<(), PipelineError> {
        let stats = Arc::clone(&self.delivery.stats);
        stats.phase(Phase::Running);
        let ended = match self.deliver_all().await {
            Ok(()) | Err(End::Cut(Cut::Stopped)) => Ok(()),
            Err(End::Cut(Cut::Over(reason))) => {
                Err(PipelineError::Over { destination: self.name().to_owned(), reason })
            }
            Err(End::Failed(error)) => Err(error),
        };
        if let Err(error) = self.close().await {
            tracing::warn!(destination = self.name(), %error, "the destination was not closed in order");
        }
        if let Err(error) = &ended {
            tracing::error!(destination = self.name(), %error, "this destination gets no more events");
            stats.note(&error.to_string());
            self.tell(&error.to_string(), 1, true, None);
        }
        stats.phase(if ended.is_ok() { Phase::Stopped } else { Phase::Failed });
        stats.measure();
        if let Err(error) = self.delivery.state.report(self.name(), stats.report()).await {
            tracing::warn!(destination = self.name(), %error, "the last report was not kept");
        }
        ended
    }

    fn name(&self) -> &str {
        &self.delivery.name
    }

    /// Closes the destination, also where stopping has no more time: it may hold what others wait
    /// for.
    async fn close(&self) -> Result<(), SendError> {
        let no_more_time = async {
            self.delivery.cut.cancelled().await;
            tokio::time::sleep(CLOSE_LIMIT).await;
        };
        tokio::select! {
            closed = self.delivery.destination.close() => closed,
            () = no_more_time => Err(SendError::retry("stopping has no more time")),
        }
    }

    fn tell(&self, message: &str, failures: u32, needs_somebody: bool, retry_in: Option<Duration>) {
        let destination = self.name();
        let failure = Failure { destination, message, failures, needs_somebody, retry_in };
        self.delivery.observer.failed(&failure);
    }

    async fn deliver_all(&mut self) -> Result<(), End> {
        let checkpoint = self.resume().await?;
        let mut start =
            checkpoint.map_or_else(|| self.start.clone(), |place| Start::After(place.cursor));
        if let Some(cursor) = checkpoint.map(|checkpoint| checkpoint.cursor) {
            self.delivery.stats.at(cursor);
        }
        let (recovered, held) = self.recover(&start).await?;
        start = recovered.unwrap_or(start);
        self.follow(start, held).await
    }

    /// Opens the destination and settles where to go on.
    async fn resume(&self) -> Result<Option<Checkpoint>, End> {
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
    async fn recover(&self, start: &Start) -> Result<(Option<Start>, Vec<Piece>), End> {
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

    /// Reads on, batch by batch.
    async fn follow(&mut self, mut start: Start, held: Vec<Piece>) -> Result<(), End> {
        let mut gather = self.open(&start);
        let mut on_their_way = FuturesUnordered::new();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reading = self.delivery.tries();
        let mut reporting = self.delivery.tries();
        let mut held = Held::new(held, self.delivery.tries());
        let mut reopen_at: Option<Instant> = None;
        let mut wants_redelivery = true;
        let mut cursor_written: Option<Instant> = None;
        let mut is_stopping = false;
        let mut reported = Report::default();
        let mut lost: Option<LogError> = None;
        let delivery = &self.delivery;
        loop {
            // What was read before the position was lost is delivered first.
            if let Some(error) = lost.take_if(|_| on_their_way.is_empty()) {
                if is_stopping {
                    return Ok(());
                }
                start = self.lost(error, &start).await?;
                (gather, cursor_written) = (self.open(&start), None);
            }
            if wants_redelivery && on_their_way.is_empty() && !is_stopping {
                delivery.redeliver(&self.settings).await?;
                wants_redelivery = false;
            }
            if is_stopping && !held.is_empty() && on_their_way.is_empty() {
                // They stay in flight: the next start tries them again.
                return Ok(());
            }
            if delivery.is_proven() {
                held.is_proven();
            }
            let is_free = lost.is_none() && (is_stopping || !wants_redelivery) && !held.is_full();
            let may_gather =
                is_free && on_their_way.len() < self.concurrency && reopen_at.is_none();
            let reopening = pin!(sleep_until(reopen_at));
            let trying = pin!(sleep_until(held.try_at()));
            tokio::select! {
                biased;
                () = delivery.cut.cancelled() => return Err(Cut::Stopped.into()),
                () = self.stop.cancelled(), if !is_stopping => {
                    (is_stopping, reopen_at) = (true, None);
                    gather.close();
                }
                Some(outcome) = on_their_way.next(), if !on_their_way.is_empty() => {
                    if let Outcome::Held(pieces, reason) = outcome? {
                        self.hold(&mut held, pieces, &reason);
                    }
                }
                () = trying, if !held.is_empty() && on_their_way.is_empty() => {
                    on_their_way.push(delivery.deliver(held.take()));
                }
                () = reopening, if reopen_at.is_some() => {
                    reopen_at = None;
                    gather = self.open(&start);
                }
                _ = tick.tick() => {
                    wants_redelivery = true;
                    self.look_for_proof(&mut held).await;
                    self.report(&mut reported, &mut reporting).await;
                }
                gathered = gather.next(&delivery.destination), if may_gather => match gathered {
                    Gathered::Batch(events) => {
                        reading.over();
                        if let Some(batch) = Batch::new(events, self.settings.clone()) {
                            start = Start::After(batch.last());
                            on_their_way.push(delivery.deliver(vec![Piece::new(batch)]));
                        }
                    }
                    Gathered::Cursor(id) => {
                        reading.over();
                        start = Start::After(id);
                        if on_their_way.is_empty() && held.is_empty() {
                            delivery.stats.at(id);
                            if cursor_written.is_none_or(|at| at.elapsed() >= CURSOR_INTERVAL) {
                                self.move_to(id).await?;
                                cursor_written = Some(Instant::now());
                            }
                        }
                    }
                    Gathered::Failed(error) => match self.stream_failed(&mut reading, error) {
                        Ok(delay) => reopen_at = Instant::now().checked_add(delay),
                        Err(error) => lost = Some(error),
                    },
                    Gathered::Drained if is_stopping => {
                        while let Some(outcome) = on_their_way.next().await {
                            // What is held stays in flight.
                            let _: Outcome = outcome?;
                        }
                        return Ok(());
                    }
                    Gathered::Drained => {
                        let delay = reading.failed(&SendError::retry("the stream of events ended"));
                        reopen_at = Instant::now().checked_add(delay);
                    }
                }
            }
        }
    }

    /// Looks whether an operator says that the refusals count.
    async fn look_for_proof(&self, held: &mut Held) {
        if held.is_empty() {
            return;
        }
        match self.delivery.look_for_proof().await {
            // They would wait for minutes otherwise.
            Ok(true) => held.is_proven(),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(destination = self.name(), %error, "the state cannot be read");
            }
        }
    }

    /// Keeps what is refused although nothing was accepted yet, and says so.
    fn hold(&self, held: &mut Held, pieces: Vec<Piece>, reason: &str) {
        let name = self.name();
        let error = SendError::refused(format!(
            "{reason}; nothing was accepted since the configuration changed, so no event is given up: is the \
             address right? `grantex forward dead-letters set-aside {name}` makes dead letters of what it refuses"
        ));
        let (failures, delay) = held.add(pieces, &error);
        let reason = error.to_string();
        tracing::error!(destination = name, %reason, failures, ?delay, "failing: manual action required");
        self.tell(&reason, failures, true, Some(delay));
    }

    /// Says why the stream ended, and gives how long to wait; or that the position is lost.
    fn stream_failed(&self, reading: &mut Tries, error: LogError) -> Result<Duration, LogError> {
        let error = match error {
            LogError::Lost(_) | LogError::Unknown(_) => return Err(error),
            LogError::Refused(reason) => SendError::Refused(reason),
            LogError::Broken(reason) => SendError::retry(reason),
        };
        let delay = reading.failed(&error);
        let (reason, needs_somebody) = (error.to_string(), matches!(error, SendError::Refused(_)));
        if needs_somebody {
            tracing::error!(destination = self.name(), %reason, "the service refuses to stream; manual action required");
        } else {
            tracing::warn!(destination = self.name(), %reason, "the stream of events ended; opening it again");
        }
        self.tell(&reason, reading.failures(), needs_somebody, Some(delay));
        Ok(delay)
    }

    fn open(&self, start: &Start) -> Gather {
        let feed = Feed::open(
            Arc::clone(&self.log),
            self.settings.filter.clone(),
            start.clone(),
            Arc::clone(&self.delivery.stats),
        );
        Gather::new(feed, self.limits)
    }

    /// The log does not have `from`: stops, or records the gap and says where to go on.
    async fn lost(&self, error: LogError, from: &Start) -> Result<Start, End> {
        let destination = self.name().to_owned();
        let (is_unknown, reason) = (matches!(error, LogError::Unknown(_)), error.to_string());
        if self.on_lost_position == OnLostPosition::Stop {
            return Err(End::Failed(if is_unknown {
                PipelineError::UnknownPosition { destination, reason }
            } else {
                PipelineError::LostPosition { destination, reason }
            }));
        }
        let what = if is_unknown { LOG_IS_ANOTHER } else { EVENTS_ARE_GONE };
        tracing::error!(destination, reason, "{what}");
        let reason = format!("{what}: {reason}");
        self.delivery.stats.gap(&reason);
        let after = match from {
            Start::After(id) => Some(id.to_string()),
            _ => None,
        };
        let gap = Gap { destination, after, at_ms: now_ms(), reason };
        self.delivery.keep(|| self.delivery.state.record_gap(gap.clone())).await?;
        Ok(Start::Since("1970-01-01T00:00:00Z".into()))
    }

    async fn move_to(&self, cursor: EventId) -> Result<(), End> {
        let checkpoint = Checkpoint { cursor, delivered: None };
        let write = || self.delivery.state.move_to(self.name(), checkpoint, now_ms());
        Ok(self.delivery.keep(write).await?)
    }

    /// Keeps a report where it says something new, and now and then to say that the pipeline lives.
    /// Also tells a pipeline that has nothing to deliver that its state is lost.
    async fn report(&self, last: &mut Report, tries: &mut Tries) {
        self.delivery.stats.measure();
        let report = self.delivery.stats.report();
        let is_news = Report { at_ms: last.at_ms, ..report.clone() } != *last;
        let is_due = is_news || report.at_ms.saturating_sub(last.at_ms) >= HEARTBEAT_MS;
        let kept = if is_due {
            self.delivery.state.report(self.name(), report.clone()).await
        } else {
            self.delivery.state.is_in_place()
        };
        match kept {
            Ok(()) => tries.over(),
            Err(error) => {
                let error = SendError::from(error);
                let delay = tries.failed(&error);
                let reason = error.to_string();
                if tries.failures() == 1 {
                    tracing::error!(destination = self.name(), %reason, "the report was not kept");
                }
                self.tell(&reason, tries.failures(), true, Some(delay));
            }
        }
        if is_due {
            last.clone_from(&report);
        }
    }

    fn broken(&self, source: StateError) -> End {
        End::Failed(PipelineError::State { destination: self.name().to_owned(), source })
    }

    /// For what happens before anything is in flight: stopping does not wait for it.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, End> {
        self.stop.run_until_cancelled(work).await.ok_or(End::Cut(Cut::Stopped))
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

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
