//! `grantex forward check`

use std::path::Path;
use std::time::Duration;

use anstyle::AnsiColor;
use serde_json::json;
use tokio::time::timeout;

use super::config::Config;
use crate::{Failure, print};

/// What takes longer does not answer.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn run(path: &Path, json: bool) -> Result<(), Failure> {
    let config = Config::load(path)?;
    let (client, _) = config.client()?;
    let mut failed = 0_usize;
    let mut tell = |name: &str, kind: &str, result: Result<String, String>| {
        failed = failed.saturating_add(usize::from(result.is_err()));
        report(json, name, kind, &result);
    };
    let me = client.me().await;
    let service = me.map(|me| format!("{} knows the key, as {}", config.url, me.name));
    tell("service", "grantex", service.map_err(|error| error.to_string()));
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
    let style = color.on_default().bold();
    print::line(format_args!("{style}{mark:6}{style:#}  {name} ({kind}): {message}"));
}
