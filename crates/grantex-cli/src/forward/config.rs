//! The forwarder's configuration file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use grantex::Client;
use grantex_destinations::{
    Builder, ConfigError, Definition, EventSource, Filter, Secret, trusting,
};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::file::File;
use crate::CommandError;
use crate::listen::Listen;

/// What the file says, with every secret in its place. Everything in it that a start would refuse
/// was refused when it was loaded, for every command.
pub(super) struct Config {
    pub(super) url: String,
    pub(super) api_key: Secret,
    pub(super) state_dir: PathBuf,
    /// Where a destination without a checkpoint starts; with what happens from then on unless
    /// given.
    since: Option<String>,
    filter: Filter,
    /// What the service's certificate is trusted by, besides the system's authorities.
    ca_file: Option<PathBuf>,
    /// Where health and metrics are served.
    pub(super) listen: Option<Listen>,
    pub(super) stop_limit: Duration,
    pub(super) destinations: Vec<Map<String, Value>>,
}

/// The keys beside the destinations.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Keys {
    url: Option<String>,
    api_key: Option<Secret>,
    ca_file: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    since: Option<String>,
    types: Vec<String>,
    agent_id: Option<String>,
    principal_id: Option<String>,
    grant_id: Option<String>,
    listen: Option<Listen>,
    stop_limit_ms: Option<u64>,
    destination: Vec<Map<String, Value>>,
}

const DEFAULT_URL: &str = "http://127.0.0.1:8080";
const DEFAULT_STATE_DIR: &str = "./forward-state";

impl Config {
    pub(super) fn load(path: &Path) -> Result<Self, CommandError> {
        let file = File::read(path)?;
        let config = Self::of(&file)?;
        let named = |error: &ConfigError| {
            file.mistake(error.key.as_deref().unwrap_or_default(), &error.message)
        };
        config.source()?.check().map_err(|error| named(&error))?;
        let (mut seen, mut files) = (BTreeSet::new(), BTreeSet::new());
        for (index, options) in config.destinations.iter().enumerate() {
            let wrong = |key: &str, message: String| {
                let name = options.get("name").and_then(Value::as_str);
                let of = name.map_or(String::new(), |name| format!("destination {name:?}: "));
                file.mistake(&format!("destination.{index}.{key}"), format_args!("{of}{message}"))
            };
            let definition = Definition::parse(options.clone())
                .map_err(|error| wrong(error.key.as_deref().unwrap_or_default(), error.message))?;
            if !seen.insert(definition.name().to_owned()) {
                return Err(wrong(
                    "name",
                    "another destination has this name; names must be unique".into(),
                )
                .into());
            }
            // Each truncates what it finds behind its own checkpoint: two would cut each other's
            // events.
            if let Some(path) = file_path(options)
                && !files.insert(path)
            {
                return Err(wrong(
                    "path",
                    "another destination writes to this file; give each its own".into(),
                )
                .into());
            }
        }
        Ok(config)
    }

    fn of(file: &File) -> Result<Self, CommandError> {
        // One at a time tells which one is wrong.
        for (key, value) in &file.values {
            let alone = Value::Object(std::iter::once((key.clone(), value.clone())).collect());
            Keys::deserialize(&alone).map_err(|error| file.mistake(key, error))?;
        }
        let keys = Keys::deserialize(&Value::Object(file.values.clone()))?;
        let Some(api_key) = keys.api_key else {
            return Err(file
                .mistake(
                    "api_key",
                    "is missing; set it, for example to \
                \"${GRANTEX_API_KEY}\"",
                )
                .into());
        };
        if keys.destination.is_empty() {
            return Err(file
                .mistake("", "the file has no [[destination]]; add at least one")
                .into());
        }
        let config = Self {
            url: keys.url.unwrap_or_else(|| DEFAULT_URL.to_owned()),
            api_key,
            state_dir: keys.state_dir.unwrap_or_else(|| DEFAULT_STATE_DIR.into()),
            since: keys.since,
            filter: Filter {
                types: keys.types,
                agent_id: keys.agent_id,
                principal_id: keys.principal_id,
                grant_id: keys.grant_id,
            },
            ca_file: keys.ca_file,
            listen: keys.listen,
            stop_limit: keys.stop_limit_ms.map_or(Duration::from_secs(10), Duration::from_millis),
            destinations: keys.destination,
        };
        let url = Client::builder().base_url(&config.url).build();
        url.map_err(|error| file.mistake("url", error))?;
        let key = Client::builder().base_url(&config.url).api_key(config.api_key.expose()).build();
        key.map_err(|error| file.mistake("api_key", error))?;
        if let Some(path) = &config.ca_file {
            trusting(path).map_err(|error| file.mistake("ca_file", error.message))?;
        }
        Ok(config)
    }

