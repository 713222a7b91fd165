//! The reports of a pipeline, which `status` shows.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use crate::destination::{EventDestination, SendError};
use crate::state::Report;
use crate::tries::Tries;

/// How often a pipeline looks whether there is something to report.
const TICK: Duration = Duration::from_secs(2);

/// An unchanged report is stored this often: `status` takes an older one for a forwarder that has
/// ended.
const HEARTBEAT_MS: u64 = 6000;

/// Reports what a pipeline does, beside it: a pipeline may wait for its destination at any point,
/// also before it reads the log.
pub(super) struct Reporting<'a, D> {
    pipeline: &'a Pipeline<D>,
    last: Report,
    tries: Tries,
}

impl<'a, D: EventDestination> Reporting<'a, D> {
    pub(super) fn new(pipeline: &'a Pipeline<D>) -> Self {
        Self { pipeline, last: Report::default(), tries: pipeline.delivery.tries() }
    }

    /// Reports at once and until `ended`. Completes a report that is being stored, so that it
    /// cannot replace the pipeline's last one.
    pub(super) async fn run(mut self, ended: &CancellationToken) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while ended.run_until_cancelled(tick.tick()).await.is_some() {
            self.report().await;
        }
    }

    /// Stores a report when it has changed, and every few seconds to show that the pipeline runs. A
    /// pipeline that has nothing to deliver notices here that its state is lost.
    async fn report(&mut self) {
        let delivery = &self.pipeline.delivery;
        delivery.stats.measure();
        let report = delivery.stats.report();
        let last = &self.last;
        let is_news = Report { at_ms: last.at_ms, ..report.clone() } != *last;
        let is_due = is_news || report.at_ms.saturating_sub(last.at_ms) >= HEARTBEAT_MS;
        let kept = if is_due {
            delivery.state.report(self.pipeline.name(), report.clone()).await
        } else {
            delivery.state.is_in_place()
        };
        match kept {
            Ok(()) => self.tries.over(),
            Err(error) => {
                let error = SendError::from(error);
                let delay = self.tries.failed(&error);
                let (reason, failures) = (error.to_string(), self.tries.failures());
                if failures == 1 {
                    let destination = self.pipeline.name();
                    tracing::error!(destination, %reason, "the report was not kept");
                }
                self.pipeline.notify(&reason, failures, true, Some(delay));
            }
        }
        if is_due {
            self.last = report;
        }
    }
}
