//! The message for a JSON body that cannot be read: the field, and JSON's words for what it holds.

use std::fmt::Write as _;

/// What an array in the place of an object is refused with.
pub(super) const ARRAY_FOR_OBJECT: &str = "invalid type: array, expected a JSON object";

/// Says what is wrong with a body, such as `scopes: expected an array, got a string`.
pub(crate) fn explained(bytes: &[u8], error: &serde_json::Error) -> String {
    let text = error.to_string();
    if !error.is_data() {
        return format!("the body is not valid JSON: {text}");
    }
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = text.strip_suffix(&place).unwrap_or(&text);
    let read = bytes.get(..offset(bytes, error.line(), error.column())).unwrap_or(bytes);
    let mut path = path(read);
    // For such an array alone, the reader stands behind the bracket already.
    if message == ARRAY_FOR_OBJECT && read.trim_ascii_end().ends_with(b"[") {
        path.pop();
    }
    let said = in_json_words(message);
    match shown(&path) {
        at if at.is_empty() => format!("the body is not valid: {said}"),
        at => format!("{at}: {said}"),
    }
}

/// A step from a value to the part of it that the reader had come to.
#[derive(Debug, PartialEq)]
enum Step {
    /// Into an object; the name is known once its colon was read.
    Field(Option<String>),
    /// Into an array.
    Item(usize),
}

fn offset(bytes: &[u8], line: usize, column: usize) -> usize {
    let before = bytes.split(|byte| *byte == b'\n').take(line.saturating_sub(1));
    before.map(|line| line.len().saturating_add(1)).sum::<usize>().saturating_add(column)
}

/// The way to the value that ends, or begins after, what was `read`, in whose syntax there is no
/// mistake.
fn path(read: &[u8]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut text: Option<Vec<u8>> = None;
    let mut last_text = Vec::new();
    let mut is_escaped = false;
    for byte in read {
        if let Some(inside) = &mut text {
            if *byte == b'"' && !is_escaped {
                last_text = text.take().unwrap_or_default();
            } else {
                is_escaped = *byte == b'\\' && !is_escaped;
                inside.push(*byte);
            }
            continue;
        }
        match (byte, steps.last_mut()) {
            (b'"', _) => text = Some(Vec::new()),
            (b'{', _) => steps.push(Step::Field(None)),
            (b'[', _) => steps.push(Step::Item(0)),
            (b'}' | b']', _) => drop(steps.pop()),
            (b':', Some(Step::Field(name))) => {
                *name = Some(String::from_utf8_lossy(&last_text).into_owned());
            }
            (b',', Some(Step::Field(name))) => *name = None,
            (b',', Some(Step::Item(index))) => *index = index.saturating_add(1),
            _ => {}
        }
    }
    steps
}

fn shown(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Field(Some(name)) if text.is_empty() => text.push_str(name),
            Step::Field(Some(name)) => text.extend([".", name]),
            Step::Field(None) => {}
            Step::Item(index) => {
                let _ = write!(text, "[{index}]");
            }
        }
    }
    text
}

/// The reader's message in the words of JSON.
fn in_json_words(message: &str) -> String {
    if let Some((got, expected)) =
        message.strip_prefix("invalid type: ").and_then(|types| types.rsplit_once(", expected "))
    {
        return format!("expected {}, got {}", wanted(expected), given(got));
    }
    if let Some((got, expected)) =
        message.strip_prefix("invalid value: ").and_then(|value| value.rsplit_once(", expected "))
    {
        return format!("invalid value: {got}, expected {}", wanted(expected));
    }
    message.replacen("unknown variant", "unknown value", 1)
}

fn wanted(expected: &str) -> &str {
    match expected {
        "a sequence" => "an array",
        "a map" => "an object",
        "a boolean" => "true or false",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        other => other,
    }
}

fn given(got: &str) -> &str {
    match got.split(' ').next() {
        Some("string") => "a string",
        Some("integer") => "a whole number",
        Some("floating") => "a number",
        Some("boolean") => got.get("boolean ".len()..).unwrap_or(got),
        Some("sequence" | "array") => "an array",
        Some("map") => "an object",
        _ => got,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::http::objects;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Outer {
        scopes: Vec<String>,
        #[serde(default)]
        list: Vec<Inner>,
        page_size: Option<u32>,
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Inner {
        is_on: bool,
    }

    #[test]
    fn a_message_names_the_field_in_the_words_of_json() {
        for (body, says) in [
            (r#"{"scopes":"a, expected \"b"}"#, "scopes: expected an array, got a string"),
            (r#"{"scopes":{"a":[1]}}"#, "scopes: expected an array, got an object"),
            (r#"{"scopes":["a",["b"]]}"#, "scopes[1]: expected a string, got an array"),
            (
                "{\"scopes\":\n[\"a\",\n\"ü\", 5 ]}",
                "scopes[2]: expected a string, got a whole number",
            ),
            (
                r#"{"scopes":["]\"}"],"list":[{"is_on":true},{"is_on":null}]}"#,
                "list[1].is_on: expected true or false, got null",
            ),
            (r#"{"list":[{}]}"#, "list[0]: missing field `is_on`"),
            (r#"{"list":[[true]]}"#, "list[0]: expected a JSON object, got an array"),
            (r#"{"list":[],"inner":[]}"#, "inner: expected a JSON object, got an array"),
            (
                r#"{"pageSize":-1}"#,
                "pageSize: invalid value: integer `-1`, expected a whole number that is not negative",
            ),
            (
                r#"{"pageSize":true}"#,
                "pageSize: expected a whole number that is not negative, got `true`",
            ),
            (r#"{"inner":{"is_on":true}}"#, "the body is not valid: missing field `scopes`"),
            (
                r#"{"scopes":[],"inner":null,"no":1}"#,
                "the body is not valid: unknown field `no`, expected one of `scopes`, `list`, `pageSize`, `inner`",
            ),
            (r#"{"scopes":[}"#, "the body is not valid JSON: expected value at line 1 column 12"),
            (
                r#"{"scopes":["a"#,
                "the body is not valid JSON: EOF while parsing a string at line 1 column 13",
            ),
        ] {
            let error = objects::read::<Outer>(body.as_bytes()).unwrap_err();
            assert_eq!(explained(body.as_bytes(), &error), says, "{body}");
        }
    }
}
