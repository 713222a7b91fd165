//! Limits that were reached: counted each time, logged now and then.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often the log says it: whoever runs into a limit does so thousands of times a second.
const PAUSE: Duration = Duration::from_secs(10);

/// A limit of the whole service, which an operator wants to know about.
pub(crate) struct Reached {
    limit: &'static str,
    logged: Mutex<Logged>,
}

struct Logged {
    at: Option<Instant>,
    /// How often it was reached since then.
    since: u64,
}

impl Reached {
    /// By its name in metrics and in the log.
    pub(crate) const fn new(limit: &'static str) -> Self {
        Self { limit, logged: Mutex::new(Logged { at: None, since: 0 }) }
    }

    /// It was reached. `what` says what that means, and what sets it.
    pub(crate) fn note(&self, what: &str) {
        metrics::counter!("grantex_limits_reached_total", "limit" => self.limit).increment(1);
        if let Some(times) = self.due(Instant::now()) {
            tracing::warn!(limit = self.limit, times, "a limit was reached: {what}");
        }
    }

    /// How often it was reached, if it is time to say so.
    fn due(&self, now: Instant) -> Option<u64> {
        let mut logged = self.logged.lock();
        logged.since = logged.since.saturating_add(1);
        if logged.at.is_some_and(|at| now.saturating_duration_since(at) < PAUSE) {
            return None;
        }
        logged.at = Some(now);
        Some(std::mem::take(&mut logged.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_times_are_one_line() {
        let (reached, start) = (Reached::new("test"), Instant::now());
        assert_eq!(reached.due(start), Some(1));
        for _ in 0..5 {
            assert_eq!(reached.due(start + PAUSE / 2), None);
        }
        assert_eq!(reached.due(start + PAUSE), Some(6));
    }
}
