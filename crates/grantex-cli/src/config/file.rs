//! The service's configuration file, and what its errors say: the file, the line, the option, and
//! the values that it takes.

use std::path::Path;

use clap::{Arg, Args as _, Command};

use super::Options;
use crate::{CommandError, mistake};

/// Reads the options of a file.
pub(super) fn read(path: &Path) -> Result<Options, CommandError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!("the configuration file {} cannot be read: {error}", path.display())
    })?;
    parse(&text)
        .map_err(|mistake| format!("the configuration file {}: {mistake}", path.display()).into())
}

pub(super) fn parse(text: &str) -> Result<Options, String> {
    let options: Options = toml::from_str(text).map_err(|error| wrong_type(text, &error))?;
    match options.out_of_range() {
        None => Ok(options),
        Some((key, reason)) => {
            let at = text.lines().position(|line| key_of(line) == Some(key)).unwrap_or_default();
            Err(format!("line {}: {key} {reason}", at.saturating_add(1)))
        }
    }
}

/// What is wrong with a text that the options cannot be read from.
fn wrong_type(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let line = mistake::line_at(text, start);
    // A list may begin on a line above.
    let key = text.lines().take(line).filter_map(key_of).last();
    match key.and_then(|key| Some((key, allowed(key)?))) {
        Some((key, allowed)) if !error.message().contains("duplicate key") => {
            format!("line {line}: {key} must be {allowed} ({})", mistake::plain(error.message()))
        }
        _ => mistake::of(text, error),
    }
}

fn key_of(line: &str) -> Option<&str> {
    line.split_once('=').map(|(key, _)| key.trim())
}

/// The values that an option takes, as they are written in the file.
fn allowed(key: &str) -> Option<String> {
    let command = Options::augment_args(Command::new("serve"));
    let option = command.get_arguments().find(|option| option.get_id() == key)?;
    let kind = option.get_value_names().and_then(<[_]>::first).map(clap::builder::Str::as_str)?;
    Some(match kind {
        "BOOL" => "true or false".into(),
        "N" | "BYTES" => "a whole number without quotes".into(),
        "DURATION" => "a duration in quotes, such as \"30s\", \"15m\" or \"24h\"".into(),
        "ADDRESS" => "an address in quotes, such as \"127.0.0.1:8080\"".into(),
        "URL" => "a URL in quotes, such as \"https://auth.example\"".into(),
        "FILE" | "FOLDER" => "a path in quotes".into(),
        "FILTER" => "a filter in quotes, such as \"info\"".into(),
        "ORIGIN" => "a list of origins, such as [\"https://app.example\"]".into(),
        "FORMAT" => choices(option),
        _ => return None,
    })
}

fn choices(option: &Arg) -> String {
    let values = option.get_possible_values();
    let values: Vec<String> =
        values.iter().map(|value| format!("\"{}\"", value.get_name())).collect();
    format!("one of {}", values.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_type_is_answered_with_the_values_that_every_option_takes() {
        let command = Options::augment_args(Command::new("serve"));
        for option in command.get_arguments() {
            let key = option.get_id().as_str();
            let mistake = parse(&format!("# one\n{key} = {{ a = 1 }}\n")).unwrap_err();
            let expected = format!("line 2: {key} must be {}", allowed(key).expect(key));
            assert!(mistake.starts_with(&expected), "{mistake}");
        }
    }

    #[test]
    fn mistakes_have_their_line_and_their_key() {
        for (text, says) in [
            ("signup = no", "line 1: signup must be true or false ("),
            ("\nsignup = \"no\"", "line 2: signup must be true or false (invalid type: string"),
            ("rate_limit = -1", "line 1: rate_limit must be a whole number without quotes ("),
            ("log_format = \"xml\"", "line 1: log_format must be one of \"auto\", "),
            ("cors_origins = [\n  5,\n]", "line 2: cors_origins must be a list of origins"),
            ("keep_alive = \"5\"", "line 1: keep_alive must be a duration in quotes"),
            ("listne = 1", "line 1: listne: unknown field `listne`"),
            ("signup = true\nsignup = true", "duplicate key"),
            ("\n\ndelegation_depth = 11", "line 3: delegation_depth must be 1 to 10"),
            ("keep_alive = \"5s\"", "line 1: keep_alive must be at least 100ms and below 5s"),
            ("body_bytes = 1", "line 1: body_bytes must be 4194304 or more"),
            ("signup_burst = 0", "line 1: signup_burst must be 1 or more; to forbid signups"),
            ("rate_burst = 0", "line 1: rate_burst must be 1 or more"),
            ("retention_count = 0", "line 1: retention_count must be 1 or more"),
            ("public_url = \"ftp://a\"", "line 1: public_url must be an http or https URL"),
            ("cors_origins = [\"x\"]", "line 1: cors_origins"),
        ] {
            let mistake = parse(text).unwrap_err();
            assert!(mistake.contains(says), "{text}: {mistake}");
        }
    }
}
