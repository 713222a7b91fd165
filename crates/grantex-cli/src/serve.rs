//! `grantex serve`

use std::path::PathBuf;

use clap::Args;

use crate::config::{Accept, Options};
use crate::service::Service;
use crate::signals::Hangup;
use crate::{CommandError, logging};

/// Run the service
#[derive(Args)]
#[command(
    after_help = "Flags take precedence over environment variables, which take precedence over the
configuration file. SIGTERM and Ctrl-C shut the service down in order; SIGHUP reloads certificates
and signing keys.

Examples:
  grantex serve
  grantex serve --listen 127.0.0.1:8080 --data-dir ./grantex-data
  grantex serve --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem --public-url https://auth.example.com
  grantex serve --config /etc/grantex.toml --log-format json"
)]
pub(crate) struct Serve {
    /// Configuration file (TOML) with the same options, spelled with underscores; docs/grantex.toml
    /// lists all of them
    #[arg(long, env = "GRANTEX_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    accept: Accept,
}

pub(crate) async fn run(serve: Serve) -> Result<(), CommandError> {
    let options = serve.options.over_file(serve.config.as_deref())?;
    logging::start(options.log_format(), options.log())?;
    let mut service = Service::start(&options, Hangup::Reload, serve.accept).await?;
    service.asked_to_end().await;
    service.stop().await
}
