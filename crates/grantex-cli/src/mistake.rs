//! Errors in a TOML file, on one line and without the file's own text, which may hold a secret.

use grantex_types::nearest::nearest;

/// The number of the line that holds the byte at `offset`.
pub(crate) fn line_at(text: &str, offset: usize) -> usize {
    let (before, _) = text.split_at_checked(offset).unwrap_or((text, ""));
    before.matches('\n').count().saturating_add(1)
}

/// A reader's error with its line and its key, and what was expected there.
pub(crate) fn of(text: &str, error: &toml::de::Error) -> String {
    let message = plain(error.message());
    let Some(span) = error.span() else { return message };
    let number = line_at(text, span.start);
    let line = text.lines().nth(number.saturating_sub(1)).unwrap_or_default();
    match line.split_once('=') {
        Some((key, _)) => format!("line {number}: {}: {message}", key.trim()),
        None => format!("line {number}: {message}"),
    }
}

/// The reader's words for what stands in a file, in those of the file, with the name that an
/// unknown one may mean.
pub(crate) fn plain(message: &str) -> String {
    let meant = meant(message).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
    let message = message
        .replace("expected a sequence", "expected a list, such as [\"…\"]")
        .replace("invalid type: sequence", "invalid type: a list")
        .replace("expected a map", "expected a table, such as { name = \"…\" }")
        .replace("invalid type: map", "invalid type: a table")
        .replace("expected a string", "expected a string in quotes")
        .replace("expected usize", "expected a whole number")
        .replace("expected u64", "expected a whole number")
        .replace("expected a boolean", "expected true or false");
    message + &meant
}

/// Of the names that stand in backticks after an unknown one, the one that is nearest to it.
fn meant(message: &str) -> Option<&str> {
    if message.contains("did you mean") {
        return None;
    }
    let (_, names) = message.split_once("unknown field `")?;
    let mut names = names.split('`').step_by(2);
    nearest(names.next()?, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_has_its_line_and_its_key() {
        let text = "a = 1\n\"ü\" = [\"x\"]\n";
        let error = toml::from_str::<std::collections::BTreeMap<String, u64>>(text).unwrap_err();
        assert_eq!(
            of(text, &error),
            "line 2: \"ü\": invalid type: a list, expected a whole number"
        );
        assert_eq!(
            plain("unknown field `listne`, expected one of `data_dir`, `listen`"),
            "unknown field `listne`, expected one of `data_dir`, `listen`; did you mean `listen`?"
        );
        assert_eq!((line_at(text, 0), line_at(text, 7), line_at(text, 99)), (1, 2, 3));
    }
}
