//! A kit that checks a destination against the promises of [`EventDestination`].
//!
//! It needs the destination as a new process would make it, and a way to read back what has
//! arrived:
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use grantex_destinations::conformance::{self, Order, Promises, Receiver};
//! use grantex_destinations::{Batch, EventDestination, EventId, SendError};
//!
//! struct Mine(Arc<Mutex<Vec<EventId>>>);
//!
//! impl EventDestination for Mine {
//!     fn name(&self) -> &str {
//!         "mine"
//!     }
//!     async fn send(&self, batch: &Batch) -> Result<(), SendError> {
//!         self.0.lock().unwrap().extend(batch.events().iter().map(|event| event.id));
//!         Ok(())
//!     }
//! }
//!
//! struct MyReceiver(Arc<Mutex<Vec<EventId>>>);
//!
//! impl Receiver for MyReceiver {
//!     type Destination = Mine;
//!     async fn destination(&self) -> Mine {
//!         Mine(self.0.clone())
//!     }
//!     async fn received(&self) -> Vec<EventId> {
//!         self.0.lock().unwrap().clone()
//!     }
//!     fn promises(&self) -> Promises {
//!         Promises { order: Order::Total, is_exactly_once: false }
//!     }
//! }
//!
//! conformance::check(&MyReceiver(Arc::default())).unwrap();
//! ```

mod log;

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use grantex::EventId;
use tokio::runtime::{Builder, Runtime};

use crate::destination::EventDestination;
use crate::options::DeliveryOptions;
use crate::source::EventSource;

pub use log::{MemoryLog, sample_event};

/// Events that a check makes at a time: several batches.
const EVENTS: usize = 60;

/// Events in a batch of these checks.
const BATCH: usize = 7;

/// How often the forwarder is killed.
const KILLS: u32 = 20;

/// Longer than any working step takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The receiver of the deliveries, as the kit sees it.
pub trait Receiver: Send + Sync {
    /// The destination under test.
    type Destination: EventDestination;

    /// The destination as a new process would make it.
    fn destination(&self) -> impl Future<Output = Self::Destination> + Send;

    /// Every event that is readable at the receiver now, in the order of arrival where it has one.
    fn received(&self) -> impl Future<Output = Vec<EventId>> + Send;

    /// The destination's promises in addition to those of all destinations.
    fn promises(&self) -> Promises;

    /// Makes the receiver fail for a while, as receivers do, if it can be made to.
    fn disturb(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// A destination's promises in addition to those of all destinations.
#[derive(Debug, Clone, Copy)]
pub struct Promises {
    /// In which order events are read back.
    pub order: Order,
    /// No event is there twice, whatever happened.
    pub is_exactly_once: bool,
}

/// In which order events are read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// In the log's order; a repeated event may stand behind later ones.
    Total,
    /// The receiver has none.
    None,
}

/// A promise that was not kept.
#[derive(Debug)]
pub struct Violation {
    /// Which check failed.
    pub check: &'static str,
    /// What was seen.
    pub seen: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.seen)
    }
}

impl std::error::Error for Violation {}

/// Runs every check, one after the other, on one growing log. Must not be called within a Tokio
/// runtime: it kills its own.
///
/// | Check | What it does |
/// |---|---|
/// | delivers everything in order | several batches, then an orderly stop |
/// | continues where it stopped | a new destination, the same state |
/// | survives being killed | 20 times at moments spread over the delivery, then to the end |
/// | survives a receiver that fails | [`Receiver::disturb`], meanwhile events |
/// | a lost state folder | everything is sent again, and may be there twice; not where exactly once is promised |
pub fn check(receiver: &impl Receiver) -> Result<(), Violation> {
    let folder = tempfile_dir()?;
    let result = Kit { receiver, log: MemoryLog::default(), folder: &folder }.run();
    // The folder is not needed any more.
    std::fs::remove_dir_all(&folder).ok();
    result
}

fn tempfile_dir() -> Result<std::path::PathBuf, Violation> {
    let random = getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id()));
    let folder = std::env::temp_dir().join(format!("grantex-conformance-{random:016x}"));
    let failed =
        |error: std::io::Error| Violation { check: "a state folder", seen: error.to_string() };
    std::fs::create_dir_all(&folder).map_err(failed)?;
    Ok(folder)
}

struct Kit<'a, R> {
    receiver: &'a R,
    log: MemoryLog,
    folder: &'a Path,
}

