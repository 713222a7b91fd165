//! The daemon.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

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
        let started = config;
        let mut current = by_name(&started);
        while hangup.recv().await.is_some() {
            match Config::load(&path) {
                Err(error) => {
                    tracing::error!(%error, "the configuration was not reloaded; the previous \
                        configuration is still used");
                }
                Ok(new) => {
                    key.set(&new.api_key);
                    let options = started.needs_restart(&new);
                    if !options.is_empty() {
                        let options = options.join(", ");
                        tracing::warn!("{options}: the change takes effect only after a restart");
                    }
                    let new = by_name(&new);
                    apply(&current, &new, &source, started.stop_limit).await;
                    current = new;
                }
            }
        }
    })
}

async fn apply(before: &Destinations, after: &Destinations, source: &EventSource, limit: Duration) {
    let ends = |(name, options): &(&String, _)| after.get(*name) != Some(*options);
    let ending: Vec<&str> = before.iter().filter(ends).map(|(name, _)| name.as_str()).collect();
    if !ending.is_empty() {
        let each = if ending.len() == 1 { "" } else { " each" };
        let (names, limit) = (ending.join(", "), limit.as_secs_f64());
        tracing::info!("reloading: stopping {names}, at most {limit} s{each}");
    }
    for name in &ending {
        source.remove_destination(name).await;
    }
    let (mut added, mut changed) = (Vec::new(), Vec::new());
    for (name, options) in after {
        if before.get(name) == Some(options) {
            continue;
        }
        let started =
            Definition::parse(options.clone()).and_then(|definition| definition.add_to(source));
        match started {
            Ok(()) if before.contains_key(name) => changed.push(name.as_str()),
            Ok(()) => added.push(name.as_str()),
            Err(error) => {
                tracing::error!(destination = name, %error, "the destination cannot be started");
            }
        }
    }
    let removed: Vec<&str> = ending.into_iter().filter(|name| !after.contains_key(*name)).collect();
    let parts = [("added", added), ("changed", changed), ("removed", removed)];
    let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
    let parts: Vec<String> =
        parts.map(|(what, names)| format!("{what} {}", names.join(", "))).collect();
    let told = if parts.is_empty() { "no destination changed".into() } else { parts.join("; ") };
    tracing::info!("configuration reloaded: {told}");
}