    /// The destinations; reaches nobody.
    pub(super) fn definitions(&self) -> Result<Vec<Definition>, CommandError> {
        self.destinations.iter().map(|options| Ok(Definition::parse(options.clone())?)).collect()
    }

    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The source, without its destinations.
    pub(super) fn source(&self) -> Result<Builder, CommandError> {
        let (client, _) = self.client()?;
        Ok(self.source_of(client))
    }

    /// The same, with a client that was made before.
    pub(super) fn source_of(&self, client: Client) -> Builder {
        let source = EventSource::builder()
            .url(&self.url)
            .client(client)
            .filter(self.filter.clone())
            .state_dir(&self.state_dir)
            .stop_limit(self.stop_limit);
        match &self.since {
            Some(since) => source.since(since),
            None => source,
        }
    }

    /// The options that differ in the other, of those that only a start can change.
    pub(super) fn needs_restart(&self, other: &Self) -> Vec<&'static str> {
        let (own, others) = (&self.filter, &other.filter);
        let options = [
            ("url", self.url != other.url),
            ("ca_file", self.ca_file != other.ca_file),
            ("state_dir", self.state_dir != other.state_dir),
            ("since", self.since != other.since),
            ("types", own.types != others.types),
            ("agent_id", own.agent_id != others.agent_id),
            ("principal_id", own.principal_id != others.principal_id),
            ("grant_id", own.grant_id != others.grant_id),
            ("listen", self.listen != other.listen),
            ("stop_limit_ms", self.stop_limit != other.stop_limit),
        ];
        options.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
    }

    /// A client whose key is what the file says when it is asked for.
    pub(super) fn client(&self) -> Result<(Client, Key), CommandError> {
        let key = Key(std::sync::Arc::new(Mutex::new(self.api_key.clone())));
        let asked = key.clone();
        let mut client = Client::builder();
        if let Some(path) = &self.ca_file {
            client = client.tls(trusting(path)?);
        }
        let client = client
            .base_url(&self.url)
            .user_agent(concat!("grantex-forward/", env!("CARGO_PKG_VERSION")))
            .key_callback(move || {
                let key = asked.0.lock().expose().to_owned();
                async move { Ok::<_, std::convert::Infallible>(key) }
            });
        Ok((client.build()?, key))
    }
}

/// The API key, which a reload may change.
#[derive(Clone)]
pub(super) struct Key(std::sync::Arc<Mutex<Secret>>);

impl Key {
    pub(super) fn set(&self, key: &Secret) {
        key.clone_into(&mut self.0.lock());
    }
}

