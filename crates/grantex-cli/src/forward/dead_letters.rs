//! `grantex forward dead-letters`

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};
use grantex::Timestamp;
use grantex::internal::redacted;
use grantex_destinations::{DeadLetter, Redelivery, State};
use tokio::time::Instant;

use super::config::Config;
use super::status::is_fresh;
use crate::{CommandError, print};

/// How long `retry` waits for a running forwarder.
const PATIENCE: Duration = Duration::from_secs(20);

/// List, retry and drop the events that a destination refused
#[derive(Args)]
#[command(after_help = "Examples:
  grantex forward dead-letters list
  grantex forward dead-letters list --destination siem --json
  grantex forward dead-letters show 7
  grantex forward dead-letters retry 7 8
  grantex forward dead-letters retry --all --destination siem
  grantex forward dead-letters drop 7
  grantex forward dead-letters set-aside hook   let refused events become dead letters")]
pub(super) struct DeadLetters {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List dead letters
    List {
        /// Only those of this destination
        #[arg(long, value_name = "NAME")]
        destination: Option<String>,
        /// Print one JSON object per line, with the whole event
        #[arg(long)]
        json: bool,
    },
    /// Show one dead letter with its event and the destination's answer
    Show {
        /// Its number in `list`
        number: i64,
    },
    /// Send dead letters again
    ///
    /// Fails if the destination refuses one of them again.
    #[command(override_usage = "grantex forward dead-letters retry [OPTIONS] <NUMBER>...
       grantex forward dead-letters retry [OPTIONS] --all [--destination <NAME>]")]
    Retry(Which),
    /// Delete dead letters
    #[command(override_usage = "grantex forward dead-letters drop [OPTIONS] <NUMBER>...
       grantex forward dead-letters drop [OPTIONS] --all [--destination <NAME>]")]
    Drop(Which),
    /// Let refused events become dead letters although the destination has not accepted any event
    /// yet
    ///
    /// Until a destination has accepted an event with its current configuration, a refusal may come
    /// from another server at its address. The forwarder then retries and creates no dead letter.
    /// This command confirms that the destination itself refuses. It concerns only answers that
    /// reject an event, such as 400 and 422. After others, such as 401, 403 and 404, the event is
    /// retried until the cause is repaired.
    SetAside {
        /// The destination's name
        destination: String,
    },
}

#[derive(Args)]
struct Which {
    /// Their numbers in `list`
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "NUMBER")]
    numbers: Vec<i64>,
    /// All dead letters
    #[arg(long)]
    all: bool,
    /// Only those of this destination
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
}

pub(super) async fn run(path: &Path, command: DeadLetters) -> Result<(), CommandError> {
    let config = Config::load(path)?;
    let state = State::look(&config.state_dir)?;
    match command.command {
        Command::List { destination, json } => {
            check_name(&config, &state, destination.as_deref()).await?;
            list(&state, destination, json).await
        }
        Command::Show { number } => show(&state, number).await,
        Command::Retry(which) => {
            check_name(&config, &state, which.destination.as_deref()).await?;
            retry(&state, &which).await
        }
        Command::Drop(which) => {
            check_name(&config, &state, which.destination.as_deref()).await?;
            let numbers = chosen(&state, &which).await?;
            state.drop_dead_letters(&numbers).await?;
            print::line(format_args!("{} dropped", numbers.len()));
            Ok(())
        }
        Command::SetAside { destination } => {
            let definitions = config.definitions()?;
            let found = definitions.iter().find(|definition| definition.name() == destination);
            let Some(definition) = found else {
                let names = definitions.iter().map(|definition| definition.name().to_owned());
                return Err(unknown(&destination, names.collect()).into());
            };
            definition.believe(&state).await?;
            print::line(format_args!(
                "from now on an event that {destination} rejects (for example with 400 or 422) \
                 becomes a dead letter; answers that concern the address or the credentials (for \
                 example 401, 403, 404) are still retried"
            ));
            Ok(())
        }
    }
}

