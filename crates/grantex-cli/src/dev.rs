//! `grantex dev`

use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use clap::Args;
use futures_util::StreamExt as _;
use grantex::StreamOptions;
use grantex::api::developers::{Mode, SignupRequest};

use crate::config::{Accept, DEFAULT_DATA_DIR, Options};
use crate::lines::{Form, Lines};
use crate::logging::LogFormat;
use crate::service::Service;
use crate::signals::Hangup;
use crate::target::client;
use crate::{CommandError, demo, logging, print};

/// The file that keeps the development key from one start to the next.
const KEY_FILE: &str = "dev-api-key";
/// The file that keeps where the last start was reached.
const BASE_FILE: &str = "dev-base-url";

/// Try it: run the service with development settings, print an API key, and show events live
#[derive(Args)]
#[command(
    after_help = "The data directory is kept: the next start continues with its data and key.

Examples:
  grantex dev
  grantex dev --demo               with sample events of all five types
  grantex dev --demo --rate 50     faster
  grantex dev --show-key           the key and the first steps again, from another terminal
  eval \"$(grantex dev --show-key)\" sets GRANTEX_BASE_URL and GRANTEX_API_KEY
  grantex dev --listen 127.0.0.1:9000 --data-dir /tmp/grantex"
)]
pub(crate) struct Dev {
    /// Create sample events through the public HTTP API
    #[arg(long)]
    demo: bool,
    /// Steps per second of the demo
    #[arg(long, default_value_t = 4.0, value_name = "N", requires = "demo", value_parser = rate)]
    rate: f64,
    /// Print the key and the first steps of the last start again, and exit; works while it runs
    #[arg(long, conflicts_with_all = ["demo", "json"])]
    show_key: bool,
    /// Print each event as one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    accept: Accept,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1000.0 => Ok(rate),
        _ => Err("expected a number of steps per second above 0 and at most 1000".into()),
    }
}

pub(crate) async fn run(dev: Dev) -> Result<(), CommandError> {
    let mut options = dev.options;
    if dev.show_key {
        return show_key(&options.data_dir());
    }
    options.default_log("warn", LogFormat::Text);
    options.default_metrics();
    logging::start(options.log_format(), options.log())?;
    let mut service = Service::start(&options, Hangup::End, dev.accept).await?;
    let scheme = if options.tls_cert.is_some() { "https" } else { "http" };
    let base = format!("{scheme}://{}", service.authority);
    let key = development_key(&base, &options.data_dir()).await?;
    write_private(&options.data_dir().join(BASE_FILE), &base)?;
    welcome(&base, &service.base, &key, &options.data_dir(), dev.demo);

    let client = client(&base, Some(&key))?;
    let options = StreamOptions::new().on_reconnect(
        |reconnect| tracing::warn!(reason = ?reconnect.reason, "the tail reconnects"),
    );
    let mut events = client.events().stream(options);
    if dev.demo {
        tokio::spawn(demo::drive(client.clone(), dev.rate));
    }
    let mut lines = Lines::new(&client, if dev.json { Form::Json } else { Form::Live });
    loop {
        tokio::select! {
            () = service.asked_to_end() => break,
            event = events.next() => match event {
                Some(event) => lines.print(event?.json()).await,
                None => break,
            },
        }
    }
    print::note("stopping …");
    drop(events);
    service.stop().await
}

/// The key of the last start, if it still works, or that of a new sandbox developer.
async fn development_key(base: &str, data_dir: &Path) -> Result<String, CommandError> {
    let path = data_dir.join(KEY_FILE);
    if let Ok(kept) = std::fs::read_to_string(&path) {
        let key = kept.trim().to_owned();
        if client(base, Some(&key))?.me().await.is_ok() {
            return Ok(key);
        }
    }
    let request =
        SignupRequest { name: "Development".into(), email: None, mode: Some(Mode::Sandbox) };
    let made = client(base, None)?.signup(&request).await?;
    write_private(&path, &made.api_key)?;
    Ok(made.api_key)
}

/// Writes a line to a file that only its owner can read.
fn write_private(path: &Path, line: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{line}")
}

/// Prints the variables to standard output, where a shell can read them, and for people the rest to
/// standard error.
fn show_key(data_dir: &Path) -> Result<(), CommandError> {
    let read = |name: &str| {
        let kept = std::fs::read_to_string(data_dir.join(name))?;
        Ok::<_, std::io::Error>(kept.trim().to_owned())
    };
    let (Ok(key), Ok(base)) = (read(KEY_FILE), read(BASE_FILE)) else {
        return Err(format!(
            "there is no development key in {}; `grantex dev` makes one there, or name the folder that \
             it used with --data-dir",
            data_dir.display()
        )
        .into());
    };
    print::line(format_args!("export GRANTEX_BASE_URL={base}"));
    print::line(format_args!("export GRANTEX_API_KEY={key}"));
    // In a script or `eval` nobody reads them.
    if std::io::stdout().is_terminal() {
        PASTE.lines().for_each(print::note);
    }
    Ok(())
}

fn welcome(base: &str, public: &str, key: &str, data_dir: &Path, demo: bool) {
    let bold = Style::new().bold();
    let dim = Style::new().dimmed();
    let green = AnsiColor::Green.on_default().bold();
    let data = format!("   data: {}", data_dir.display());
    print::note_pieces(&[
        (green, &"Grantex is running"),
        (print::PLAIN, &" at "),
        (bold, &public),
        (dim, &data),
    ]);
    print::note("");
    print::note_pieces(&[(bold, &format_args!("  export GRANTEX_BASE_URL={base}"))]);
    print::note_pieces(&[(bold, &format_args!("  export GRANTEX_API_KEY={key}"))]);
    for line in PASTE.lines() {
        let style = if line.trim_start().starts_with('#') { dim } else { print::PLAIN };
        print::note_pieces(&[(style, &line)]);
    }
    let more = if demo { "; the demo creates some" } else { "; use --demo to create some" };
    print::note(format_args!("Events appear here as they happen{more}. Press Ctrl-C to stop."));
    let folder = if data_dir == Path::new(DEFAULT_DATA_DIR) {
        String::new()
    } else {
        format!(" --data-dir {}", data_dir.display())
    };
    print::note(format_args!(
        "`grantex dev --show-key{folder}` in another terminal prints the key and these lines again."
    ));
    print::note("");
}

/// What to try in another terminal.
const PASTE: &str = r#"
Paste into another terminal:
  # follow the events
  curl -N -H "Authorization: Bearer $GRANTEX_API_KEY" "$GRANTEX_BASE_URL/v1/events/stream"
  # register an agent, ask for consent (a sandbox key gets the code at once), exchange the code
  post() { curl -s -H "Authorization: Bearer $GRANTEX_API_KEY" -H 'Content-Type: application/json' "$GRANTEX_BASE_URL$1" -d "$2"; }
  AGENT=$(post /v1/agents '{"name":"Calendar assistant"}' | grep -o 'ag_[0-9A-Z]*' | head -1)
  CODE=$(post /v1/authorize '{"agentId":"'$AGENT'","principalId":"user-123","scopes":["calendar:read"]}' | grep -o 'gxc_[^"]*')
  post /v1/token '{"agentId":"'$AGENT'","code":"'$CODE'"}'

"#;
