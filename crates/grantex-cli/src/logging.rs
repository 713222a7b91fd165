//! Structured logs, for people or as JSON.

use std::io::{self, IsTerminal as _, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::Style;
use clap::ValueEnum;
use grantex::internal::{Escaped, redacted};
use serde::Deserialize;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::{CommandError, print};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// `text` on a terminal, `json` otherwise
    Auto,
    /// One line of text per record
    Text,
    /// One JSON object per line
    Json,
}

/// What to log; fails on an invalid filter. A word alone has to be a level: as the name of a
/// target, which `tracing` would take it for, it would silence everything else.
pub(crate) fn filter(text: &str) -> Result<Targets, CommandError> {
    let mut words = text.split(',').map(str::trim).filter(|word| !word.contains(['=', ':']));
    if let Some(word) = words.find(|word| !word.is_empty() && word.parse::<LevelFilter>().is_err())
    {
        return Err(format!(
            "{word:?} is not a log level: use error, warn, info, debug or trace, or \
             target=level (grantex_server=debug)"
        )
        .into());
    }
    text.parse::<Targets>()
        .map_err(|error| format!("the log filter {text:?} is not valid: {error}").into())
}

/// Starts logging to standard error. No text that comes from elsewhere reaches a terminal
/// unescaped, and no URL's secrets are logged, whichever library logs it.
pub(crate) fn start(format: LogFormat, text: &str) -> Result<(), CommandError> {
    let filter = filter(text)?;
    let json = match format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    // Under the same rules as all that is printed: NO_COLOR and its like.
    let coloured = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    // Where nothing can be written, that cannot be said there either.
    let builder = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(coloured)
        .log_internal_errors(false);
    let started = if json {
        let builder = builder.json().flatten_event(true).with_current_span(false);
        builder.with_writer(|| EscapingLines(io::stderr())).finish().with(filter).try_init()
    } else {
        // Colours are the format's, so each value is escaped where it is written.
        let fields = debug_fn(|to, field, value| {
            let value = Escaped(redacted(&format!("{value:?}")));
            let name = match field.name() {
                "message" => return write!(to, "{value}"),
                name => name.trim_start_matches("r#"),
            };
            let style = if to.has_ansi_escapes() { Style::new().italic() } else { print::PLAIN };
            write!(to, "{style}{name}{style:#}={value}")
        });
        let builder = builder.with_target(false).fmt_fields(fields.delimited(" "));
        builder.with_writer(io::stderr).finish().with(filter).try_init()
    };
    started.map_err(|error| format!("logging cannot be started: {error}").into())
}

/// Escapes each line that is written to it as a whole, as log records are. JSON keeps its meaning.
struct EscapingLines<W>(W);

impl<W: Write> Write for EscapingLines<W> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(record);
        let (line, end) = text.strip_suffix('\n').map_or((text.as_ref(), ""), |line| (line, "\n"));
        self.0.write_all(format!("{}{end}", Escaped(redacted(line))).as_bytes())?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for text in ["info", "warn,grantex=debug", "off", "grantex_server::http=trace, error"] {
            filter(text).unwrap();
        }
        for text in ["verbose", "warning", "info,loud"] {
            let error = filter(text).unwrap_err().to_string();
            assert!(error.contains("is not a log level: use error, warn, info"), "{error}");
        }
    }
}
