//! `grantex forward check`

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anstyle::AnsiColor;
use grantex::{Client, HistoryParams};
use grantex_destinations::State;
use serde_json::json;
use tokio::time::timeout;

use super::config::Config;
use super::status::{history, is_fresh};
use crate::listen::Listen;
use crate::{CommandError, logging, print};

/// What takes longer does not answer.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn run(path: &Path, log: &str, json: bool) -> Result<(), CommandError> {
    // What a start refuses, this refuses: the file, and the filter of the log.
    let config = Config::load(path)?;
    logging::filter(log)?;
    let (client, _) = config.client()?;
    let mut failed = 0_usize;
    let mut tell = |name: &str, kind: &str, result: Result<String, String>| {
        failed = failed.saturating_add(usize::from(result.is_err()));
        report(json, name, kind, &result);
    };
    tell("state", "folder", state(&config));
    if let Some(address) = &config.listen {
        tell("listen", "address", listen(&config, address).await);
    }
    tell("service", "grantex", service(&config, &client).await);
    for definition in config.definitions()? {
        let probed = match timeout(LIMIT, definition.probe()).await {
            Ok(probed) => probed.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {LIMIT:?}")),
        };
        tell(definition.name(), definition.kind(), probed);
    }
    match failed {
        0 => Ok(()),
        1 => Err("one check failed".into()),
        n => Err(format!("{n} checks failed").into()),
    }
}

fn state(config: &Config) -> Result<String, String> {
    let folder = config.state_dir.display();
    State::check(&config.state_dir)
        .map(|()| format!("{folder} can be used"))
        .map_err(|error| error.to_string())
}

/// Whether health and metrics can be served. A forwarder that runs holds the address already.
async fn listen(config: &Config, address: &Listen) -> Result<String, String> {
    match address.open().await {
        Ok(_) => Ok(format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse && runs(config).await => {
            Ok(format!("{address} is in use, and a forwarder runs with this state folder"))
        }
        Err(error) => Err(format!("{address}: {error}")),
    }
}

async fn runs(config: &Config) -> bool {
    let Ok(state) = State::look(&config.state_dir) else { return false };
    state.reports().await.is_ok_and(|reports| reports.iter().any(|(_, report)| is_fresh(report)))
}

/// Whether the service knows the key, and takes each destination's filter.
async fn service(config: &Config, client: &Client) -> Result<String, String> {
    let me = client.me().await.map_err(|error| error.to_string())?;
    for definition in config.definitions().map_err(|error| error.to_string())? {
        let filter =
            definition.delivery().filter(config.filter()).map_err(|error| error.to_string())?;
        let params = HistoryParams { limit: Some(1), ..history(&filter) };
        let taken = client.events().list(&params).await;
        taken.map_err(|error| {
            format!("the filter of {:?} is refused: {error}", definition.name())
        })?;
    }
    Ok(format!("{} knows the key, as {}", config.url, me.name))
}

fn report(json: bool, name: &str, kind: &str, result: &Result<String, String>) {
    if json {
        let (Ok(message) | Err(message)) = result;
        print::line(json!({"name": name, "type": kind, "ok": result.is_ok(), "message": message}));
        return;
    }
    let (mark, color, message) = match result {
        Ok(message) => ("ok", AnsiColor::Green, message),
        Err(message) => ("failed", AnsiColor::Red, message),
    };
    let mark = format!("{mark:6}");
    let told = format_args!("  {name} ({kind}): {message}");
    print::pieces(&[(color.on_default().bold(), &mark), (print::PLAIN, &told)]);
}
