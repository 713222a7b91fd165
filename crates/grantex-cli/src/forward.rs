//! `grantex forward`

mod check;
mod config;
mod dead_letters;
mod expand;
mod file;
mod run;
mod status;
mod watch;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use grantex_destinations::{PipelineError, SourceError};

use crate::CommandError;
use crate::logging::LogFormat;

/// Deliver events to Datadog, Splunk, S3, BigQuery, Kafka, webhooks and files
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = false,
    after_help = "The configuration is one TOML file:

  url = \"http://127.0.0.1:8080\"
  api_key = \"${GRANTEX_API_KEY}\"       # ${file:secrets/key} reads a file beside this one; $${ is ${
  ca_file = \"./ca.pem\"                # the service's private authority; default: the system's
  state_dir = \"./forward-state\"
  since = \"2026-01-01T00:00:00Z\"       # start of destinations without a checkpoint; default: now
  listen = \"127.0.0.1:9464\"            # /healthz, /readyz, /metrics; default: none

  [[destination]]
  name = \"audit\"                       # unique; names the checkpoint
  type = \"file\"                        # datadog, splunk, s3, bigquery, kafka, webhook
  types = [\"grant.revoked\"]            # optional filter
  path = \"./audit.ndjson\"

docs/destinations.md lists every option. SIGTERM and Ctrl-C stop the forwarder after it has
delivered the events that it has read, within a time limit. SIGHUP reloads the configuration.

Examples:
  grantex forward --config forward.toml
  grantex forward check                    check connections and credentials
  grantex forward status                   show the progress of each destination
  grantex forward dead-letters list        list refused events with the reasons"
)]
pub(crate) struct Forward {
    /// The configuration file
    #[arg(
        long,
        env = "GRANTEX_FORWARD_CONFIG",
        default_value = "forward.toml",
        value_name = "FILE",
        global = true
    )]
    config: PathBuf,
    /// Format of log lines
    #[arg(
        long,
        env = "GRANTEX_LOG_FORMAT",
        value_enum,
        value_name = "FORMAT",
        default_value = "auto"
    )]
    log_format: LogFormat,
    /// Log level (error, warn, info, debug), or a filter such as `grantex_destinations=debug`
    #[arg(long, env = "GRANTEX_LOG", value_name = "FILTER", default_value = "info,krafka=warn")]
    log: String,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Check the configuration, and connect to the service and to every destination without sending
    /// events
    #[command(after_help = "Examples:
  grantex forward check
  grantex forward check --json | jq 'select(.ok | not)'")]
    Check {
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Show the progress of each destination
    #[command(after_help = "Examples:
  grantex forward status
  grantex forward status --json | jq 'select(.lagSeconds > 60)'")]
    Status {
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// List, retry and drop the events that a destination refused
    DeadLetters(dead_letters::DeadLetters),
}

pub(crate) async fn run(forward: Forward) -> Result<(), CommandError> {
    match forward.command {
        None => run::run(&forward.config, forward.log_format, &forward.log).await,
        Some(Command::Check { json }) => check::run(&forward.config, &forward.log, json).await,
        Some(Command::Status { json }) => status::run(&forward.config, json).await,
        Some(Command::DeadLetters(command)) => dead_letters::run(&forward.config, command).await,
    }
}

/// Whether a forwarder ended because its only output was a pipe that nobody reads any more.
pub(crate) fn is_closed_pipe(failure: &CommandError) -> bool {
    matches!(failure.downcast_ref(), Some(SourceError::Destination(PipelineError::Over { .. })))
}