/// The file that a destination writes, whatever way its path is written; `None` for other kinds and
/// for what several may write to.
fn file_path(options: &Map<String, Value>) -> Option<PathBuf> {
    let is_file = options.get("type").and_then(Value::as_str) == Some("file");
    let path = options.get("path").and_then(Value::as_str).filter(|_| is_file)?;
    if path == "-" || path.starts_with("/dev/") {
        return None;
    }
    std::path::absolute(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, CommandError> {
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
        assert_eq!(config.api_key.expose(), "from-a-file");
        assert_eq!(config.state_dir, Path::new("grantex-cli-state"));
    }

    #[test]
    fn a_secret_s_file_is_looked_for_beside_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("secrets")).unwrap();
        std::fs::write(folder.path().join("secrets/key"), "from-beside\n").unwrap();
        let path = folder.path().join("forward.toml");
        let file = "[[destination]]\nname = \"a\"\ntype = \"file\"\npath = \"x\"\n";
        std::fs::write(&path, format!("api_key = \"${{file:secrets/key}}\"\n{file}")).unwrap();
        assert_eq!(Config::load(&path).unwrap().api_key.expose(), "from-beside");
        std::fs::write(&path, format!("api_key = \"${{file:secrets/none}}\"\n{file}")).unwrap();
        let error = Config::load(&path).map(drop).unwrap_err().to_string();
        assert!(error.contains(folder.path().join("secrets/none").to_str().unwrap()), "{error}");
    }

    #[test]
    fn a_mistake_is_said_with_its_key_its_line_and_what_was_expected() {
        let key = "api_key = \"k\"\n";
        let file = "[[destination]]\nname = \"a\"\ntype = \"file\"\npath = \"x\"\n";
        for (text, said) in [
            (
                "api_key = \"${GRANTEX_NO_SUCH}\"",
                "line 1: api_key: the environment variable GRANTEX_NO_SUCH is not set",
            ),
            ("\napi_key = \"${file:/no/such}\"", "line 2: api_key: /no/such: "),
            ("api_key = \"${X\"", "line 1: api_key: a `${` has no closing `}`"),
            (key, "the file has no [[destination]]; add at least one"),
            (
                &format!("{key}{file}{file}"),
                "line 7: name: destination \"a\": another destination has this name",
            ),
            (
                &format!("{key}{file}{}", file.replace("\"a\"", "\"b\"")),
                "path: destination \"b\": another destination writes to this file",
            ),
            (
                &format!("{key}stat_dir = \"x\"\n{file}"),
                "line 2: stat_dir: unknown field `stat_dir`, expected",
            ),
            (file, "api_key: is missing"),
            (&format!("api_key = 5\n{file}"), "line 1: api_key: expected a string in quotes"),
            (
                &format!("api_key = \"a b\"\n{file}"),
                "line 1: api_key: the API key is empty or contains",
            ),
            (
                &format!("api_key = 2026-01-01\n{file}"),
                "line 1: api_key: expected another type than the time 2026-01-01",
            ),
            ("api_key = ", "line 1: "),
            (
                &format!("{key}types = \"grant.revoked\"\n{file}"),
                "line 2: types: invalid type: string \"grant.revoked\", expected a list",
            ),
            (
                &format!("{key}types = [\"grant.removed\"]\n{file}"),
                "line 2: types: unknown event type",
            ),
            (&format!("{key}since = \"yesterday\"\n{file}"), "line 2: since: \"yesterday\": "),
            (&format!("{key}since = 2026-01-01\n{file}"), "line 2: since: \"2026-01-01\": "),
            (&format!("{key}url = \"ftp://x\"\n{file}"), "line 2: url: the base URL"),
            (
                &format!("{key}listen = \"x\"\n{file}"),
                "line 2: listen: \"x\": expected an address or a name with a port",
            ),
            (
                &format!("{key}{file}since = 07:30:00\n"),
                "line 6: since: destination \"a\": \"07:30:00\": ",
            ),
            (
                &format!("{key}{file}batch_size = true\n"),
                "line 6: batch_size: destination \"a\": invalid type: boolean `true`, expected a whole number",
            ),
            (
                &format!("{key}[[destination]]\nname = \"a\"\ntype = \"file\"\n"),
                "line 2: destination \"a\": missing field `path`",
            ),
            (
                &format!("{key}[[destination]]\ntype = \"file\"\n"),
                "line 2: a destination without a name",
            ),
        ] {
            let error = load(text).map(drop).unwrap_err().to_string();
            assert!(error.contains(said), "{error:?} does not say {said:?}");
        }
    }

    #[test]
    fn a_time_of_toml_is_a_time() {
        let text = "api_key = \"k\"\nsince = 2026-01-01T00:00:00Z\n[[destination]]\nname = \"a\"\ntype = \"file\"\npath = \"x\"\nsince = 2026-01-01T02:00:00+02:00\n";
        assert_eq!(load(text).unwrap().since.as_deref(), Some("2026-01-01T00:00:00Z"));
    }

    #[test]
    fn no_mistake_shows_a_secret() {
        let destination = "[[destination]]\nname = \"a\"\ntype = \"splunk\"\nhec_url = \"https://u:hush@\"\nhec_token = 4242\n";
        for text in [
            "api_key = 4242",
            "api_key = \"hush",
            "api_key = \"k\"\nurl = \"http://u:hush@h\"\n[[destination]]\nname = \"a\"",
            &format!("api_key = \"k\"\n{destination}"),
            &format!("api_key = \"k\"\n{}", destination.replace("4242", "\"x\"")),
        ] {
            let error = load(text).map(drop).unwrap_err().to_string();
            assert!(!error.contains("hush") && !error.contains("4242"), "{error}");
        }
    }
}
