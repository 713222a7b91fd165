//! `grantex scopes`

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use grantex::Client;
use grantex::api::scopes::{NameScopesRequest, NewScopeName, ScopeName, ScopeNameList};
use grantex_core::usecase::scopes;
use grantex_types::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::mistake::line_at;
use crate::target::Target;
use crate::{CommandError, print};

/// Give scopes the names that principals read on the consent page
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
    /// Name a scope, or all scopes in a file
    #[command(after_help = "The file has the format that `grantex scopes list --json` prints:
  {\"scopes\": [{\"scope\": \"calendar:read\", \"name\": \"Read your calendar\", \"description\": \"Titles and times\"}]}
Scopes that are not in the file keep their names.

Examples:
  grantex scopes set https://api.example/auth/calendar.readonly \"Read your calendar\"
  grantex scopes set --file scopes.json")]
    Set(Set),
    /// List the scopes that have a name
    #[command(after_help = "Example:\n  grantex scopes list --json | jq -r '.scopes[].scope'")]
    List,
    /// Remove a scope's name; grants do not change
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
    /// What the scope allows, as the words that follow "it may"
    name: Option<String>,
    /// A longer description
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
    parse(&text).map_err(|error| format!("{}: {error}; no name was set", path.display()).into())
}

/// The names of a file, all of which the service can take: it takes them by hundreds, and a mistake
/// at the end must not leave half of them set.
fn parse(text: &str) -> Result<Vec<NewScopeName>, String> {
    let is_wrong = |error: serde_json::Error| format!("not a file of scopes: {error}");
    let names = serde_json::from_str::<File>(text).map_err(is_wrong)?.scopes;
    // Where each stands.
    let places = serde_json::from_str::<Places<'_>>(text).map_err(is_wrong)?.scopes;
    if names.len() > scopes::MOST_NAMED as usize {
        return Err(format!(
            "the file names {} scopes; a developer can name {}",
            names.len(),
            scopes::MOST_NAMED
        ));
    }
    let mut lines = HashMap::new();
    for (new, place) in names.iter().zip(places) {
        let offset = (place.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        let line = line_at(text, offset);
        scopes::checked(new.clone(), Timestamp::from_millis(0))
            .map_err(|error| format!("line {line}: scope {:?}: {error}", new.scope))?;
        if let Some(first) = lines.insert(&new.scope, line) {
            return Err(format!("line {line}: {:?} is named on line {first} already", new.scope));
        }
    }
    Ok(names)
}

/// The same file, where its items stand.
#[derive(Deserialize)]
struct Places<'a> {
    #[serde(borrow)]
    scopes: Vec<&'a RawValue>,
}

async fn name(client: &Client, names: Vec<NewScopeName>) -> Result<Vec<ScopeName>, CommandError> {
    let mut all = Vec::new();
    for scopes in names.chunks(scopes::MOST_AT_ONCE) {
        let request = NameScopesRequest { scopes: scopes.to_vec() };
        let set = client.scope_names().set(&request).await.map_err(|error| match all.len() {
            0 => CommandError::from(error),
            done => {
                format!("{done} of {} scopes were named before this error: {error}", names.len())
                    .into()
            }
        })?;
        all.extend(set);
    }
    Ok(all)
}

fn show(scopes: Vec<ScopeName>, json: bool) -> Result<(), CommandError> {
    if json {
        return print::pretty(&ScopeNameList { scopes });
    }
    if scopes.is_empty() {
        print::note("no scope has a name; `grantex scopes set` names one");
    }
    let width = scopes.iter().map(|scope| scope.scope.len()).max().unwrap_or_default();
    for ScopeName { scope, name, description, .. } in scopes {
        let gap = if description.is_empty() { "" } else { "  " };
        print::line(format_args!("{scope:<width$}  {name}{gap}{description}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_checked_as_a_whole_and_a_mistake_has_its_line() {
        let item =
            |scope: &str, name: &str| format!("{{\"scope\": \"{scope}\", \"name\": \"{name}\"}}");
        let file = |items: &[String]| format!("{{\"scopes\": [\n{}\n]}}", items.join(",\n"));
        let mut items: Vec<String> = (0..300).map(|n| item(&format!("s{n}"), "S")).collect();
        assert_eq!(parse(&file(&items)).unwrap().len(), 300);
        for (bad, says) in [
            (item("s249", " "), "line 251: scope \"s249\": name must not be empty"),
            (item("a b", "S"), "line 251: scope \"a b\": scopes"),
            (item("s7", "S"), "line 251: \"s7\" is named on line 9 already"),
            ("5".into(), "at line 251 column"),
        ] {
            items[249] = bad;
            let error = parse(&file(&items)).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        let items: Vec<String> = (0..501).map(|n| item(&format!("s{n}"), "S")).collect();
        assert!(parse(&file(&items)).unwrap_err().contains("can name 500"));
    }
}
