//! The tries of one operation, and its status meanwhile.

use std::sync::Arc;
use std::time::Duration;

use crate::destination::SendError;
use crate::retry::{Backoff, RetryPolicy};
use crate::stats::Stats;

/// The tries of one thing that a pipeline does: how long it waits between them, and whether it is
/// in trouble.
#[derive(Debug)]
pub(crate) struct Tries {
    backoff: Backoff,
    stats: Arc<Stats>,
    /// Its entry among the pipeline's troubles, while it fails.
    trouble: Option<u64>,
}

impl Tries {
    pub(crate) fn new(policy: RetryPolicy, stats: &Arc<Stats>) -> Self {
        Self { backoff: Backoff::new(policy), stats: Arc::clone(stats), trouble: None }
    }

    /// One more has failed. Gives how long to wait for the next.
    pub(crate) fn failed(&mut self, error: &SendError) -> Duration {
        let needs_action = matches!(error, SendError::Refused(_));
        self.trouble = Some(self.stats.in_trouble(self.trouble, &error.to_string(), needs_action));
        match error {
            SendError::Refused(_) => self.backoff.next_refused(),
            SendError::Retry { after, .. } => self.backoff.next(*after),
            _ => self.backoff.next(None),
        }
    }

    /// How many have failed in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.backoff.failures()
    }

    /// It has succeeded.
    pub(crate) fn over(&mut self) {
        self.backoff.reset();
        if let Some(trouble) = self.trouble.take() {
            self.stats.recovered(trouble);
        }
    }
}