impl<R: Receiver> Kit<'_, R> {
    fn run(&self) -> Result<(), Violation> {
        self.log.append(EVENTS);
        self.deliver("delivers everything in order", &self.folder.join("state"))?;
        self.log.append(EVENTS);
        self.deliver("continues where it stopped", &self.folder.join("state"))?;
        self.kill()?;
        let check = "survives a receiver that fails";
        self.log.append(EVENTS);
        runtime(check)?.block_on(self.receiver.disturb());
        self.deliver(check, &self.folder.join("state"))?;
        if self.receiver.promises().is_exactly_once {
            return Ok(());
        }
        self.deliver("a lost state folder", &self.folder.join("another-state"))
    }

    /// Runs until everything has arrived, then stops in order.
    fn deliver(&self, check: &'static str, state: &Path) -> Result<(), Violation> {
        let runtime = runtime(check)?;
        runtime.block_on(async {
            let source = self.source(check, state).await?;
            let running = tokio::spawn({
                let source = source.clone();
                async move { source.start().await }
            });
            let arrived = self.await_all(check, &source).await;
            source.stop().await;
            match running.await {
                Ok(Ok(())) => arrived?,
                Ok(Err(error)) => return Err(Violation { check, seen: error.to_string() }),
                Err(error) => return Err(Violation { check, seen: error.to_string() }),
            }
            self.verify(check).await
        })
    }

    /// Ends the process, as far as the destination can observe: its tasks end between two steps,
    /// and nothing is closed.
    fn kill(&self) -> Result<(), Violation> {
        let check = "survives being killed";
        for kill in 0..KILLS {
            self.log.append(BATCH.saturating_mul(2));
            let runtime = runtime(check)?;
            let source = runtime.block_on(self.source(check, &self.folder.join("state")))?;
            runtime.spawn(async move { source.start().await });
            // Spread over what a delivery takes, from the first step to past the end.
            #[expect(clippy::disallowed_methods, reason = "kills at spread moments")]
            std::thread::sleep(Duration::from_millis(u64::from(kill.saturating_mul(kill))));
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
        self.deliver(check, &self.folder.join("state"))
    }

    async fn source(&self, check: &'static str, state: &Path) -> Result<EventSource, Violation> {
        let failed = |seen: String| Violation { check, seen };
        let builder = EventSource::builder()
            .log(self.log.clone())
            .since("1970-01-01T00:00:00Z")
            .state_dir(state);
        let source = builder.build().map_err(|error| failed(error.to_string()))?;
        let options = DeliveryOptions {
            batch_size: Some(BATCH),
            flush_interval_ms: Some(20),
            retry_base_ms: Some(10),
            retry_cap_ms: Some(200),
            ..DeliveryOptions::default()
        };
        let destination = self.receiver.destination().await;
        source
            .add_destination_with(destination, &options)
            .map_err(|error| failed(error.to_string()))?;
        Ok(source)
    }

    /// Waits until the checkpoint is at the end, and then until all can be read back.
    async fn await_all(&self, check: &'static str, source: &EventSource) -> Result<(), Violation> {
        let expected: BTreeSet<_> = self.log.ids().into_iter().collect();
        let begun = Instant::now();
        while source.stats().first().and_then(|stats| stats.cursor) < expected.last().copied() {
            if begun.elapsed() > PATIENCE {
                let seen = format!(
                    "the checkpoint did not reach the end within {PATIENCE:?}: {:?}",
                    source.stats()
                );
                return Err(Violation { check, seen });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        loop {
            let received: BTreeSet<_> = self.receiver.received().await.into_iter().collect();
            let missing = expected.difference(&received).count();
            if missing == 0 {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                let seen = format!(
                    "{missing} of {} events did not arrive within {PATIENCE:?}",
                    expected.len()
                );
                return Err(Violation { check, seen });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn verify(&self, check: &'static str) -> Result<(), Violation> {
        let expected = self.log.ids();
        let received = self.receiver.received().await;
        let mut seen = BTreeSet::new();
        let firsts: Vec<EventId> = received.iter().copied().filter(|id| seen.insert(*id)).collect();
        let promises = self.receiver.promises();
        let failed = |seen: String| Err(Violation { check, seen });
        if seen.len() != expected.len() {
            return failed(format!("{} events of {} are there", seen.len(), expected.len()));
        }
        if promises.order == Order::Total && firsts != expected {
            return failed("the events are there, but not in the log's order".to_owned());
        }
        if promises.is_exactly_once && received.len() != expected.len() {
            return failed(format!(
                "{} events are there twice",
                received.len().saturating_sub(expected.len())
            ));
        }
        Ok(())
    }
}

fn runtime(check: &'static str) -> Result<Runtime, Violation> {
    let failed = |error: std::io::Error| Violation { check, seen: error.to_string() };
    Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(failed)
}
