//! `grantex developers`

use std::io::ErrorKind;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use grantex_server::operator::{
    self, DeveloperDetail, DeveloperRow, OperatorAnswer, OperatorRequest,
};
use grantex_types::DeveloperId;
use serde::Serialize;

use crate::{CommandError, print};

/// List, suspend and resume the developers of a running service (for operators, on its machine)
#[derive(Args)]
#[command(
    after_help = "The commands use a socket in the data directory of the running service. Run
them as the service's own user or as root.

Within a second of a suspension, the developer's calls get 403 DEVELOPER_SUSPENDED and its streams
end. Nothing is revoked: after it is resumed, everything that has not expired works again. The
developer's audit trail shows both.

Examples:
  grantex developers list
  grantex developers show dev_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA --json
  grantex developers suspend dev_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA --reason \"leaked key, see ticket 123\"
  grantex developers resume dev_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA"
)]
pub(crate) struct Developers {
    /// The service's data directory
    #[arg(
        long,
        env = "GRANTEX_DATA_DIR",
        default_value = "./grantex-data",
        value_name = "FOLDER",
        global = true
    )]
    data_dir: PathBuf,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List all developers, newest first
    #[command(after_help = "Examples:
  grantex developers list
  grantex developers list --json | jq '.developers[] | select(.suspendedAt)'")]
    List,
    /// Show one developer and what it stores
    #[command(after_help = "Example:\n  grantex developers show dev_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA")]
    Show {
        /// The developer's id
        id: DeveloperId,
    },
    /// Suspend a developer: its keys, tickets, sessions and consent links stop working, its streams
    /// end
    #[command(after_help = "Example:
  grantex developers suspend dev_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA --reason \"leaked key, see ticket 123\"")]
    Suspend(Change),
    /// Resume a suspended developer
    #[command(after_help = "Example:\n  grantex developers resume dev_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA")]
    Resume(Change),
}

#[derive(Args)]
struct Change {
    /// The developer's id
    id: DeveloperId,
    /// The reason, which the developer's audit trail shows
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(crate) async fn run(developers: Developers) -> Result<(), CommandError> {
    match &developers.command {
        Command::List => developers.list().await,
        Command::Show { id } => developers.one(OperatorRequest::Show { developer_id: *id }).await,
        Command::Suspend(Change { id, reason }) => {
            developers
                .one(OperatorRequest::Suspend { developer_id: *id, reason: reason.clone() })
                .await
        }
        Command::Resume(Change { id, reason }) => {
            developers
                .one(OperatorRequest::Resume { developer_id: *id, reason: reason.clone() })
                .await
        }
    }
}

#[derive(Serialize)]
struct List {
    developers: Vec<DeveloperRow>,
}

impl Developers {
    async fn list(&self) -> Result<(), CommandError> {
        let mut list = List { developers: Vec::new() };
        let mut after = None;
        loop {
            let OperatorAnswer::Developers { mut developers, next_cursor } =
                self.ask(&OperatorRequest::List { after }).await?
            else {
                return Err(unexpected());
            };
            if self.json {
                list.developers.append(&mut developers);
            } else {
                if after.is_none() {
                    print::line(format_args!(
                        "{:<30}  {:<7}  {:<24}  {:<38}  NAME",
                        "DEVELOPER", "MODE", "CREATED", "STATE"
                    ));
                }
                developers.iter().for_each(print_row);
            }
            match next_cursor {
                Some(next) => after = Some(next),
                None if self.json => return print::pretty(&list),
                None => return Ok(()),
            }
        }
    }

    async fn one(&self, request: OperatorRequest) -> Result<(), CommandError> {
        let OperatorAnswer::Developer(developer) = self.ask(&request).await? else {
            return Err(unexpected());
        };
        if self.json {
            return print::pretty(&developer);
        }
        print_detail(&developer);
        Ok(())
    }

    async fn ask(&self, request: &OperatorRequest) -> Result<OperatorAnswer, CommandError> {
        match operator::ask_service(&self.data_dir, request).await {
            Ok(OperatorAnswer::Refused { message, .. }) => Err(message.into()),
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.explain(&error).into()),
        }
    }

    fn explain(&self, error: &std::io::Error) -> String {
        let folder = self.data_dir.display();
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                format!(
                    "no service is running on the data directory {folder}; start it, or give its \
                     directory as --data-dir"
                )
            }
            ErrorKind::PermissionDenied => {
                format!(
                    "the service on {folder} accepts only its own user and root; run the command \
                     as one of them"
                )
            }
            ErrorKind::UnexpectedEof | ErrorKind::TimedOut => {
                format!(
                    "the service on {folder} closed the connection without an answer; run the \
                     command as the service's own user or as root"
                )
            }
            _ => format!("the service on {folder} cannot be reached: {error}"),
        }
    }
}

fn unexpected() -> CommandError {
    "the service's answer is not understood; use a `grantex` of the service's version".into()
}

fn state(developer: &DeveloperRow) -> String {
    developer.suspended_at.map_or_else(|| "active".to_owned(), |at| format!("suspended since {at}"))
}

fn print_row(developer: &DeveloperRow) {
    print::line(format_args!(
        "{}  {:<7}  {}  {:<38}  {}",
        developer.developer_id,
        mode(developer),
        developer.created_at,
        state(developer),
        developer.name,
    ));
}

fn mode(developer: &DeveloperRow) -> &'static str {
    match developer.mode {
        grantex_types::api::developers::Mode::Live => "live",
        grantex_types::api::developers::Mode::Sandbox => "sandbox",
    }
}

fn print_detail(detail: &DeveloperDetail) {
    let developer = &detail.developer;
    for (name, value) in [
        ("developer", developer.developer_id.to_string()),
        ("name", developer.name.clone()),
        ("email", developer.email.clone().unwrap_or_else(|| "–".to_owned())),
        ("mode", mode(developer).to_owned()),
        ("created", developer.created_at.to_string()),
        ("state", state(developer)),
        ("open streams", detail.open_streams.to_string()),
        ("events kept", detail.events.to_string()),
        ("agents", detail.agents.to_string()),
        ("grants", detail.grants.to_string()),
        ("bytes, about", detail.bytes.to_string()),
    ] {
        print::line(format_args!("{name:<13} {value}"));
    }
}
