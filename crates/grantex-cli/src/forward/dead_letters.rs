//! `grantex forward dead-letters`

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
    Retry(Which),
    /// Delete dead letters
    Drop(Which),
    /// Let refused events become dead letters although the destination has not accepted any event
    /// yet
    ///
    /// Until a destination has accepted an event with its current configuration, a refusal may come
    /// from another server at its address. The forwarder then retries and creates no dead letter.
    /// This command confirms that the destination itself refuses.
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
        Command::List { destination, json } => list(&state, destination, json).await,
        Command::Show { number } => show(&state, number).await,
        Command::Retry(which) => retry(&state, &which).await,
        Command::Drop(which) => {
            let numbers = chosen(&state, &which).await?;
            state.drop_dead_letters(&numbers).await?;
            print::line(format_args!("{} dropped", numbers.len()));
            Ok(())
        }
        Command::SetAside { destination } => {
            let mut definitions = config.definitions()?.into_iter();
            let Some(definition) = definitions.find(|definition| definition.name() == destination)
            else {
                return Err(format!(
                    "there is no destination {destination:?} in the configuration"
                )
                .into());
            };
            definition.believe(&state).await?;
            print::line(format_args!(
                "events that {destination} refuses become dead letters from now on"
            ));
            Ok(())
        }
    }
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
        "refused      {}, {} times",
        Timestamp::from_millis(letter.at_ms),
        letter.tries
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
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
