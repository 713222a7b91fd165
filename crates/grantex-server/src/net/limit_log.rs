//! Limits of the whole service: counted each time they are reached, logged every 10 s at most.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The shortest time between two log lines about one limit: a client that reaches a limit does so
/// thousands of times a second.
const PAUSE: Duration = Duration::from_secs(10);

/// The counter and the log of one limit, for the operator.
pub(crate) struct LimitLog {
    limit: &'static str,
    state: Mutex<State>,
}

struct State {
    logged_at: Option<Instant>,
    /// How often the limit was reached since then.
    since: u64,
}

impl LimitLog {
    /// `limit` is its name in metrics and in the log.
    pub(crate) const fn new(limit: &'static str) -> Self {
        Self { limit, state: Mutex::new(State { logged_at: None, since: 0 }) }
    }

    /// The limit was reached. `effect` says what happens then, and which setting changes it.
    pub(crate) fn reached(&self, effect: &str) {
        metrics::counter!("grantex_limits_reached_total", "limit" => self.limit).increment(1);
        if let Some(times) = self.due(Instant::now()) {
            tracing::warn!(limit = self.limit, times, "limit reached: {effect}");
        }
    }

    /// How often the limit was reached since the last log line, if the next one is due.
    fn due(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        state.since = state.since.saturating_add(1);
        if state.logged_at.is_some_and(|at| now.saturating_duration_since(at) < PAUSE) {
            return None;
        }
        state.logged_at = Some(now);
        Some(std::mem::take(&mut state.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_times_are_one_line() {
        let (limit, start) = (LimitLog::new("test"), Instant::now());
        assert_eq!(limit.due(start), Some(1));
        for _ in 0..5 {
            assert_eq!(limit.due(start + PAUSE / 2), None);
        }
        assert_eq!(limit.due(start + PAUSE), Some(6));
    }
}
