//! Options of JavaScript: JSON with names in camel case.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use grantex::Client;
use grantex_destinations::{
    ConfigError, Definition, DeliveryOptions, EventSource, Filter, SourceError, trusting,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::calls::{Calls, Outcome};
use crate::error::NativeError;
use crate::names::{camel_case, snake_case};
use crate::observe::ObserverBridge;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceOptions {
    url: Option<String>,
    api_key: Option<String>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    types: Vec<String>,
    agent_id: Option<String>,
    principal_id: Option<String>,
    grant_id: Option<String>,
    since: Option<String>,
    state_dir: Option<PathBuf>,
    stop_limit_ms: Option<u64>,
}

const USER_AGENT: &str = concat!("grantex-destinations-node/", env!("CARGO_PKG_VERSION"));

/// The source that these options describe.
pub(crate) fn source(
    options: &str,
    asks_for_key: bool,
    calls: &Arc<Calls>,
) -> Result<EventSource, NativeError> {
    let options: SourceOptions = read(in_snake_case(options)?)?;
    let url = options.url.filter(|url| !url.is_empty());
    let url = url.or_else(|| std::env::var("GRANTEX_BASE_URL").ok());
    let url = url.unwrap_or_else(|| grantex::DEFAULT_BASE_URL.to_owned());
    let mut client = Client::builder().base_url(&url).user_agent(USER_AGENT);
    if let Some(path) = &options.ca_file {
        client = client.tls(trusting(path)?);
    }
    client = if asks_for_key {
        let calls = Arc::clone(calls);
        client.key_callback(move || ask_for_key(Arc::clone(&calls)))
    } else {
        let key = options.api_key.or_else(|| std::env::var("GRANTEX_API_KEY").ok());
        let Some(key) = key.filter(|key| !key.is_empty()) else {
            return Err(NativeError::option(
                "api_key",
                "is missing; give it, or set GRANTEX_API_KEY",
            ));
        };
        client.api_key(key)
    };
    let client = client.build().map_err(|error| ConfigError::whole(error.to_string()))?;
    let filter = Filter {
        types: options.types,
        agent_id: options.agent_id,
        principal_id: options.principal_id,
        grant_id: options.grant_id,
    };
    let mut builder = EventSource::builder()
        .url(url)
        .client(client)
        .filter(filter)
        .observer(ObserverBridge::new(calls));
    if let Some(since) = options.since {
        builder = builder.since(since);
    }
    if let Some(folder) = options.state_dir {
        builder = builder.state_dir(folder);
    }
    if let Some(limit) = options.stop_limit_ms {
        builder = builder.stop_limit(Duration::from_millis(limit));
    }
    builder.build().map_err(|error: SourceError| error.into())
}

async fn ask_for_key(calls: Arc<Calls>) -> Result<String, String> {
    match calls.ask("key", "", String::new()).await.map_err(|error| error.to_string())? {
        Outcome::Done { value: Some(key) } => Ok(key),
        Outcome::Done { value: None } => Err("apiKey() did not return a string".to_owned()),
        Outcome::Failed { message, .. } | Outcome::Rejected { message, .. } => Err(message),
    }
}

/// Options with names in snake case.
pub(crate) fn in_snake_case(options: &str) -> Result<Map<String, Value>, NativeError> {
    let options: Map<String, Value> = serde_json::from_str(options).map_err(|error| {
        NativeError::from(ConfigError::whole(format!("the options are not an object: {error}")))
    })?;
    let named = |(name, value): (String, Value)| {
        let rust = snake_case(&name);
        if camel_case(&rust) == name {
            Ok((rust, value))
        } else {
            Err(NativeError::no_option(name, &camel_case(&rust)))
        }
    };
    options.into_iter().map(named).collect()
}

/// A destination of the Rust crate.
pub(crate) fn definition(
    name: &str,
    kind: &str,
    mut options: Map<String, Value>,
) -> Result<Definition, NativeError> {
    options.insert("name".into(), name.into());
    options.insert("type".into(), kind.into());
    Definition::parse(options).map_err(NativeError::from)
}

/// The options of a destination that is written in JavaScript.
pub(crate) fn delivery(options: Map<String, Value>) -> Result<DeliveryOptions, NativeError> {
    let delivery: DeliveryOptions = read(options)?;
    if delivery.format.is_some() {
        let message = "does not apply to a destination of your own, which receives the events themselves; leave it out";
        return Err(NativeError::option("format", message));
    }
    Ok(delivery)
}

fn read<T: for<'de> Deserialize<'de>>(options: Map<String, Value>) -> Result<T, NativeError> {
    for (name, value) in &options {
        // One at a time, to find the invalid one.
        let alone = Value::Object(std::iter::once((name.clone(), value.clone())).collect());
        if let Err(error) = T::deserialize(alone) {
            return Err(NativeError::option(name, error.to_string()));
        }
    }
    T::deserialize(Value::Object(options))
        .map_err(|error| ConfigError::whole(error.to_string()).into())
}
