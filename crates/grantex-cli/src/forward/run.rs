//! The daemon.

use std::collections::BTreeMap;
use std::path::Path;

use grantex_destinations::{Definition, EventSource};
use serde_json::{Map, Value};
use tokio::signal::unix::{SignalKind, signal};

use super::config::{Config, Key};
use super::watch;
use crate::logging::LogFormat;
use crate::service::survive_file_size_limit;
use crate::signals::Asked;
use crate::{CommandError, logging};

pub(super) async fn run(path: &Path, format: LogFormat, filter: &str) -> Result<(), CommandError> {
    let config = Config::load(path)?;
    logging::start(format, filter)?;
    survive_file_size_limit()?;
    let prometheus = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder()?;
    grantex_destinations::describe_metrics();
    let (client, key) = config.client()?;
    let source = config.source_of(client).build()?;
    for definition in config.definitions()? {
        definition.add_to(&source)?;
    }
    if let Some(listen) = &config.listen {
        watch::serve(listen, source.clone(), prometheus).await?;
    }
    tracing::info!(
        url = config.url,
        state_dir = %config.state_dir.display(),
        destinations = config.destinations.len(),
        "forwarding"
    );
    let progress = tokio::spawn(watch::progress(source.clone()));
    let reload = tokio::spawn(reload_on_hangup(path.to_owned(), config, source.clone(), key)?);
    let stopping = source.clone();
    let mut asked = Asked::listen()?;
    let stop = tokio::spawn(async move {
        asked.heard().await;
        tracing::info!("stopping");
        stopping.stop().await;
    });
    let result = source.start().await;
    progress.abort();
    reload.abort();
    if stop.is_finished() || result.is_ok() {
        stop.await?;
    }
    result?;
    for stats in source.stats() {
        tracing::info!(destination = stats.name, delivered = stats.delivered, "stopped");
    }
    Ok(())
}

type Destinations = BTreeMap<String, Map<String, Value>>;

fn by_name(config: &Config) -> Destinations {
    let name = |options: &Map<String, Value>| Some(options.get("name")?.as_str()?.to_owned());
    config
        .destinations
        .iter()
        .filter_map(|options| Some((name(options)?, options.clone())))
        .collect()
}

/// On SIGHUP: destinations that changed are stopped and restarted at their checkpoints.
fn reload_on_hangup(
    path: std::path::PathBuf,
    config: Config,
    source: EventSource,
    key: Key,
) -> Result<impl Future<Output = ()>, CommandError> {
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        let mut current = config;
        while hangup.recv().await.is_some() {
            match Config::load(&path) {
                Err(error) => {
                    tracing::error!(%error, "the configuration was not reloaded; the previous one \
                        stays in force");
                }
                Ok(new) => {
                    apply(&current, &new, &source, &key).await;
                    current = new;
                }
            }
        }
    })
}

async fn apply(current: &Config, new: &Config, source: &EventSource, key: &Key) {
    key.set(&new.api_key);
    if !current.starts_like(new) {
        tracing::warn!(
            "url, ca_file, state_dir, since, filters, listen and stop_limit_ms take effect only \
             after a restart"
        );
    }
    let (before, after) = (by_name(current), by_name(new));
    for (name, options) in &before {
        if after.get(name) != Some(options) {
            source.remove_destination(name).await;
        }
    }
    let mut changed = 0_usize;
    for (name, options) in after {
        if before.get(&name) == Some(&options) {
            continue;
        }
        changed = changed.saturating_add(1);
        let added = Definition::parse(options).and_then(|definition| definition.add_to(source));
        if let Err(error) = added {
            tracing::error!(destination = name, %error, "the destination cannot be started");
        }
    }
    tracing::info!(changed, "configuration reloaded");
}
