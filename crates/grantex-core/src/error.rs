//! Two kinds of failure: the rules say no, or the store cannot.

use grantex_types::{ErrorCode, EventId};

use crate::log::Damage;

/// What a use case returns.
pub type Result<T> = std::result::Result<T, Error>;

/// What a primitive of the store returns.
pub type StoreResult<T> = std::result::Result<T, StoreError>;

/// Why a use case did not happen. Whatever it had done to the store is undone.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The rules say no; the caller can do something about it.
    #[error("{message}")]
    Refused {
        /// The stable code.
        code: ErrorCode,
        /// What is wrong and what to do, for people.
        message: String,
        /// For event cursors: the oldest event still there.
        oldest: Option<EventId>,
    },
    /// The store could not do its part; the caller can only try again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    /// A refusal.
    pub fn refused(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Refused { code, message: message.into(), oldest: None }
    }

    /// The request is malformed.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::refused(ErrorCode::BadRequest, message)
    }

    /// There is no such object, or it belongs to another developer.
    pub fn not_found(what: &str) -> Self {
        Self::refused(ErrorCode::NotFound, format!("{what} not found"))
    }

    /// The code, if this is a refusal.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Store(_) => None,
        }
    }
}

/// What a store can fail with, named by what the caller can do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written and it may work later: disk full, read-only, busy, restarting.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// More commands wait than the store accepts; nothing was written.
    #[error("the store is overloaded")]
    Overloaded,
    /// Another writer changed what the work depends on, so that it cannot be kept. A store runs
    /// work again by itself where that may help; a caller who gets this can only try again later.
    #[error("the command conflicted with a concurrent change")]
    Conflict {
        /// Whether the same work may succeed when it runs again.
        may_retry: bool,
    },
    /// What was asked for begins with events that are not as they were written.
    #[error("{0}")]
    Damaged(Damage),
    /// A defect: of the data, of the store, or of the code that ran in it.
    #[error("the store failed: {0}")]
    Internal(String),
}
