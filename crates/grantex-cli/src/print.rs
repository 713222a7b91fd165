//! Everything that a command prints goes through here, on standard output and on standard error.
//!
//! Names, answers of receivers and errors come from other systems. Their control characters and
//! direction-changing characters are escaped, so that no text moves the cursor, colours a line,
//! adds a line or looks different from what it is. Colours are passed beside the text, never in it.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use grantex::internal::{Escaped, redacted};
use serde::Serialize;

use crate::CommandError;

/// As it is.
pub(crate) const PLAIN: Style = Style::new();

/// A piece of a line: how it looks, and what it says.
pub(crate) type Piece<'a> = (Style, &'a dyn Display);

/// Prints a line to standard output.
pub(crate) fn line(text: impl Display) {
    pieces(&[(PLAIN, &text)]);
}

/// Prints a line to standard output for a command whose exit code is its answer. The command
/// continues when the reader has closed the pipe.
pub(crate) fn report(text: impl Display) {
    let written = write(&mut anstream::stdout().lock(), &[(PLAIN, &text)]);
    finish(written.or_else(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    }));
}

/// Prints a line of pieces to standard output.
pub(crate) fn pieces(pieces: &[Piece<'_>]) {
    finish(write(&mut anstream::stdout().lock(), pieces));
}

/// Prints a line to standard error. A command continues when nobody reads it.
pub(crate) fn note(text: impl Display) {
    note_pieces(&[(PLAIN, &text)]);
}

/// Prints a line of pieces to standard error.
pub(crate) fn note_pieces(pieces: &[Piece<'_>]) {
    let _ = write(&mut anstream::stderr().lock(), pieces);
}

/// Overwrites the last line on the terminal that standard error is.
pub(crate) fn over(text: impl Display) {
    let mut to = anstream::stderr().lock();
    let _ = write!(to, "\r\x1b[K{}", Escaped(text)).and_then(|()| to.flush());
}

/// Prints JSON for people to standard output.
pub(crate) fn pretty(value: &impl Serialize) -> Result<(), CommandError> {
    // Its line ends are its own: those in a text are escaped already.
    serde_json::to_string_pretty(value)?.lines().for_each(line);
    Ok(())
}

/// Writes bytes that this program generated, such as a script, to standard output unchanged.
pub(crate) fn made(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    finish(out.write_all(bytes).and_then(|()| out.flush()));
}

fn write(to: &mut impl Write, pieces: &[Piece<'_>]) -> io::Result<()> {
    let mut line = String::new();
    for (style, text) in pieces {
        let _ = write!(line, "{style}{}{style:#}", Escaped(text));
    }
    line.push('\n');
    to.write_all(line.as_bytes())
}

/// Ends the process when standard output cannot be written: silently when the reader has closed the
/// pipe, as in `grantex events tail | head`, otherwise with an error.
fn finish(written: io::Result<()>) {
    let Err(error) = written else { return };
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    fail(&format_args!("cannot write to standard output: {error}"));
    std::process::exit(1);
}

/// Prints the error that ended a command, without the secrets of URLs.
pub(crate) fn fail(failure: &dyn Display) {
    let red = AnsiColor::Red.on_default().bold();
    let told = redacted(&failure.to_string());
    note_pieces(&[(red, &"error:"), (PLAIN, &" "), (PLAIN, &told)]);
}
