//! Text from other sources, made safe to display.

use std::fmt::{self, Display, Write as _};

/// Text with its control characters and bidirectional controls escaped, to be shown in a line.
///
/// A control character moves a terminal's cursor or starts a command for it; a bidirectional
/// control changes the apparent order of a line. Both are escaped as in JSON (`\u001b`), so that
/// escaped JSON is the same JSON.
pub struct Escaped<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// A writer that escapes its input.
struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, harmful)) = rest.char_indices().find(|(_, c)| is_harmful(*c)) {
            let (before, after) = rest.split_at(at);
            self.0.write_str(before)?;
            write!(self.0, "\\u{:04x}", u32::from(harmful))?;
            rest = after.get(harmful.len_utf8()..).unwrap_or_default();
        }
        self.0.write_str(rest)
    }
}

/// Control characters, line and paragraph separators, and the bidirectional controls of Unicode
/// (UAX 9).
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Replaces a secret.
const HIDDEN: &str = "***";

/// A text without the secrets of the URLs in it: user and password, and the query.
///
/// Everything between `scheme://` and the last `@` of the same word counts as a secret, so that one
/// with a `/` or an `@` is hidden too.
pub fn redacted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after.find(ends_url).unwrap_or(after.len());
        // A backslash before a quote, in JSON or in debug output, belongs to the quote.
        let end = after.get(..end).map_or(end, |url| url.trim_end_matches('\\').len());
        let (url, after) = after.split_at(end);
        redact(url, &mut out);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// One URL without its secrets, also if it has no scheme or is not a URL.
pub fn redacted_url(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let mut out = scheme;
    redact(rest, &mut out);
    out
}

fn redact(after_scheme: &str, out: &mut String) {
    let shown = match after_scheme.rsplit_once('@') {
        // An `@` in the path or the query, after the host, does not end credentials.
        Some((before, _)) if is_host_with_more(before) => after_scheme,
        Some((_, host)) => {
            out.push_str(HIDDEN);
            out.push('@');
            host
        }
        None => after_scheme,
    };
    match shown.split_once('?') {
        Some((before, query)) => {
            out.push_str(before);
            out.push('?');
            out.push_str(if query.is_empty() { query } else { HIDDEN });
        }
        None => out.push_str(shown),
    }
}

/// Whether this is a host, with or without a port, and the beginning of a path or query:
/// `host:80/a`.
fn is_host_with_more(text: &str) -> bool {
    let Some(end) = text.find(['/', '?']) else { return false };
    let (authority, _) = text.split_at(end);
    // `user:12/34@host` looks like a port: hiding too much is safer than too little.
    authority.ends_with(']') || !authority.contains(':')
}

/// Other characters that end a URL in prose may be part of a password: hiding too much is safer.
fn ends_url(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '<' | '>')
}

/// The reason why a certificate was refused, with an explanation of two common TLS errors whose
/// names are hard to understand.
pub fn explained(reason: &str) -> String {
    const CA_AS_SERVER: &str = "the server's certificate is a CA certificate (CA:TRUE), which is not accepted as a \
        server's: give this certificate as ca_file where there is such an option, or create one with openssl \
        req -x509 -addext basicConstraints=critical,CA:FALSE";
    const UNKNOWN_ISSUER: &str = "the server's certificate comes from an authority that is not trusted here: give the \
        PEM file of its certificate in SSL_CERT_FILE, or as ca_file where there is such an option";
    let meant = [
        ("CaUsedAsEndEntity", CA_AS_SERVER),
        ("UnknownIssuer", UNKNOWN_ISSUER),
        ("certificate expired", "the server's certificate has expired"),
        ("certificate not valid yet", "the server's certificate is not valid yet"),
    ];
    match meant.iter().find(|(name, _)| reason.contains(name)) {
        Some((_, meaning)) => format!("{reason}: {meaning}"),
        None => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_a_terminal_or_turns_the_direction_is_escaped_and_nothing_else() {
        let escaped =
            Escaped("a\u{1b}[31m\n\r\t\u{9b}1A\u{7f} \u{202e}ü🦀\u{2066}\u{200f}\u{61c}\u{2028}")
                .to_string();
        assert_eq!(
            escaped,
            r"a\u001b[31m\u000a\u000d\u0009\u009b1A\u007f \u202eü🦀\u2066\u200f\u061c\u2028"
        );
        let json = "{\"a\":\"\u{202e}x\u{9b}\"}";
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&Escaped(json).to_string()), read(json));
    }

    #[test]
    fn the_secrets_of_a_url_are_left_out_wherever_it_stands() {
        for (text, shown) in [
            ("http://127.0.0.1:8080/a", "http://127.0.0.1:8080/a"),
            ("https://user:pass@host/a?b=c#d", "https://***@host/a?***"),
            ("https://user:p@ss/w?rd@host/a", "https://***@host/a"),
            ("https://user:12/34@host", "https://***@host"),
            ("https://host/hook/a@b?token=x", "https://host/hook/a@b?***"),
            ("https://[::1]/a@b", "https://[::1]/a@b"),
            (
                "proxy \"http://u:p)w@h:1\" failed: see https://h/?k=v twice",
                "proxy \"http://***@h:1\" failed: see https://h/?*** twice",
            ),
            (r#"{"a":"\"http://u:p@h\""}"#, r#"{"a":"\"http://***@h\""}"#),
            ("no URL, but a@b?c", "no URL, but a@b?c"),
        ] {
            assert_eq!(redacted(text), shown);
        }
        assert_eq!(redacted_url("user:pass@host:1/a?b"), "***@host:1/a?***");
        assert_eq!(redacted_url("http://us er:pa ss@host"), "http://***@host");
    }
}
