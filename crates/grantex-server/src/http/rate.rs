//! Rate limits: a token bucket for each API key, and for each address on public routes; and a
//! bound on how many requests of one developer are worked on at a time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use grantex_types::{DeveloperId, ErrorCode};
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;

use super::error::ApiError;

/// Buckets kept at most; beyond it, those that are full again (and so say nothing) are dropped.
const MOST_BUCKETS: usize = 65_536;

/// Token buckets by key.
pub(crate) struct Buckets<K> {
    per_second: f64,
    burst: f64,
    by_key: Mutex<HashMap<K, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// What a caller has left, as the `x-ratelimit-*` headers say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    limit: u64,
    remaining: u64,
    /// Seconds until the bucket is full.
    reset: u64,
}

impl<K: Eq + Hash> Buckets<K> {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second: f64::from(per_second),
            burst: f64::from(burst.max(1)),
            by_key: Mutex::new(HashMap::new()),
        }
    }

    /// Takes a token of `key`. `None` when limits are switched off.
    pub(crate) fn take(&self, key: K, now: Instant) -> Option<Result<Allowance, (Allowance, ApiError)>> {
        if self.per_second <= 0.0 {
            return None;
        }
        let mut by_key = self.by_key.lock();
        if by_key.len() >= MOST_BUCKETS {
            by_key.retain(|_, bucket| self.filled(*bucket, now) < self.burst);
        }
        let fresh = Bucket { tokens: self.burst, at: now };
        let tokens = self.filled(by_key.get(&key).copied().unwrap_or(fresh), now);
        let taken = tokens >= 1.0;
        let left = if taken { tokens - 1.0 } else { tokens };
        by_key.insert(key, Bucket { tokens: left, at: now });
        drop(by_key);
        let allowance = Allowance {
            limit: whole(self.burst),
            remaining: whole(left),
            reset: whole(((self.burst - left) / self.per_second).ceil()),
        };
        if taken {
            return Some(Ok(allowance));
        }
        let wait = whole(((1.0 - left) / self.per_second).ceil()).max(1);
        let error =
            ApiError::new(ErrorCode::RateLimited, format!("too many requests; try again in {wait} s"));
        Some(Err((allowance, error.retry_after(wait))))
    }

    fn filled(&self, bucket: Bucket, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        passed.mul_add(self.per_second, bucket.tokens).min(self.burst)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "never negative, bounded by u32")]
fn whole(value: f64) -> u64 {
    value as u64
}

/// Requests of one developer that may be worked on at a time: an eighth of what the writer's queue
/// holds, so that one tenant's burst leaves room for the others'.
const MOST_IN_FLIGHT: usize = 512;

/// How many requests of each developer are being worked on.
#[derive(Default)]
pub(crate) struct InFlight(Mutex<HashMap<DeveloperId, usize>>);

impl InFlight {
    /// Counts a request until the answer's head is ready.
    pub(crate) fn enter(self: &Arc<Self>, developer: DeveloperId) -> Result<Entered, ApiError> {
        let mut counts = self.0.lock();
        let count = counts.entry(developer).or_default();
        if *count >= MOST_IN_FLIGHT {
            let message =
                format!("{MOST_IN_FLIGHT} requests of this developer are being worked on; try again");
            return Err(ApiError::new(ErrorCode::RateLimited, message).retry_after(1));
        }
        *count = count.saturating_add(1);
        Ok(Entered { among: Arc::clone(self), developer })
    }
}

/// A request that is counted; dropping it ends the count.
pub(crate) struct Entered {
    among: Arc<InFlight>,
    developer: DeveloperId,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut counts = self.among.0.lock();
        if let Some(count) = counts.get_mut(&self.developer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.developer);
            }
        }
    }
}

/// What limits know of a request: how the one that applied reaches the headers of the answer, and
/// the count that ends with it.
#[derive(Clone, Default)]
pub(crate) struct RateSlot(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    allowance: Option<Allowance>,
    entered: Option<Entered>,
}

impl RateSlot {
    /// Notes the outcome of a [`Buckets::take`].
    pub(crate) fn note(
        &self,
        taken: Option<Result<Allowance, (Allowance, ApiError)>>,
    ) -> Result<(), ApiError> {
        match taken {
            None => Ok(()),
            Some(Ok(allowance)) => {
                self.0.lock().allowance = Some(allowance);
                Ok(())
            }
            Some(Err((allowance, error))) => {
                self.0.lock().allowance = Some(allowance);
                Err(error)
            }
        }
    }

    /// Keeps the count until the request is answered.
    pub(crate) fn hold(&self, entered: Entered) {
        self.0.lock().entered = Some(entered);
    }

    pub(crate) fn write_headers(&self, headers: &mut HeaderMap) {
        let Some(allowance) = self.0.lock().allowance else { return };
        for (name, value) in [
            ("x-ratelimit-limit", allowance.limit),
            ("x-ratelimit-remaining", allowance.remaining),
            ("x-ratelimit-reset", allowance.reset),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let buckets = Buckets::new(10, 3);
        let start = Instant::now();
        for left in [2, 1, 0] {
            let allowance = buckets.take("key", start).unwrap().unwrap();
            assert_eq!((allowance.limit, allowance.remaining), (3, left));
        }
        let (_, error) = buckets.take("key", start).unwrap().unwrap_err();
        assert_eq!(error.code, ErrorCode::RateLimited);
        assert!(buckets.take("other", start).unwrap().is_ok(), "one key's use is not another's");
        assert!(buckets.take("key", start + Duration::from_millis(100)).unwrap().is_ok());
    }

    #[test]
    fn one_tenants_burst_leaves_room() {
        let (one, two) = (DeveloperId::from_parts(0, 1), DeveloperId::from_parts(0, 2));
        let all = Arc::new(InFlight::default());
        let mut held: Vec<_> = (0..MOST_IN_FLIGHT).map(|_| all.enter(one).ok().unwrap()).collect();
        assert!(all.enter(one).is_err() && all.enter(two).is_ok());
        held.pop();
        assert!(all.enter(one).is_ok());
        drop(held);
        assert!(all.0.lock().is_empty());
    }

    #[test]
    fn zero_switches_off() {
        assert!(Buckets::new(0, 0).take((), Instant::now()).is_none());
    }
}
