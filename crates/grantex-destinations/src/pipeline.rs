//! Delivers the log to one destination, from its checkpoint on.

mod follow;
mod reporting;
mod resume;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::follow::Follow;
use self::reporting::Reporting;
use crate::batch::BatchSettings;
use crate::delivery::{Cut, Delivery};
use crate::destination::{BatchLimits, EventDestination, SendError};
use crate::error::PipelineError;
use crate::log::{EventLog, LogError, Start};
use crate::observer::DeliveryFailure;
use crate::options::OnLostPosition;
use crate::state::{Gap, StateError};
use crate::stats::{Phase, now_ms};

/// How long closing a destination may take once stopping has no more time.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// The reason of a gap where events were deleted too early.
const EVENTS_ARE_GONE: &str =
    "events were deleted before they could be delivered; delivery continues with the oldest event";

/// The reason of a gap where the log was moved back or replaced.
const LOG_IS_ANOTHER: &str = "the log does not have the last event that was delivered, so it was \
     restored from an older copy or is another log; it is delivered from its oldest event, and \
     what was delivered before arrives again";

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
    pub(crate) async fn run(self) -> Result<(), PipelineError> {
        let stats = Arc::clone(&self.delivery.stats);
        stats.phase(Phase::Running);
        let has_ended = CancellationToken::new();
        let delivering = async {
            let ended = self.deliver_all().await;
            has_ended.cancel();
            ended
        };
        let (ended, ()) = tokio::join!(delivering, Reporting::new(&self).run(&has_ended));
        let ended = match ended {
            Ok(()) | Err(End::Cut(Cut::Stopped)) => Ok(()),
            Err(End::Cut(Cut::Over(reason))) => {
                Err(PipelineError::Over { destination: self.name().to_owned(), reason })
            }
            Err(End::Failed(error)) => Err(error),
        };
        if let Err(error) = self.close().await {
            tracing::warn!(destination = self.name(), %error, "the destination could not be closed");
        }
        if let Err(error) = &ended {
            tracing::error!(destination = self.name(), %error, "this destination has ended: it receives no more events");
            stats.note(&error.to_string());
            self.notify(&error.to_string(), 1, true, None);
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

    fn notify(&self, message: &str, failures: u32, needs_action: bool, retry_in: Option<Duration>) {
        let destination = self.name();
        let failure = DeliveryFailure { destination, message, failures, needs_action, retry_in };
        self.delivery.observer.failed(&failure);
    }

    async fn deliver_all(&self) -> Result<(), End> {
        let checkpoint = self.resume().await?;
        let start = checkpoint.map_or_else(|| self.start.clone(), |kept| Start::After(kept.cursor));
        if let Some(cursor) = checkpoint.map(|checkpoint| checkpoint.cursor) {
            self.delivery.stats.at(cursor);
        }
        let (recovered, held) = self.recover(&start).await?;
        Follow::new(self, recovered.unwrap_or(start), held).run().await
    }

    /// The log does not have `from`: stops, or records the gap and returns where to continue.
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

    fn broken(&self, source: StateError) -> End {
        End::Failed(PipelineError::State { destination: self.name().to_owned(), source })
    }

    /// For what happens before anything is in flight: stopping does not wait for it.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, End> {
        self.stop.run_until_cancelled(work).await.ok_or(End::Cut(Cut::Stopped))
    }
}
