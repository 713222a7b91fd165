//! What is wrong with a configuration, and why a source or one of its pipelines ended.

use grantex::internal::redacted;

use crate::state::StateError;

/// A configuration that cannot work, with the key to change. Its text has no secrets of URLs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{}{}{}",
    .destination.as_ref().map_or(String::new(), |name| format!("destination {name:?}: ")),
    .key.as_ref().map_or(String::new(), |key| format!("{key}: ")),
    redacted(message),
)]
pub struct ConfigError {
    /// The destination that it is about; `None` for the source itself.
    pub destination: Option<String>,
    /// The option's name.
    pub key: Option<String>,
    /// What is wrong with it.
    pub message: String,
}

impl ConfigError {
    /// What is wrong with the option `key`.
    pub fn value(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { destination: None, key: Some(key.into()), message: message.into() }
    }

    /// What is wrong with the whole.
    pub fn whole(message: impl Into<String>) -> Self {
        Self { destination: None, key: None, message: message.into() }
    }

    /// The same error, about this destination.
    #[must_use]
    pub fn of(self, destination: &str) -> Self {
        Self { destination: Some(destination.to_owned()), ..self }
    }
}

/// Why a source does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The service refuses the API key.
    #[error("the service refuses the API key: {0}")]
    KeyRefused(grantex::Error),
    /// The state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// Every destination has ended; this is what ended the first.
    #[error(transparent)]
    Destination(#[from] PipelineError),
    /// It was started before.
    #[error("this source was started before; make another one")]
    Started,
}

/// Why a pipeline ended for good.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The log does not reach back to the checkpoint, and the policy is to stop.
    #[error(
        "{destination}: events were deleted before they could be delivered: {reason}. \
         Set on_lost_position = \"continue\" to continue from the oldest event, with the gap recorded"
    )]
    LostPosition {
        /// The destination.
        destination: String,
        /// What the service said.
        reason: String,
    },
    /// The log does not have the checkpoint, and the policy is to stop.
    #[error(
        "{destination}: the log does not have the last event that was delivered, so it was restored from an older \
         copy or is another log: {reason}. Set on_lost_position = \"continue\" to deliver the log from its oldest \
         event; what was delivered before then arrives again"
    )]
    UnknownPosition {
        /// The destination.
        destination: String,
        /// What the service said.
        reason: String,
    },
    /// The destination will accept nothing any more.
    #[error("{destination}: {reason}; it gets no more events")]
    Over {
        /// The destination.
        destination: String,
        /// Why.
        reason: String,
    },
    /// The state cannot be read.
    #[error("{destination}: {source}")]
    State {
        /// The destination.
        destination: String,
        /// Why.
        source: StateError,
    },
}
