//! `grantex keys`

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use futures_util::TryStreamExt as _;
use grantex::ListParams;
use grantex::api::developers::{ApiKey, KeyList, Mode, SignupRequest, SignupResponse};
use grantex_core::model::Actor;
use grantex_server::{KeyFolder, SystemClock};
use grantex_store::DataDir;
use grantex_store::sqlite::{FILE_NAME, Loss};

use crate::service::open_store;
use crate::target::Target;
use crate::{CommandError, print};

/// Manage API keys and signing keys
#[derive(Args)]
#[command(after_help = "Examples:
  grantex keys signup \"Acme\" --email dev@acme.example   creates a developer with a first key
  export GRANTEX_API_KEY=gx_live_…
  grantex keys list
  grantex keys create ci
  grantex keys revoke key_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA
  grantex keys rotate-signing --data-dir ./grantex-data && kill -HUP $(cat ./grantex-data/lock)")]
pub(crate) struct Keys {
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sign up: create a developer with a first API key
    Signup(NewDeveloper),
    /// List the developer's API keys
    List,
    /// Create another API key
    Create {
        /// What it is for
        name: String,
    },
    /// Revoke an API key; streams opened with it end within a second
    Revoke {
        /// The key's id
        id: String,
        /// Revoke it even if it is the key that the command itself uses
        #[arg(long)]
        yes: bool,
    },
    /// Replace the API key that the command uses
    Rotate,
    /// Create a developer directly in a data directory, where signup is switched off; no service
    /// may be running on it
    #[command(after_help = "Examples:
  grantex keys bootstrap \"Acme\" --data-dir /var/lib/grantex
  grantex keys bootstrap \"Acme\" --data-dir /var/lib/grantex --create   before the first start")]
    Bootstrap {
        #[command(flatten)]
        developer: NewDeveloper,
        #[command(flatten)]
        data: Data,
        /// Create the data directory's database if it has none
        #[arg(long)]
        create: bool,
    },
    /// Create a new signing key; a running service uses it after SIGHUP. Tokens that the previous
    /// key signed stay valid
    RotateSigning(Data),
}

#[derive(Args)]
struct NewDeveloper {
    /// The developer's name
    name: String,
    /// The developer's email address
    #[arg(long)]
    email: Option<String>,
    /// Create a sandbox developer, for whom consent is given automatically
    #[arg(long)]
    sandbox: bool,
}

#[derive(Args)]
struct Data {
    /// The service's data directory
    #[arg(long, env = "GRANTEX_DATA_DIR", default_value = "./grantex-data", value_name = "FOLDER")]
    data_dir: PathBuf,
}

impl From<NewDeveloper> for SignupRequest {
    fn from(new: NewDeveloper) -> Self {
        let mode = if new.sandbox { Mode::Sandbox } else { Mode::Live };
        Self { name: new.name, email: new.email, mode: Some(mode) }
    }
}

pub(crate) async fn run(keys: Keys) -> Result<(), CommandError> {
    let json = keys.json;
    let target = keys.target;
    match keys.command {
        Command::Signup(new) => {
            let made = target.public_client()?.signup(&new.into()).await?;
            show_developer(&made, json)
        }
        Command::List => {
            let keys: Vec<ApiKey> =
                target.client()?.keys().all(ListParams::default()).try_collect().await?;
            if json {
                return print::pretty(&KeyList { keys, next_cursor: None });
            }
            list(&keys);
            Ok(())
        }
        Command::Create { name } => {
            let made = target.client()?.keys().create(name).await?;
            if json {
                return print::pretty(&made);
            }
            print::line(made.key_id);
            print::line(made.api_key);
            print::note("the API key is shown only once: store it now");
            Ok(())
        }
        Command::Revoke { id, yes } => {
            let client = target.client()?;
            if !yes && target.uses(&client, &id).await? {
                return Err(format!(
                    "{id} is the API key that this command uses: to revoke it, add --yes; to \
                     replace it, use `grantex keys rotate`"
                )
                .into());
            }
            client.keys().revoke(&id).await?;
            if !json {
                print::line(format_args!("revoked {id}"));
            }
            Ok(())
        }
        Command::Rotate => {
            let made = target.client()?.keys().rotate().await?;
            if json {
                return print::pretty(&made);
            }
            print::line(made.api_key);
            print::note(
                "the API key is shown only once: store it now. The previous key has been revoked",
            );
            Ok(())
        }
        Command::Bootstrap { developer, data, create } => {
            if !create && !data.data_dir.join(FILE_NAME).is_file() {
                return Err(format!(
                    "{} has no Grantex database; correct --data-dir, or create one there with \
                     --create",
                    data.data_dir.display()
                )
                .into());
            }
            let data_dir = DataDir::lock(&data.data_dir)?;
            let store = open_store(data_dir.path(), Arc::new(()), Loss::Refuse)?;
            let operator = Actor::operator(&format!("uid {}", rustix::process::getuid().as_raw()));
            let made =
                grantex_server::bootstrap(store.as_ref(), developer.into(), operator).await?;
            show_developer(&made, json)
        }
        Command::RotateSigning(data) => {
            if !data.data_dir.join(grantex_server::SIGNING_KEYS_FOLDER).is_dir() {
                return Err(format!(
                    "{} is not a Grantex data directory; correct --data-dir",
                    data.data_dir.display()
                )
                .into());
            }
            let kid =
                grantex_server::rotate_signing_key(&KeyFolder::new(&data.data_dir), &SystemClock)?;
            if json {
                return print::pretty(&serde_json::json!({ "kid": kid }));
            }
            print::line(kid);
            print::note(
                "to sign with the new key, send SIGHUP to the running service or restart it",
            );
            Ok(())
        }
    }
}

fn list(keys: &[ApiKey]) {
    let shown = keys.iter().map(|key| key.prefix.chars().count().saturating_add(1));
    let width = shown.max().unwrap_or_default();
    print::line(format_args!(
        "{:<30}  {:<width$}  {:<24}  {:<32}  NAME",
        "KEY", "SECRET", "CREATED", "STATE"
    ));
    for key in keys {
        let state = key.revoked_at.map_or("active".to_owned(), |at| format!("revoked {at}"));
        let prefix = format!("{}…", key.prefix);
        print::line(format_args!(
            "{}  {prefix:<width$}  {}  {state:<32}  {}",
            key.key_id, key.created_at, key.name
        ));
    }
}

fn show_developer(made: &SignupResponse, json: bool) -> Result<(), CommandError> {
    if json {
        return print::pretty(made);
    }
    print::line(made.developer_id);
    print::line(&made.api_key);
    print::note("the API key is shown only once: store it now");
    Ok(())
}
