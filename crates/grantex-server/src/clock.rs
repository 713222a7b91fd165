//! The machine's clock, which the wiring gives to the service and the store.

use std::time::SystemTime;

use grantex_core::env::Clock;
use grantex_types::Timestamp;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(since.as_millis().try_into().unwrap_or(u64::MAX))
    }
}
