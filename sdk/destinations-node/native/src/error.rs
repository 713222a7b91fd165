//! Errors on their way to JavaScript.

use grantex_destinations::{ConfigError, PipelineError, SourceError};
use serde::Serialize;

use crate::names::camel_case;

/// An error for the TypeScript half.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NativeError {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    option: Option<String>,
}

impl NativeError {
    fn new(code: &'static str, message: String) -> Self {
        Self { code, message, destination: None, option: None }
    }

    /// An invalid value of the option of this name.
    pub(crate) fn option(name: &str, message: impl Into<String>) -> Self {
        Self::from(ConfigError::value(name, message))
    }

    /// An unknown option, with the name of a similar one.
    pub(crate) fn no_option(name: String, similar: &str) -> Self {
        let message = format!("there is no such option; did you mean `{similar}`?");
        Self { option: Some(name), ..Self::new("invalid_config", message) }
    }

    /// The same error, about this destination.
    pub(crate) fn of(self, destination: &str) -> Self {
        Self { destination: Some(destination.to_owned()), ..self }
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl From<ConfigError> for NativeError {
    fn from(error: ConfigError) -> Self {
        Self {
            destination: error.destination,
            option: error.key.as_deref().map(camel_case),
            ..Self::new("invalid_config", in_camel_case(&error.message))
        }
    }
}

impl From<SourceError> for NativeError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Config(error) => error.into(),
            SourceError::KeyRefused(_) => Self::new("key_refused", error.to_string()),
            SourceError::Destination(PipelineError::LostPosition { destination, reason }) => {
                let message = format!(
                    "events were deleted before they could be delivered: {reason}. Set onLostPosition: 'continue' \
                     to continue from the oldest event, with the gap recorded"
                );
                Self::new("lost_position", message).of(&destination)
            }
            SourceError::Destination(PipelineError::UnknownPosition { destination, reason }) => {
                let message = format!(
                    "the log does not have the last event that was delivered, so it was restored from an older copy \
                     or is another log: {reason}. Set onLostPosition: 'continue' to deliver the log from its oldest \
                     event; events delivered before then arrive again"
                );
                Self::new("lost_position", message).of(&destination)
            }
            SourceError::Destination(PipelineError::State { destination, source }) => {
                Self::new("state_unusable", source.to_string()).of(&destination)
            }
            SourceError::Started => Self::new("already_started", error.to_string()),
            other => Self::new("state_unusable", other.to_string()),
        }
    }
}

impl From<NativeError> for napi::Error {
    fn from(failure: NativeError) -> Self {
        Self::from_reason(failure.to_json())
    }
}

/// Messages have names of options in backticks.
fn in_camel_case(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for (index, part) in message.split('`').enumerate() {
        if index > 0 {
            text.push('`');
        }
        let is_name =
            index % 2 == 1 && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if is_name {
            text.push_str(&camel_case(part));
        } else {
            text.push_str(part);
        }
    }
    text
}
