//! Rate limits: a token bucket for each developer, and for each address on public routes.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use grantex_types::{DeveloperId, ErrorCode};
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;

use super::address::ClientAddress;
use super::error::ApiError;
use super::shares::{Entered, Queue, Room};
use crate::App;
use crate::settings::{Rate, Rates};

/// Buckets kept at most. Beyond it, those that are full again (and so say nothing) are dropped.
const MOST_BUCKETS: usize = 65_536;
/// How often full buckets are looked for at most: it means looking at all.
const SWEEP: Duration = Duration::from_secs(1);

/// Token buckets by key.
pub(crate) struct Buckets<K> {
    /// What there are too many of, where there are.
    what: &'static str,
    per_second: f64,
    burst: f64,
    state: Mutex<State<K>>,
}

struct State<K> {
    by_key: HashMap<K, Bucket>,
    /// Shared by the keys that find no room of their own.
    others: Bucket,
    swept: Instant,
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

/// The outcome of taking tokens; `None` when the limit is switched off.
pub(crate) type Taken = Option<Result<Allowance, (Allowance, ApiError)>>;

impl<K: Eq + Hash> Buckets<K> {
    pub(crate) fn new(what: &'static str, rate: Rate) -> Self {
        let (burst, now) = (f64::from(rate.burst.max(1)), Instant::now());
        let others = Bucket { tokens: burst, at: now };
        let state = State { by_key: HashMap::new(), others, swept: now };
        Self { what, per_second: rate.per_second, burst, state: Mutex::new(state) }
    }

    /// Takes a token of `key`.
    pub(crate) fn take(&self, key: K, now: Instant) -> Taken {
        self.take_many(key, 1, now)
    }

    /// Takes so many tokens of `key`, or all that there can be where that is less.
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

/// How often developers may sign up.
pub(crate) struct Signups {
    by_address: Buckets<ClientAddress>,
    in_all: Buckets<()>,
}

impl Signups {
    pub(crate) fn new(rates: &Rates) -> Self {
        Self {
            by_address: Buckets::new("signups from this address", rates.signup_address),
            in_all: Buckets::new("signups", rates.signup),
        }
    }

    /// Counts one that is about to be made.
    pub(crate) fn take(&self, from: ClientAddress, now: Instant) -> Result<(), ApiError> {
        // The address first: what it asks beyond its own limit takes nothing from the others.
        let refused = |(_, error)| error;
        self.by_address.take(from, now).transpose().map_err(refused)?;
        self.in_all.take((), now).transpose().map_err(refused)?;
        Ok(())
    }
}

/// What limits know of a request: how the one that applied reaches the headers of the answer, whose
/// the request is, and what ends with it.
#[derive(Clone, Default)]
pub(crate) struct RateSlot(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    allowance: Option<Allowance>,
    from: Option<(Payer, Entered)>,
    body: Option<Room>,
}

/// Whose tokens a request takes.
#[derive(Clone, Copy)]
pub(crate) enum Payer {
    Developer(DeveloperId),
    Address(ClientAddress),
}

impl RateSlot {
    /// Notes the outcome of a [`Buckets::take`].
    pub(crate) fn note(&self, taken: Taken) -> Result<(), ApiError> {
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

    /// Notes whose the request is, and keeps it counted until it is answered.
    pub(crate) fn enter(&self, payer: Payer, entered: Entered) {
        self.0.lock().from = Some((payer, entered));
    }

    /// Takes more tokens of whoever paid for the request.
    pub(crate) fn charge(&self, app: &App, tokens: u32, now: Instant) -> Result<(), ApiError> {
        let payer = self.0.lock().from.as_ref().map(|(payer, _)| *payer);
        match payer {
            Some(Payer::Developer(id)) => self.note(app.developer_rates.take_many(id, tokens, now)),
            Some(Payer::Address(address)) => {
                self.note(app.address_rates.take_many(address, tokens, now))
            }
            None => Ok(()),
        }
    }

    /// Room for the request's body.
    pub(crate) fn room(&self, app: &App) -> Room {
        self.entered(app, Entered::room)
    }

    /// The queue for heavy work, for whoever sent the request.
    pub(crate) fn queue(&self, app: &App) -> Queue {
        self.entered(app, Entered::queue)
    }

    fn entered<T>(&self, app: &App, of: impl FnOnce(&Entered) -> T) -> T {
        match &self.0.lock().from {
            Some((_, entered)) => of(entered),
            None => of(&app.shares.stranger()),
        }
    }

    /// Keeps the body's memory counted until the request is answered.
    pub(crate) fn keep(&self, body: Room) {
        self.0.lock().body = Some(body);
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
        assert!(buckets.take(7, later).unwrap().is_ok(), "whoever has one keeps it");
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
