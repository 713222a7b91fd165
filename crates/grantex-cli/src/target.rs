//! Which service a command talks to.

use clap::Args;
use futures_util::TryStreamExt as _;
use grantex::{Client, ListParams};

use crate::CommandError;

/// The service, and the API key.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    /// The service's base URL
    #[arg(
        long,
        env = "GRANTEX_BASE_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL",
        global = true
    )]
    url: String,
    /// The API key; prefer the environment variable, which other users cannot see
    #[arg(
        long,
        env = "GRANTEX_API_KEY",
        hide_env_values = true,
        value_name = "KEY",
        global = true
    )]
    api_key: Option<String>,
}

impl Target {
    /// A client with the key; fails with what to do when there is none.
    pub(crate) fn client(&self) -> Result<Client, CommandError> {
        match &self.api_key {
            Some(key) => client(&self.url, Some(key)),
            None => Err("no API key: set GRANTEX_API_KEY or use --api-key".into()),
        }
    }

    /// Whether the key with this id is the one that the client sends.
    pub(crate) async fn uses(&self, client: &Client, id: &str) -> Result<bool, CommandError> {
        let Some(secret) = &self.api_key else { return Ok(false) };
        let mut keys = std::pin::pin!(client.keys().all(ListParams::default()));
        while let Some(key) = keys.try_next().await? {
            if key.key_id.to_string() == id {
                return Ok(secret.starts_with(&key.prefix));
            }
        }
        Ok(false)
    }

    /// A client for public calls.
    pub(crate) fn public_client(&self) -> Result<Client, CommandError> {
        client(&self.url, None)
    }
}

/// A client of the service at `url`.
pub(crate) fn client(url: &str, key: Option<&str>) -> Result<Client, CommandError> {
    let builder = Client::builder()
        .base_url(url)
        .user_agent(concat!("grantex-cli/", env!("CARGO_PKG_VERSION")));
    let builder = match key {
        Some(key) => builder.api_key(key),
        None => builder,
    };
    Ok(builder.build()?)
}
