//! Rate limits: token buckets by developer, API key, address and ticket.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use grantex_types::{DeveloperId, ErrorCode, KeyId};
use parking_lot::Mutex;

use super::error::ApiError;
use crate::net::address::ClientAddress;
use crate::settings::{Rate, Rates};

/// Buckets kept at most. Beyond that, buckets that are full again are dropped: they carry no
/// information.
const MOST_BUCKETS: usize = 65_536;
/// The shortest time between two searches for full buckets: each looks at all buckets.
const SWEEP: Duration = Duration::from_secs(1);

/// All rate limits.
pub(crate) struct RateLimits {
    pub(crate) developer: Buckets<DeveloperId>,
    pub(crate) key: Buckets<KeyId>,
    pub(crate) address: Buckets<ClientAddress>,
    /// By the ticket's hash.
    pub(crate) ticket: Buckets<[u8; 32]>,
    signup_address: Buckets<ClientAddress>,
    signup: Buckets<()>,
}

impl RateLimits {
    pub(crate) fn new(rates: &Rates) -> Self {
        Self {
            developer: Buckets::new("requests", rates.developer),
            key: Buckets::new("requests with this API key", rates.key),
            address: Buckets::new("requests from this address", rates.address),
            ticket: Buckets::new("streams opened with this ticket", rates.ticket),
            signup_address: Buckets::new("signups from this address", rates.signup_address),
            signup: Buckets::new("signups", rates.signup),
        }
    }

    /// Counts a signup that is about to be made.
    pub(crate) fn take_signup(&self, from: ClientAddress, now: Instant) -> Result<(), ApiError> {
        // The address first: beyond its own limit it must take nothing from other addresses.
        let refused = |(_, error)| error;
        self.signup_address.take(from, now).transpose().map_err(refused)?;
        self.signup.take((), now).transpose().map_err(refused)?;
        Ok(())
    }
}

/// Token buckets by key.
pub(crate) struct Buckets<K> {
    /// What is limited, for the error's message.
    what: &'static str,
    per_second: f64,
    burst: f64,
    state: Mutex<State<K>>,
}

struct State<K> {
    by_key: HashMap<K, Bucket>,
    /// Shared by the keys for which there is no bucket of their own.
    others: Bucket,
    swept: Instant,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// The tokens that are left, for the `x-ratelimit-*` headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) limit: u64,
    pub(crate) remaining: u64,
    /// Seconds until the bucket is full.
    pub(crate) reset: u64,
}

/// The outcome of taking tokens; `None` when the limit is switched off.
pub(crate) type Taken = Option<Result<Allowance, (Allowance, ApiError)>>;

impl<K: Eq + Hash> Buckets<K> {
    pub(crate) fn new(what: &'static str, rate: Rate) -> Self {
        let (burst, now) = (f64::from(rate.burst.max(1)), Instant::now());
        let others = Bucket { tokens: burst, at: now };
        let state = State { by_key: HashMap::new(), others, swept: now };
        Self { what, per_second: rate.per_second, burst, state: Mutex::new(state) }
    }

    /// Takes one token of `key`.
    pub(crate) fn take(&self, key: K, now: Instant) -> Taken {
        self.take_many(key, 1, now)
    }

    /// Takes `count` tokens of `key`, but no more than a full bucket has.
    pub(crate) fn take_many(&self, key: K, count: u32, now: Instant) -> Taken {
        if self.per_second <= 0.0 {
            return None;
        }
        let wanted = f64::from(count).min(self.burst);
        let mut state = self.state.lock();
        if state.by_key.len() >= MOST_BUCKETS && now.saturating_duration_since(state.swept) >= SWEEP
        {
            state.swept = now;
            state.by_key.retain(|_, bucket| self.filled(*bucket, now) < self.burst);
        }
        let has_room = state.by_key.len() < MOST_BUCKETS || state.by_key.contains_key(&key);
        let fresh = Bucket { tokens: self.burst, at: now };
        let State { by_key, others, .. } = &mut *state;
        let bucket = if has_room { by_key.entry(key).or_insert(fresh) } else { others };
        let tokens = self.filled(*bucket, now);
        let taken = tokens >= wanted;
        let left = if taken { tokens - wanted } else { tokens };
        *bucket = Bucket { tokens: left, at: now };
        drop(state);
        let allowance = Allowance {
            limit: whole(self.burst),
            remaining: whole(left),
            reset: whole(((self.burst - left) / self.per_second).ceil()),
        };
        if taken {
            return Some(Ok(allowance));
        }
        let wait = whole(((wanted - left) / self.per_second).ceil()).max(1);
        let message = format!("too many {}; try again in {wait} s", self.what);
        let error = ApiError::new(ErrorCode::RateLimited, message);
        Some(Err((allowance, error.retry_after(wait))))
    }

    fn filled(&self, bucket: Bucket, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        passed.mul_add(self.per_second, bucket.tokens).min(self.burst)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never negative, bounded by u32"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let buckets = Buckets::new("requests", Rate { per_second: 10.0, burst: 3 });
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
    fn what_costs_more_than_a_burst_takes_all_of_it() {
        let buckets = Buckets::new("requests", Rate { per_second: 1.0, burst: 3 });
        let start = Instant::now();
        assert_eq!(buckets.take_many((), 9, start).unwrap().unwrap().remaining, 0);
        let (_, error) = buckets.take_many((), 2, start).unwrap().unwrap_err();
        assert_eq!(error.message, "too many requests; try again in 2 s");
    }

    #[test]
    fn buckets_are_bounded_whoever_comes() {
        let buckets = Buckets::new("requests", Rate { per_second: 0.001, burst: 3 });
        let start = Instant::now();
        for key in 0..MOST_BUCKETS {
            buckets.take(key, start).unwrap().unwrap();
        }
        let later = start + SWEEP;
        for key in 0..3 {
            assert!(buckets.take(MOST_BUCKETS + key, later).unwrap().is_ok());
        }
        assert!(
            buckets.take(MOST_BUCKETS + 3, later).unwrap().is_err(),
            "those without room share one"
        );
        assert!(buckets.take(7, later).unwrap().is_ok(), "a key that has one keeps it");
        assert_eq!(buckets.state.lock().by_key.len(), MOST_BUCKETS);
        let much_later = start + Duration::from_secs(3600);
        assert_eq!(buckets.take(MOST_BUCKETS, much_later).unwrap().unwrap().remaining, 2);
        assert_eq!(buckets.state.lock().by_key.len(), 1, "those that are full say nothing");
    }

    #[test]
    fn zero_switches_off() {
        assert!(
            Buckets::new("requests", Rate { per_second: 0.0, burst: 0 })
                .take((), Instant::now())
                .is_none()
        );
    }
}
