//! `EventSource`: one log, and the destinations that it is delivered to.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use grantex::{Client, ErrorKind};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::batch::BatchSettings;
use crate::delivery::Delivery;
use crate::destination::EventDestination;
use crate::error::{ConfigError, SourceError};
use crate::format::Format;
use crate::log::{EventLog, Filter, ServiceLog, Start};
use crate::options::{DeliveryOptions, check_since, check_types};
use crate::pipeline::{Pipeline, PipelineError};
use crate::state::State;
use crate::stats::{DestinationStats, Stats};

/// How long `stop` lets destinations finish unless told otherwise.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Delivers the events of one log to any number of destinations, each for itself: a cursor, batches,
/// retries and a checkpoint of its own. Cheap to clone; clones are the same source.
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
    state: State,
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

/// The settings of an [`EventSource`].
#[derive(Debug, Default)]
#[must_use]
pub struct Builder {
    url: Option<String>,
    api_key: Option<String>,
    client: Option<Client>,
    log: Option<Arc<dyn EventLog>>,
    filter: Filter,
    since: Option<String>,
    state_dir: Option<PathBuf>,
    stop_limit: Option<Duration>,
}

impl Builder {
    /// Where the service is; `GRANTEX_BASE_URL` or the public service unless given.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// The API key.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// A client that is made already, instead of `url` and `api_key`: with a key callback, for instance.
    pub fn client(mut self, client: Client) -> Self {
        self.client = Some(client);
        self
    }

    /// Another log than a service's.
    pub fn log(mut self, log: impl EventLog) -> Self {
        self.log = Some(Arc::new(log));
        self
    }

    /// Only these types of events, for destinations that do not say otherwise.
    pub fn types<T: ToString>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.filter.types = types.into_iter().map(|kind| kind.to_string()).collect();
        self
    }

    /// Which events, for destinations that do not say otherwise.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Where a destination without a checkpoint starts (RFC 3339); with what happens from now on
    /// unless given.
    pub fn since(mut self, time: impl fmt::Display) -> Self {
        self.since = Some(time.to_string());
        self
    }

    /// The folder for checkpoints and dead letters. Without it they end with the process.
    pub fn state_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(folder.into());
        self
    }

    /// How long [`EventSource::stop`] lets destinations finish; 10 s unless given.
    pub fn stop_limit(mut self, limit: Duration) -> Self {
        self.stop_limit = Some(limit);
        self
    }

    /// The source. Takes the state folder, which no other process may have.
    pub fn build(self) -> Result<EventSource, SourceError> {
        check_types(&self.filter.types)?;
        let start = match self.since {
            Some(time) => {
                check_since(&time)?;
                Start::Since(time)
            }
            None => Start::Now,
        };
        let (client, log) = match self.log {
            Some(log) => (None, log),
            None => {
                let url = self.url.or_else(|| std::env::var("GRANTEX_BASE_URL").ok());
                let url = url.unwrap_or_else(|| grantex::DEFAULT_BASE_URL.to_owned());
                let client = match self.client {
                    Some(client) => client,
                    None => client(&url, self.api_key.as_deref())?,
                };
                let url = url.trim_end_matches('/').into();
                (Some(client.clone()), Arc::new(ServiceLog { client, url }) as Arc<dyn EventLog>)
            }
        };
        let state = match &self.state_dir {
            Some(folder) => State::open(folder)?,
            None => {
                tracing::warn!(
                    "no state folder: checkpoints and dead letters are kept in memory and end with this process"
                );
                State::in_memory()?
            }
        };
        let (ended, ends) = mpsc::unbounded_channel();
        Ok(EventSource {
            inner: Arc::new(Inner {
                client,
                log,
                filter: self.filter,
                start,
                stop_limit: self.stop_limit.unwrap_or(STOP_LIMIT),
                state,
                destinations: Mutex::default(),
                ended,
                ends: tokio::sync::Mutex::new(ends),
                is_started: AtomicBool::new(false),
                is_running: AtomicBool::new(false),
                has_stopped: AtomicBool::new(false),
                stopping: CancellationToken::new(),
                stopped: Notify::new(),
            }),
        })
    }
}

fn client(url: &str, key: Option<&str>) -> Result<Client, ConfigError> {
    let Some(key) = key.filter(|key| !key.is_empty()) else {
        return Err(ConfigError::value("api_key", "there is none; the service needs one"));
    };
    let client = Client::builder().base_url(url).api_key(key);
    let client = client.user_agent(concat!("grantex-destinations/", env!("CARGO_PKG_VERSION"))).build();
    client.map_err(|error| ConfigError::whole(error.to_string()))
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
        let format =
            Format { kind: options.format.unwrap_or_default(), source: inner.log.source().to_owned() };
        let stats = Arc::new(Stats::new(name.clone()));
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
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
                retry: options.retry()?,
                cut: cut.clone(),
            },
        };
        let mut destinations = inner.destinations.lock();
        if destinations.contains_key(&name) {
            return Err(ConfigError::value("name", format!("{name:?} is there already; names are unique")));
        }
        let ended = CancellationToken::new();
        let mut member = Member { stats, stop, cut, ended, pipeline: Some(Box::pin(pipeline.run())) };
        if inner.is_running.load(Ordering::Acquire) {
            inner.launch(&mut member);
        }
        destinations.insert(name, member);
        Ok(())
    }

    /// Stops one destination in order, within the time that [`stop`](Self::stop) has, and forgets it.
    /// Its checkpoint stays.
    pub async fn remove_destination(&self, name: &str) {
        let member = self.inner.destinations.lock().remove(name);
        if let Some(member) = member.filter(|member| member.pipeline.is_none()) {
            member.stop.cancel();
            if tokio::time::timeout(self.inner.stop_limit, member.ended.cancelled()).await.is_err() {
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
            tracing::warn!(limit = ?inner.stop_limit, "destinations did not finish in time; what is in flight is sent again at the next start");
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
            tokio::spawn(async move {
                let result = pipeline.await;
                drop(ended);
                let _ = told.send(result);
            });
        }
    }
}

impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSource").field("log", &self.inner.log).finish_non_exhaustive()
    }
}
