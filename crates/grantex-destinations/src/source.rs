//! `EventSource`: one log, and the destinations that it is delivered to.

mod builder;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use grantex::{Client, ErrorKind};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::instrument::WithSubscriber as _;

use crate::batch::BatchSettings;
use crate::delivery::{Delivery, Proof};
use crate::destination::EventDestination;
use crate::error::{ConfigError, PipelineError, SourceError};
use crate::format::Format;
use crate::log::{EventLog, Filter, Start};
use crate::observer::Observer;
use crate::options::{DeliveryOptions, check_since};
use crate::pipeline::Pipeline;
use crate::state::State;
use crate::stats::{DestinationStats, Stats};

pub use builder::Builder;

/// Delivers the events of one log to any number of destinations, each for itself: a cursor,
/// batches, retries and a checkpoint of its own. Cheap to clone; clones are the same source.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use grantex_destinations::{EventSource, FileDestination, FileOptions};
///
/// let source = EventSource::builder()
///     .url("http://127.0.0.1:8080")
///     .api_key(std::env::var("GRANTEX_API_KEY")?)
///     .types(["grant.created", "grant.revoked"])
///     .state_dir("./forward-state")
///     .build()?;
/// source.add_destination(FileDestination::new("audit", FileOptions::at("events.ndjson"))?)?;
///
/// let stopping = source.clone();
/// tokio::spawn(async move {
///     tokio::signal::ctrl_c().await.ok();
///     stopping.stop().await;
/// });
/// source.start().await?; // until it is stopped
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EventSource {
    inner: Arc<Inner>,
}

struct Inner {
    client: Option<Client>,
    log: Arc<dyn EventLog>,
    filter: Filter,
    start: Start,
    stop_limit: Duration,
    observer: Arc<dyn Observer>,
    state: State,
    keeps_state: bool,
    destinations: Mutex<BTreeMap<String, Member>>,
    ended: mpsc::UnboundedSender<Result<(), PipelineError>>,
    ends: tokio::sync::Mutex<mpsc::UnboundedReceiver<Result<(), PipelineError>>>,
    is_started: AtomicBool,
    is_running: AtomicBool,
    has_stopped: AtomicBool,
    stopping: CancellationToken,
    stopped: Notify,
}

type Running = Pin<Box<dyn Future<Output = Result<(), PipelineError>> + Send>>;

struct Member {
    stats: Arc<Stats>,
    stop: CancellationToken,
    cut: CancellationToken,
    /// Cancelled when its pipeline has ended, or will never start.
    ended: CancellationToken,
    /// Until it is started.
    pipeline: Option<Running>,
}

impl EventSource {
    /// A source with these settings.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Adds a destination with its defaults.
    pub fn add_destination(&self, destination: impl EventDestination) -> Result<(), ConfigError> {
        self.add_destination_with(destination, &DeliveryOptions::default())
    }

    /// Adds a destination; where the source runs, delivering begins at once.
    pub fn add_destination_with(
        &self,
        destination: impl EventDestination,
        options: &DeliveryOptions,
    ) -> Result<(), ConfigError> {
        self.add_configured(destination, options, String::new())
    }

    /// The same; `configuration` names what the destination was configured with.
    pub(crate) fn add_configured(
        &self,
        destination: impl EventDestination,
        options: &DeliveryOptions,
        configuration: String,
    ) -> Result<(), ConfigError> {
        let inner = &self.inner;
        let name = destination.name().to_owned();
        if name.is_empty() {
            return Err(ConfigError::value("name", "a destination needs one"));
        }
        let start = match &options.since {
            Some(time) => {
                check_since(time)?;
                Start::Since(time.clone())
            }
            None => inner.start.clone(),
        };
        let format = Format {
            kind: options.format.unwrap_or_default(),
            source: inner.log.source().to_owned(),
        };
        let stats = Arc::new(Stats::new(name.clone()));
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let proof = Proof::of(configuration, destination.refusals_need_proof());
        let pipeline = Pipeline {
            settings: BatchSettings { filter: options.filter(&inner.filter)?, format },
            limits: options.limits(&destination)?,
            concurrency: options.concurrency(&destination)?,
            log: Arc::clone(&inner.log),
            start,
            on_lost_position: options.on_lost_position.unwrap_or_default(),
            stop: stop.clone(),
            delivery: Delivery {
                destination,
                name: name.clone(),
                state: inner.state.clone(),
                stats: Arc::clone(&stats),
                observer: Arc::clone(&inner.observer),
                retry: options.retry()?,
                proof,
                cut: cut.clone(),
            },
        };
        let mut destinations = inner.destinations.lock();
        if destinations.contains_key(&name) {
            return Err(ConfigError::value(
                "name",
                format!("{name:?} is there already; names are unique"),
            ));
        }
        let ended = CancellationToken::new();
        let mut member =
            Member { stats, stop, cut, ended, pipeline: Some(Box::pin(pipeline.run())) };
        if inner.is_running.load(Ordering::Acquire) {
            inner.launch(&mut member);
        }
        destinations.insert(name, member);
        Ok(())
    }

