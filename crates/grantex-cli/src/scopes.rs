//! `grantex scopes`

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use grantex::Client;
use grantex::api::scopes::{NameScopesRequest, NewScopeName, ScopeName, ScopeNameList};
use serde::Deserialize;

use crate::target::Target;
use crate::{CommandError, print};

/// Scopes that one call of the service names.
const MOST_AT_ONCE: usize = 100;

/// Name scopes for the people who read them on the consent page
#[derive(Args)]
#[command(after_help = "Examples:
  export GRANTEX_API_KEY=gx_live_…
  grantex scopes set calendar:read \"Read your calendar\" --description \"Titles, times and places\"
  grantex scopes list
  grantex scopes list --json > scopes.json && grantex scopes set --file scopes.json
  grantex scopes remove calendar:read")]
pub(crate) struct Scopes {
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
    /// Name a scope, or all those of a file
    #[command(after_help = "A file has the JSON that `grantex scopes list --json` prints:
  {\"scopes\": [{\"scope\": \"calendar:read\", \"name\": \"Read your calendar\", \"description\": \"Titles and times\"}]}
Scopes that it does not list keep their names.

Examples:
  grantex scopes set https://api.example/auth/calendar.readonly \"Read your calendar\"
  grantex scopes set --file scopes.json")]
    Set(Set),
    /// List the scopes that have a name
    #[command(after_help = "Example:\n  grantex scopes list --json | jq -r '.scopes[].scope'")]
    List,
    /// Take a scope's name away; grants do not change
    #[command(after_help = "Example:\n  grantex scopes remove calendar:read")]
    Remove {
        /// The scope
        scope: String,
    },
}

#[derive(Args)]
struct Set {
    /// The scope
    #[arg(required_unless_present = "file", requires = "name")]
    scope: Option<String>,
    /// What it allows, in a few words that follow "it may"
    name: Option<String>,
    /// More about it
    #[arg(long, value_name = "TEXT", requires = "scope")]
    description: Option<String>,
    /// Name the scopes of this JSON file; `-` reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "scope")]
    file: Option<PathBuf>,
}

pub(crate) async fn run(scopes: Scopes) -> Result<(), CommandError> {
    let client = scopes.target.client()?;
    match scopes.command {
        Command::Set(set) => show(name(&client, set.names()?).await?, scopes.json),
        Command::List => show(client.scope_names().list().await?, scopes.json),
        Command::Remove { scope } => Ok(client.scope_names().remove(scope).await?),
    }
}

impl Set {
    fn names(self) -> Result<Vec<NewScopeName>, CommandError> {
        match (self.file, self.scope, self.name) {
            (Some(file), ..) => read(&file),
            (None, Some(scope), Some(name)) => {
                Ok(vec![NewScopeName { scope, name, description: self.description }])
            }
            _ => Err("give a scope and its name, or --file".into()),
        }
    }
}

/// What a file of names holds.
#[derive(Deserialize)]
struct File {
    scopes: Vec<NewScopeName>,
}

fn read(path: &Path) -> Result<Vec<NewScopeName>, CommandError> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let file: File = serde_json::from_str(&text)
        .map_err(|error| format!("{} is not a file of scopes: {error}", path.display()))?;
    Ok(file.scopes)
}

async fn name(client: &Client, names: Vec<NewScopeName>) -> Result<Vec<ScopeName>, CommandError> {
    let mut all = Vec::new();
    for scopes in names.chunks(MOST_AT_ONCE) {
        let request = NameScopesRequest { scopes: scopes.to_vec() };
        let set = client.scope_names().set(&request).await.map_err(|error| match all.len() {
            0 => CommandError::from(error),
            done => format!(
                "the first {done} of {} scopes have their names; then: {error}",
                names.len()
            )
            .into(),
        })?;
        all.extend(set);
    }
    Ok(all)
}

fn show(scopes: Vec<ScopeName>, json: bool) -> Result<(), CommandError> {
    if json {
        return print::pretty(&ScopeNameList { scopes });
    }
    let width = scopes.iter().map(|scope| scope.scope.len()).max().unwrap_or_default();
    for ScopeName { scope, name, description, .. } in scopes {
        let gap = if description.is_empty() { "" } else { "  " };
        print::line(format_args!("{scope:<width$}  {name}{gap}{description}"));
    }
    Ok(())
}
