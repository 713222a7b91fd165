//! `grantex forward` in a binary that was built without it.

use std::ffi::OsString;

use clap::Args;

use crate::CommandError;

/// Deliver events to other systems (not in this binary: build it with `cargo build --release`)
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Forward {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<OsString>,
}

/// Says how to get it.
#[expect(clippy::unused_async, reason = "the same call as in a binary that has it")]
pub(crate) async fn run(forward: Forward) -> Result<(), CommandError> {
    drop(forward.arguments);
    Err("this binary was built without `forward`; `cargo build --release` builds \
        target/release/grantex \
         with it"
        .into())
}

/// Whether a forwarder ended because its only output was closed.
pub(crate) fn is_closed_pipe(_: &CommandError) -> bool {
    false
}