    /// Stops one destination in order, within the time that [`stop`](Self::stop) has, and forgets
    /// it. Its checkpoint stays.
    pub async fn remove_destination(&self, name: &str) {
        let member = self.inner.destinations.lock().remove(name);
        if let Some(member) = member.filter(|member| member.pipeline.is_none()) {
            member.stop.cancel();
            if tokio::time::timeout(self.inner.stop_limit, member.ended.cancelled()).await.is_err()
            {
                member.cut.cancel();
                member.ended.cancelled().await;
            }
        }
    }

    /// Delivers until [`stop`](Self::stop) is called, or until every destination has ended because
    /// it cannot go on. Fails at once when the service refuses the key.
    pub async fn start(&self) -> Result<(), SourceError> {
        let inner = &self.inner;
        if inner.is_started.swap(true, Ordering::AcqRel) {
            return Err(SourceError::Started);
        }
        let result = self.run().await;
        inner.has_stopped.store(true, Ordering::Release);
        inner.stopped.notify_waiters();
        result
    }

    async fn run(&self) -> Result<(), SourceError> {
        let inner = &self.inner;
        if !inner.keeps_state {
            tracing::warn!(
                "no state folder: checkpoints and dead letters are kept in memory and end with this process"
            );
        }
        if let Some(client) = &inner.client {
            let asked = inner.stopping.run_until_cancelled(client.me()).await;
            if let Some(Err(error)) = asked {
                if matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Forbidden) {
                    return Err(SourceError::KeyRefused(error));
                }
                tracing::warn!(%error, "the service does not answer now; trying until it does");
            }
        }
        {
            let mut destinations = inner.destinations.lock();
            inner.is_running.store(true, Ordering::Release);
            for member in destinations.values_mut() {
                inner.launch(member);
            }
        }
        self.supervise().await
    }

    async fn supervise(&self) -> Result<(), SourceError> {
        let inner = &self.inner;
        let mut ends = inner.ends.lock().await;
        let mut failed = None;
        loop {
            let ended = tokio::select! {
                () = inner.stopping.cancelled() => break,
                Some(ended) = ends.recv() => ended,
            };
            if let Err(error) = ended {
                failed.get_or_insert(error);
            }
            let lives = |member: &Member| !member.ended.is_cancelled();
            let destinations = inner.destinations.lock();
            let all_ended = !destinations.is_empty() && !destinations.values().any(lives);
            if let Some(error) = failed.take_if(|_| all_ended) {
                return Err(error.into());
            }
        }
        let members: Vec<_> = {
            let destinations = inner.destinations.lock();
            for member in destinations.values() {
                member.stop.cancel();
            }
            destinations.values().map(|member| (member.ended.clone(), member.cut.clone())).collect()
        };
        let all_ended = async {
            for (ended, _) in &members {
                ended.cancelled().await;
            }
        };
        if tokio::time::timeout(inner.stop_limit, all_ended).await.is_err() {
            let limit = inner.stop_limit;
            if inner.keeps_state {
                tracing::warn!(
                    ?limit,
                    "destinations did not finish in time; what is in flight is sent again at the \
                     next start"
                );
            } else {
                tracing::warn!(
                    ?limit,
                    "destinations did not finish in time; what is in flight is lost, because there \
                     is no state folder"
                );
            }
            for (ended, cut) in &members {
                cut.cancel();
                ended.cancelled().await;
            }
        }
        Ok(())
    }

    /// Ends it: no more is read, what was read is delivered within the time limit, destinations are
    /// closed. Returns when [`start`](Self::start) does, with the destinations' last figures.
    pub async fn stop(&self) -> Vec<DestinationStats> {
        let inner = &self.inner;
        let stopped = inner.stopped.notified();
        inner.stopping.cancel();
        if inner.is_started.load(Ordering::Acquire) && !inner.has_stopped.load(Ordering::Acquire) {
            stopped.await;
        }
        self.stats()
    }

    /// Each destination's figures, by name.
    pub fn stats(&self) -> Vec<DestinationStats> {
        self.inner.destinations.lock().values().map(|member| member.stats.snapshot()).collect()
    }

    /// The state: checkpoints, dead letters.
    pub fn state(&self) -> &State {
        &self.inner.state
    }
}

impl Inner {
    fn launch(&self, member: &mut Member) {
        if let Some(pipeline) = member.pipeline.take() {
            let (told, ended) = (self.ended.clone(), member.ended.clone().drop_guard());
            let running = async move {
                let result = pipeline.await;
                drop(ended);
                let _ = told.send(result);
            };
            tokio::spawn(running.with_current_subscriber());
        }
    }
}

impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSource").field("log", &self.inner.log).finish_non_exhaustive()
    }
}
