//! What all requests share, and each developer's share of it: concurrent requests, memory for
//! bodies, and turns at heavy work. Clients without an API key have one share together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use grantex_types::{DeveloperId, ErrorCode};
use parking_lot::Mutex;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::error::ApiError;
use crate::net::limit_log::LimitLog;
use crate::settings::{RequestSettings, unless_off};

static BODY_BYTES: LimitLog = LimitLog::new("body_bytes");

/// All shares.
pub(crate) struct Shares {
    most_requests: usize,
    most_body_bytes: usize,
    body_bytes: AtomicUsize,
    by_developer: Mutex<HashMap<DeveloperId, Active>>,
    strangers: Arc<Share>,
    /// Half of the cores: the other half serves small requests meanwhile.
    heavy: Arc<Semaphore>,
}

/// A developer with at least one request that is being handled.
#[derive(Default)]
struct Active {
    requests: usize,
    share: Arc<Share>,
}

#[derive(Default)]
struct Share {
    body_bytes: AtomicUsize,
    /// One turn at a time: the queue for heavy work holds at most one request of each developer.
    heavy: OnceLock<Arc<Semaphore>>,
}

impl Shares {
    pub(crate) fn new(settings: &RequestSettings) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Self {
            most_requests: unless_off(settings.most_at_once),
            most_body_bytes: unless_off(settings.body_bytes),
            body_bytes: AtomicUsize::new(0),
            by_developer: Mutex::default(),
            strangers: Arc::default(),
            heavy: Arc::new(Semaphore::new(cores.div_ceil(2))),
        })
    }

    /// Counts a request of this developer until it is answered.
    pub(crate) fn enter(self: &Arc<Self>, developer: DeveloperId) -> Result<Entered, ApiError> {
        let mut by_developer = self.by_developer.lock();
        let working = by_developer.entry(developer).or_default();
        if working.requests >= self.most_requests {
            let message = format!(
                "{} requests of this developer are being handled, the maximum; try again",
                self.most_requests
            );
            return Err(ApiError::new(ErrorCode::RateLimited, message).retry_after(1));
        }
        working.requests = working.requests.saturating_add(1);
        let share = Arc::clone(&working.share);
        Ok(Entered { among: Arc::clone(self), share, developer: Some(developer) })
    }

    /// The share of a request without an API key.
    pub(crate) fn stranger(self: &Arc<Self>) -> Entered {
        Entered { among: Arc::clone(self), share: Arc::clone(&self.strangers), developer: None }
    }

    /// Bytes of all bodies in memory.
    pub(crate) fn body_bytes(&self) -> usize {
        self.body_bytes.load(Ordering::Relaxed)
    }
}

/// A request that counts in its developer's share.
pub(crate) struct Entered {
    among: Arc<Shares>,
    share: Arc<Share>,
    developer: Option<DeveloperId>,
}

impl Entered {
    /// Memory for a body, of no bytes yet.
    pub(crate) fn body_memory(&self) -> BodyMemory {
        BodyMemory { among: Arc::clone(&self.among), share: Arc::clone(&self.share), bytes: 0 }
    }

    /// The queue for heavy work.
    pub(crate) fn queue(&self) -> Queue {
        let own = self.share.heavy.get_or_init(|| Arc::new(Semaphore::new(1)));
        Queue { own: Arc::clone(own), among: Arc::clone(&self.among.heavy) }
    }
}

/// The queue for heavy work.
pub(crate) struct Queue {
    own: Arc<Semaphore>,
    among: Arc<Semaphore>,
}

/// A turn at heavy work. Dropping it ends the turn.
pub(crate) struct Turn {
    _own: OwnedSemaphorePermit,
    _among: OwnedSemaphorePermit,
}

impl Queue {
    /// Waits for a turn.
    pub(crate) async fn turn(self) -> Result<Turn, ApiError> {
        // Neither is ever closed.
        let closed = |error: AcquireError| ApiError::internal(&error);
        let own = self.own.acquire_owned().await.map_err(closed)?;
        Ok(Turn { _own: own, _among: self.among.acquire_owned().await.map_err(closed)? })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let Some(developer) = self.developer else { return };
        let mut by_developer = self.among.by_developer.lock();
        if let Some(working) = by_developer.get_mut(&developer) {
            working.requests = working.requests.saturating_sub(1);
            if working.requests == 0 {
                by_developer.remove(&developer);
            }
        }
    }
}

/// Memory that is reserved for a body. Dropping it releases the memory.
pub(crate) struct BodyMemory {
    among: Arc<Shares>,
    share: Arc<Share>,
    bytes: usize,
}

impl BodyMemory {
    /// Reserves so many more bytes. A share may be as large as the memory that is free: the first
    /// developer gets half at most, the next a quarter, and there is always some left for another.
    pub(crate) fn grow(&mut self, by: usize) -> Result<(), ApiError> {
        let add = |count: &AtomicUsize| count.fetch_add(by, Ordering::Relaxed).saturating_add(by);
        let free = self.among.most_body_bytes.checked_sub(add(&self.among.body_bytes));
        let own = add(&self.share.body_bytes);
        self.bytes = self.bytes.saturating_add(by);
        if free.is_some_and(|free| own <= free) {
            return Ok(());
        }
        BODY_BYTES.reached(
            "requests with large bodies are refused; `--body-bytes` sets the memory for bodies",
        );
        Err(ApiError::new(
            ErrorCode::Unavailable,
            "the memory for large request bodies is in use; try again",
        )
        .retry_after(1))
    }
}

impl Drop for BodyMemory {
    fn drop(&mut self) {
        self.among.body_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.share.body_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn developer(number: u128) -> DeveloperId {
        DeveloperId::from_parts(0, number)
    }

    #[test]
    fn one_tenants_burst_leaves_room() {
        let all = Shares::new(&RequestSettings { most_at_once: 3, ..RequestSettings::default() });
        let mut held: Vec<_> = (0..3).map(|_| all.enter(developer(1)).ok().unwrap()).collect();
        assert!(all.enter(developer(1)).is_err() && all.enter(developer(2)).is_ok());
        held.pop();
        assert!(all.enter(developer(1)).is_ok());
        drop(held);
        assert!(all.by_developer.lock().is_empty());
    }

    #[test]
    fn bodies_stay_within_their_budget_and_leave_room_for_the_next() {
        let all = Shares::new(&RequestSettings { body_bytes: 120, ..RequestSettings::default() });
        let developers = (1..=4).map(|number| all.enter(developer(number)).ok().unwrap());
        let mut held = Vec::new();
        for (entered, most) in developers.chain([all.stranger()]).zip([60, 30, 15, 7, 4_usize]) {
            let before = all.body_bytes();
            assert!(
                entered.body_memory().grow(most.saturating_add(1)).is_err(),
                "more than is free beside it"
            );
            assert_eq!(all.body_bytes(), before, "what was refused is given back");
            let mut memory = entered.body_memory();
            memory.grow(most).ok().unwrap();
            held.push(memory);
        }
        assert_eq!(all.body_bytes(), 116);
        drop(held);
        assert_eq!(all.body_bytes(), 0);
    }

    #[test]
    fn zero_switches_off() {
        let all = Shares::new(&RequestSettings {
            most_at_once: 0,
            body_bytes: 0,
            ..RequestSettings::default()
        });
        let entered: Vec<_> = (0..2000).map(|_| all.enter(developer(1)).ok().unwrap()).collect();
        assert!(entered.iter().all(|entered| entered.body_memory().grow(1 << 40).is_ok()));
    }
}
