//! A TOML file whose errors have their key and line.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::expand::expand;
use crate::mistake::{line_at, plain};

/// What a file says, with every `${…}` in its place.
pub(super) struct File {
    path: PathBuf,
    pub(super) values: Map<String, Value>,
    /// Where each key stands, by its path: `types`, `destination.0.types`.
    lines: BTreeMap<String, usize>,
}

impl File {
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::NotFound => "; `grantex forward --help` shows an example",
                _ => "",
            };
            format!("{}: {error}{hint}", path.display())
        })?;
        let mut file = Self { path: path.to_owned(), values: Map::new(), lines: BTreeMap::new() };
        let table = DeTable::parse(&text).map_err(|error| {
            // Without the line itself, which may hold a secret.
            let line = error.span().map(|span| line_at(&text, span.start));
            file.mistake_at(line, "", error.message())
        })?;
        file.values = file.table("", table.get_ref(), &text)?;
        Ok(file)
    }

    /// A mistake about the key at `key`, such as `destination.0.types`.
    pub(super) fn mistake(&self, key: &str, message: impl Display) -> String {
        // What is missing in a table is said of where that begins.
        let table = key.rsplit_once('.').map_or("", |(table, _)| table);
        let line = self.lines.get(key).or_else(|| self.lines.get(table)).copied();
        self.mistake_at(line, key, message)
    }

    fn mistake_at(&self, line: Option<usize>, key: &str, message: impl Display) -> String {
        let line = line.map_or(String::new(), |line| format!(", line {line}"));
        let key =
            key.rsplit('.').next().filter(|key| !key.is_empty() && key.parse::<usize>().is_err());
        let key = key.map_or(String::new(), |key| format!("{key}: "));
        format!("{}{line}: {key}{}", self.path.display(), plain(&message.to_string()))
    }

    fn table(
        &mut self,
        at: &str,
        table: &DeTable<'_>,
        text: &str,
    ) -> Result<Map<String, Value>, String> {
        let mut values = Map::new();
        for (key, value) in table {
            let name = key.get_ref();
            let at = if at.is_empty() { name.to_string() } else { format!("{at}.{name}") };
            self.lines.insert(at.clone(), line_at(text, key.span().start));
            values.insert(name.to_string(), self.value(&at, value, text)?);
        }
        Ok(values)
    }

    fn value(
        &mut self,
        at: &str,
        value: &Spanned<DeValue<'_>>,
        text: &str,
    ) -> Result<Value, String> {
        let number = |number: Option<Number>, expected: &str| {
            number.map(Value::Number).ok_or_else(|| expected.to_owned())
        };
        let read = match value.get_ref() {
            DeValue::String(text) => {
                expand(text, self.path.parent().unwrap_or(Path::new(""))).map(Value::String)
            }
            DeValue::Integer(integer) => {
                let integer = i64::from_str_radix(integer.as_str(), integer.radix());
                number(
                    integer.ok().map(Number::from),
                    "expected a whole number that fits in 64 bits",
                )
            }
            DeValue::Float(float) => {
                let float = float.as_str().parse().ok().and_then(Number::from_f64);
                number(float, "expected a finite number")
            }
            DeValue::Boolean(value) => Ok(Value::Bool(*value)),
            // TOML has times of its own; what they are to be is said where they are read.
            DeValue::Datetime(time) if at.ends_with("since") => Ok(Value::String(time.to_string())),
            DeValue::Datetime(time) => {
                Err(format!("expected another type than the time {time}; write a string in quotes"))
            }
            DeValue::Table(table) => return Ok(Value::Object(self.table(at, table, text)?)),
            DeValue::Array(values) => {
                let mut read = Vec::new();
                for (index, value) in values.iter().enumerate() {
                    let at = format!("{at}.{index}");
                    self.lines.insert(at.clone(), line_at(text, value.span().start));
                    read.push(self.value(&at, value, text)?);
                }
                return Ok(Value::Array(read));
            }
        };
        read.map_err(|message| self.mistake(at, message))
    }
}
