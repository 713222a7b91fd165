//! Prints a developer's whole log and follows it, one event's JSON a line; ends after as many
//! events as its argument says.
//!
//! ```sh
//! cargo run -p grantex --example follow -- 10
//! ```

use std::io::Write as _;
use std::process::ExitCode;

use futures_util::StreamExt as _;
use grantex::{Client, StreamOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Err(error) = follow().await else { return ExitCode::SUCCESS };
    let _ = writeln!(std::io::stderr(), "error: {error}");
    ExitCode::FAILURE
}

async fn follow() -> Result<(), Box<dyn std::error::Error>> {
    let wanted = std::env::args().nth(1).map_or(Ok(usize::MAX), |text| text.parse())?;
    let options = StreamOptions::new().since("1970-01-01T00:00:00Z").on_reconnect(|reconnect| {
        let reason =
            reconnect.reason.as_ref().map_or("the service ended it".into(), ToString::to_string);
        let _ = writeln!(std::io::stderr(), "reconnecting in {:?}: {reason}", reconnect.delay);
    });
    let mut events = Client::from_env()?.events().stream(options).take(wanted);
    while let Some(event) = events.next().await {
        writeln!(std::io::stdout(), "{}", event?.json())?;
    }
    Ok(())
}
