use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use grantex::Client;
use grantex::internal::check_base_url;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::{EventSource, Inner};
use crate::error::{ConfigError, SourceError};
use crate::log::{EventLog, Filter, ServiceLog, Start};
use crate::observer::{NoObserver, Observer};
use crate::options::{check_since, check_types};
use crate::state::State;
use crate::tls::trusting;

/// How long `stop` lets destinations finish by default.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// The settings of an [`EventSource`].
#[derive(Debug, Default)]
#[must_use]
pub struct Builder {
    url: Option<String>,
    api_key: Option<String>,
    client: Option<Client>,
    ca_file: Option<PathBuf>,
    log: Option<Arc<dyn EventLog>>,
    filter: Filter,
    since: Option<String>,
    state_dir: Option<PathBuf>,
    stop_limit: Option<Duration>,
    observer: Option<Arc<dyn Observer>>,
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

    /// PEM file with certificates to trust besides the system's, where the service's comes from a
    /// private authority or from itself. Not for a [`client`](Self::client), which has its own.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// A client that is made already, instead of `url` and `api_key`: with a key callback, for
    /// instance.
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

    /// The observer that is notified of failures and dead letters.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Checks the settings that [`build`](Self::build) would refuse. Makes no connection and takes
    /// no folder.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_types(&self.filter.types)?;
        self.since.as_deref().map_or(Ok(()), check_since)?;
        let url = self.url.as_deref().map_or(Ok(()), check_base_url);
        url.map_err(|error| ConfigError::value("url", error.to_string()))
    }

    /// The source. Takes the state folder, which no other process may have.
    pub fn build(self) -> Result<EventSource, SourceError> {
        self.check()?;
        let start = self.since.map_or(Start::Now, Start::Since);
        let (client, log) = match self.log {
            Some(log) => (None, log),
            None => {
                let url = self.url.or_else(|| std::env::var("GRANTEX_BASE_URL").ok());
                let url = url.unwrap_or_else(|| grantex::DEFAULT_BASE_URL.to_owned());
                let client = match self.client {
                    Some(client) => client,
                    None => client(&url, self.api_key.as_deref(), self.ca_file.as_deref())?,
                };
                let url = url.trim_end_matches('/').into();
                (Some(client.clone()), Arc::new(ServiceLog { client, url }) as Arc<dyn EventLog>)
            }
        };
        let state = match &self.state_dir {
            Some(folder) => State::open(folder)?,
            None => State::in_memory()?,
        };
        let (ended, ends) = mpsc::unbounded_channel();
        Ok(EventSource {
            inner: Arc::new(Inner {
                client,
                log,
                filter: self.filter,
                start,
                stop_limit: self.stop_limit.unwrap_or(STOP_LIMIT),
                observer: self.observer.unwrap_or_else(|| Arc::new(NoObserver)),
                state,
                keeps_state: self.state_dir.is_some(),
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

fn client(url: &str, key: Option<&str>, ca_file: Option<&Path>) -> Result<Client, ConfigError> {
    let Some(key) = key.filter(|key| !key.is_empty()) else {
        return Err(ConfigError::value("api_key", "is missing; the service needs one"));
    };
    let mut client = Client::builder().base_url(url).api_key(key);
    if let Some(path) = ca_file {
        client = client.tls(trusting(path)?);
    }
    let client =
        client.user_agent(concat!("grantex-destinations/", env!("CARGO_PKG_VERSION"))).build();
    client.map_err(|error| ConfigError::whole(error.to_string()))
}
