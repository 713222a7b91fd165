//! The `grantex` binary: wiring only.

mod backup;
mod check;
mod config;
mod demo;
mod descriptors;
mod dev;
mod developers;
mod events;
#[cfg(feature = "forward")]
mod forward;
#[cfg(not(feature = "forward"))]
#[path = "no_forward.rs"]
mod forward;
mod keys;
mod lines;
mod listen;
mod logging;
mod mistake;
mod names;
mod print;
mod refused;
mod scopes;
mod serve;
mod service;
mod signals;
mod target;
mod tls;
mod when;

use std::process::ExitCode;

use clap::{Arg, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How a command ends whose output was a pipe that nobody reads any more, as a shell reports it:
/// 128 + SIGPIPE.
const CLOSED_PIPE: u8 = 141;

/// What a command ends with when it fails: a sentence for the person who typed it.
type CommandError = Box<dyn std::error::Error + Send + Sync>;

/// An authorization service for AI agents. Every change of its state is a durable event.
#[derive(Parser)]
#[command(name = "grantex", version, propagate_version = true, max_term_width = 110)]
#[command(after_help = "Examples:
  grantex dev --demo                       try it with development settings and sample events
  grantex serve --data-dir ./grantex-data  run the service
  grantex events tail --types grant.revoked,budget.exhausted
  grantex forward --config forward.toml    deliver events to other systems
  grantex <command> --help                 more examples of each command")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Dev(dev::Dev),
    Serve(serve::Serve),
    Events(events::Events),
    Forward(forward::Forward),
    Keys(keys::Keys),
    Scopes(scopes::Scopes),
    Developers(developers::Developers),
    Backup(backup::Backup),
    Check(check::Check),
    /// Print a shell's completion script
    #[command(after_help = "Examples:
  grantex completions bash > /etc/bash_completion.d/grantex
  grantex completions zsh > ~/.zfunc/_grantex
  grantex completions fish > ~/.config/fish/completions/grantex.fish")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the OpenAPI document
    #[command(after_help = "Example:\n  grantex openapi > openapi.json")]
    Openapi,
}

impl Cli {
    fn parse_command_line() -> Self {
        let mut command = without_empty_variables(Self::command());
        command.build();
        let matches = with_whole_usage(command).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// An environment variable that is empty is one that is not set.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &Arg| {
        let variable = arg.get_env().and_then(std::env::var_os);
        variable.is_some_and(|value| value.is_empty())
    };
    command
        .mut_args(|arg| if is_empty(&arg) { arg.env(None::<&str>) } else { arg })
        .mut_subcommands(without_empty_variables)
}

/// An error shows the same usage as the help. clap's own names the options that a variable set, as
/// if they were required.
fn with_whole_usage(mut command: clap::Command) -> clap::Command {
    let usage = command.render_usage().ansi().to_string();
    // Without its heading, which an error adds.
    let usage = usage.split_once(' ').map(|(_, usage)| usage.to_owned()).unwrap_or_default();
    command.override_usage(usage).mut_subcommands(with_whole_usage)
}

fn main() -> ExitCode {
    let done =
        signals::end_the_first_process().and_then(|()| run(Cli::parse_command_line().command));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print::fail(&refused::in_words(&failure));
            if forward::is_closed_pipe(&failure) {
                ExitCode::from(CLOSED_PIPE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn run(command: Command) -> Result<(), CommandError> {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| "a cryptography provider is already installed")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Dev(command) => dev::run(command).await,
            Command::Serve(command) => serve::run(command).await,
            Command::Events(command) => events::run(command).await,
            Command::Forward(command) => forward::run(command).await,
            Command::Developers(command) => developers::run(command).await,
            Command::Keys(command) => keys::run(command).await,
            Command::Scopes(command) => scopes::run(command).await,
            Command::Backup(command) => backup::run(&command),
            Command::Check(command) => check::run(&command),
            Command::Completions { shell } => {
                // Into memory first: the generator panics where it cannot write.
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "grantex", &mut script);
                print::made(&script);
                Ok(())
            }
            Command::Openapi => {
                print::made(
                    format!("{}\n", grantex_server::openapi_document().to_pretty_json()?)
                        .as_bytes(),
                );
                Ok(())
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_boolean_has_the_usual_spellings() {
        let command = Cli::command();
        let serve = command.find_subcommand("serve").unwrap();
        let is_boolean = |arg: &&Arg| arg.get_value_names().is_some_and(|names| names == ["BOOL"]);
        let booleans: Vec<String> = serve
            .get_arguments()
            .filter(is_boolean)
            .map(|arg| format!("--{}", arg.get_id()).replace('_', "-"))
            .collect();
        assert!(booleans.len() > 2);
        for option in &booleans {
            for value in ["true", "false", "1", "0", "yes", "no", "on", "off", "Yes", "OFF"] {
                assert!(
                    Cli::try_parse_from(["grantex", "serve", option, value]).is_ok(),
                    "{option} {value}"
                );
            }
            let told = Cli::try_parse_from(["grantex", "serve", option, "maybe"])
                .err()
                .unwrap()
                .to_string();
            assert!(told.contains("yes or no"), "{told}");
        }
    }
}