/// Refuses the name of a destination that is not configured and has no dead letters.
async fn check_name(
    config: &Config,
    state: &State,
    name: Option<&str>,
) -> Result<(), CommandError> {
    let Some(name) = name else { return Ok(()) };
    let configured = config.definitions()?;
    let mut names: BTreeSet<String> =
        configured.iter().map(|definition| definition.name().to_owned()).collect();
    if names.contains(name) {
        return Ok(());
    }
    names.extend(find(state, None, Vec::new()).await?.into_iter().map(|one| one.destination));
    if names.contains(name) { Ok(()) } else { Err(unknown(name, names).into()) }
}

fn unknown(name: &str, known: BTreeSet<String>) -> String {
    let known: Vec<String> = known.into_iter().map(|name| format!("{name:?}")).collect();
    format!("there is no destination {name:?}; the destinations are {}", known.join(", "))
}

async fn list(state: &State, destination: Option<String>, json: bool) -> Result<(), CommandError> {
    let letters = state
        .dead_letters(grantex_destinations::DeadLetters { destination, numbers: Vec::new() })
        .await?;
    if !json && letters.is_empty() {
        print::line("no dead letters");
    }
    for letter in letters {
        if json {
            print::line(serde_json::to_string(&letter)?);
        } else {
            let (at, again) = (
                Timestamp::from_millis(letter.at_ms),
                if letter.is_waiting { ", waiting to be sent again" } else { "" },
            );
            print::line(format_args!(
                "{:>6}  {at}  {}  {}  {}{again}",
                letter.number,
                letter.destination,
                letter.event_id,
                redacted(&letter.reason)
            ));
        }
    }
    Ok(())
}

async fn show(state: &State, number: i64) -> Result<(), CommandError> {
    let Some(letter) = find(state, None, vec![number]).await?.into_iter().next() else {
        return Err(format!("there is no dead letter {number}").into());
    };
    let event: serde_json::Value = serde_json::from_str(letter.event.get())?;
    print::line(format_args!("destination  {}", letter.destination));
    print::line(format_args!(
        "refused      {}, {} time{}",
        Timestamp::from_millis(letter.at_ms),
        letter.tries,
        if letter.tries == 1 { "" } else { "s" }
    ));
    print::line(format_args!("answer       {}", redacted(&letter.reason)));
    print::line("event");
    print::pretty(&event)
}

async fn find(
    state: &State,
    destination: Option<String>,
    numbers: Vec<i64>,
) -> Result<Vec<DeadLetter>, CommandError> {
    Ok(state.dead_letters(grantex_destinations::DeadLetters { destination, numbers }).await?)
}

/// The numbers that a command is about; an unknown one is an error.
async fn chosen(state: &State, which: &Which) -> Result<Vec<i64>, CommandError> {
    let found = find(state, which.destination.clone(), which.numbers.clone()).await?;
    let found: Vec<i64> = found.iter().map(|letter| letter.number).collect();
    match which.numbers.iter().find(|number| !found.contains(number)) {
        Some(number) => Err(format!("there is no dead letter {number}").into()),
        None => Ok(found),
    }
}

/// Asks the forwarder to send them again, and prints the outcome if one is running.
async fn retry(state: &State, which: &Which) -> Result<(), CommandError> {
    let numbers = chosen(state, which).await?;
    state.retry_dead_letters(&numbers).await?;
    let runs = state.reports().await?.iter().any(|(_, report)| is_fresh(report));
    if !runs || numbers.is_empty() {
        print::line(format_args!("{} will be sent again when the forwarder runs", numbers.len()));
        return Ok(());
    }
    let begun = Instant::now();
    loop {
        let Redelivery { delivered, refused, waiting, .. } = state.redelivery(&numbers).await?;
        if waiting == 0 || begun.elapsed() > PATIENCE {
            print::line(format_args!(
                "{delivered} delivered, {refused} refused again, {waiting} still waiting"
            ));
            return match refused {
                0 => Ok(()),
                1 => Err("one dead letter was refused again".into()),
                n => Err(format!("{n} dead letters were refused again").into()),
            };
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
