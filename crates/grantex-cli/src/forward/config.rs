//! The forwarder's configuration file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use grantex::Client;
use grantex_destinations::{Definition, Filter};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Failure;

/// What the file says, with every secret in its place.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    #[serde(default = "default_url")]
    pub(super) url: String,
    pub(super) api_key: String,
    #[serde(default = "default_state_dir")]
    pub(super) state_dir: PathBuf,
    /// Where a destination without a checkpoint starts; with what happens from then on unless given.
    pub(super) since: Option<String>,
    /// For destinations that do not say otherwise.
    #[serde(default)]
    types: Vec<String>,
    #[serde(default)]
    agent_id: Option<String>,
    #[serde(default)]
    principal_id: Option<String>,
    #[serde(default)]
    grant_id: Option<String>,
    /// Where health and metrics are served.
    pub(super) listen: Option<SocketAddr>,
    /// How long stopping may take.
    stop_limit_ms: Option<u64>,
    #[serde(default, rename = "destination")]
    pub(super) destinations: Vec<Map<String, Value>>,
}

fn default_url() -> String {
    "http://127.0.0.1:8080".into()
}

fn default_state_dir() -> PathBuf {
    "./forward-state".into()
}

impl Config {
    pub(super) fn load(path: &Path) -> Result<Self, Failure> {
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::NotFound => "; `grantex forward --help` shows one to begin with",
                _ => "",
            };
            format!("{}{hint}", named(&error))
        })?;
        let table: toml::Table = toml::from_str(&text).map_err(|error| named(&error))?;
        let mut value = serde_json::to_value(table).map_err(|error| named(&error))?;
        expand(&mut value, "").map_err(|error| named(&error))?;
        let config: Self = serde_json::from_value(value).map_err(|error| named(&error))?;
        if config.destinations.is_empty() {
            return Err(named(&"there is no [[destination]]").into());
        }
        let mut seen = std::collections::BTreeSet::new();
        for definition in config.definitions().map_err(|error| named(&error))? {
            if !seen.insert(definition.name().to_owned()) {
                return Err(named(&format!("two destinations are named {:?}", definition.name())).into());
            }
        }
        Ok(config)
    }

    /// The destinations; reaches nobody.
    pub(super) fn definitions(&self) -> Result<Vec<Definition>, Failure> {
        self.destinations.iter().map(|options| Ok(Definition::parse(options.clone())?)).collect()
    }

    pub(super) fn filter(&self) -> Filter {
        let mut filter = Filter::default();
        filter.types.clone_from(&self.types);
        filter.agent_id.clone_from(&self.agent_id);
        filter.principal_id.clone_from(&self.principal_id);
        filter.grant_id.clone_from(&self.grant_id);
        filter
    }

    pub(super) fn stop_limit(&self) -> Duration {
        self.stop_limit_ms.map_or(Duration::from_secs(10), Duration::from_millis)
    }

    /// A client whose key is what the file says when it is asked for.
    pub(super) fn client(&self) -> Result<(Client, Key), Failure> {
        let key = Key(std::sync::Arc::new(Mutex::new(self.api_key.clone())));
        let asked = key.clone();
        let client = Client::builder()
            .base_url(&self.url)
            .user_agent(concat!("grantex-forward/", env!("CARGO_PKG_VERSION")))
            .key_callback(move || {
                let key = asked.0.lock().clone();
                async move { Ok::<_, std::convert::Infallible>(key) }
            });
        Ok((client.build()?, key))
    }
}

/// The API key, which a reload may change.
#[derive(Clone)]
pub(super) struct Key(std::sync::Arc<Mutex<String>>);

impl Key {
    pub(super) fn set(&self, key: &str) {
        key.clone_into(&mut self.0.lock());
    }
}

/// Puts `${NAME}` from the environment and `${file:PATH}` from a file in its place, in every text.
fn expand(value: &mut Value, key: &str) -> Result<(), String> {
    match value {
        Value::String(text) => {
            if let Some(expanded) = expand_text(text).map_err(|error| format!("{key}: {error}"))? {
                *text = expanded;
            }
            Ok(())
        }
        Value::Array(values) => values.iter_mut().try_for_each(|value| expand(value, key)),
        Value::Object(values) => values.iter_mut().try_for_each(|(key, value)| expand(value, key)),
        _ => Ok(()),
    }
}

fn expand_text(text: &str) -> Result<Option<String>, String> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or("a `${` without its `}`")?;
        out.push_str(before);
        match name.strip_prefix("file:") {
            Some(path) => {
                let content = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
                out.push_str(content.trim_end());
            }
            None => {
                out.push_str(&std::env::var(name).map_err(|_| format!("the environment has no {name}"))?);
            }
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, Failure> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("forward.toml");
        std::fs::write(&path, text)?;
        Config::load(&path)
    }

    #[test]
    fn secrets_come_from_the_environment_and_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "from-a-file\n").unwrap();
        let text = format!(
            "api_key = \"${{file:{}}}\"\nstate_dir = \"${{CARGO_PKG_NAME}}-state\"\n[[destination]]\nname = \"a\"\ntype = \"file\"\npath = \"x\"\n",
            file.display()
        );
        let config = load(&text).unwrap();
        assert_eq!(config.api_key, "from-a-file");
        assert_eq!(config.state_dir, Path::new("grantex-cli-state"));
    }

    #[test]
    fn mistakes_are_told_with_their_key() {
        let file = "[[destination]]\nname = \"a\"\ntype = \"file\"\npath = \"x\"\n";
        for (text, told) in [
            ("api_key = \"${GRANTEX_NO_SUCH}\"", "api_key: the environment has no GRANTEX_NO_SUCH"),
            ("api_key = \"${file:/no/such}\"", "api_key: /no/such: "),
            ("api_key = \"${X\"", "api_key: a `${` without"),
            ("api_key = \"k\"", "there is no [[destination]]"),
            (&format!("api_key = \"k\"\n{file}{file}"), "two destinations are named \"a\""),
            (&format!("api_key = \"k\"\nstat_dir = \"x\"\n{file}"), "stat_dir"),
            (file, "missing field `api_key`"),
            ("api_key = ", "line 1"),
        ] {
            let error = load(text).map(drop).unwrap_err().to_string();
            assert!(error.contains(told), "{error:?} does not tell {told:?}");
        }
    }
}
