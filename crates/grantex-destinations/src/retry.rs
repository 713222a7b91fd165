//! When to try again.

use std::time::Duration;

use grantex::internal::{delay, random};

/// Waiting between tries: exponential with full jitter, never beyond a cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The first wait is a random part of this, each further one of twice as much.
    pub base: Duration,
    /// No wait is longer, unless the receiver asks for it.
    pub cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { base: Duration::from_millis(500), cap: Duration::from_secs(60) }
    }
}

/// The longest `Retry-After` that is waited for: beyond it the next try shows whether it still
/// holds.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// The tries of one thing.
#[derive(Debug)]
pub(crate) struct Backoff {
    policy: RetryPolicy,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        Self { policy, failures: 0 }
    }

    /// How long to wait after one more failure; at least as long as the receiver asks.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let delay = delay(self.failures, self.policy.base, self.policy.cap, random());
        self.failures = self.failures.saturating_add(1);
        delay.max(asked.unwrap_or_default().min(LONGEST_ASKED))
    }

    /// Waits where only a person can help: half of the cap at least, so that it is not hammered.
    pub(crate) fn next_refused(&mut self) -> Duration {
        // The first tries come soon: a key may be rotating right now.
        let floor = if self.failures < 3 { Duration::ZERO } else { self.policy.cap.mul_f64(0.5) };
        self.next(None).max(floor)
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asked_wait_is_kept_within_reason_and_a_refusal_waits_long() {
        let policy = RetryPolicy { base: Duration::from_secs(1), cap: Duration::from_secs(10) };
        let mut backoff = Backoff::new(policy);
        backoff.failures = 3;
        assert!(backoff.next(Some(Duration::from_secs(99))) >= Duration::from_secs(99));
        assert!(backoff.next(Some(Duration::MAX)) <= LONGEST_ASKED);
        assert!(backoff.next_refused() >= Duration::from_secs(5));
    }
}
