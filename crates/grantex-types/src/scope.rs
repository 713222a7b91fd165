//! Scope lists.

use serde::{Deserialize, Serialize};

use crate::text::{self, TextError};

/// Scopes a request may name at most: more is a mistake, and each token carries them all.
pub const MOST_SCOPES: usize = 100;
/// The longest scope, in characters.
pub const LONGEST_SCOPE: usize = 256;

/// Scopes without repeats, in the order they were given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Scopes(Vec<String>);

/// Why a list is not a list of scopes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopesError {
    /// More than [`MOST_SCOPES`].
    #[error("at most {MOST_SCOPES} scopes are allowed")]
    TooMany,
    /// An empty or blank one.
    #[error("a scope must not be blank")]
    Blank,
    /// Longer than [`LONGEST_SCOPE`].
    #[error("a scope is at most {LONGEST_SCOPE} characters long")]
    TooLong,
    /// With a character that nobody could read.
    #[error("a scope {0}")]
    Unreadable(TextError),
}

impl Scopes {
    /// The scopes of `list`, each once; it may be empty.
    pub fn new(list: Vec<String>) -> Result<Self, ScopesError> {
        if list.len() > MOST_SCOPES {
            return Err(ScopesError::TooMany);
        }
        let mut scopes: Vec<String> = Vec::with_capacity(list.len());
        for scope in list {
            if scope.trim().is_empty() {
                return Err(ScopesError::Blank);
            }
            if scope.chars().count() > LONGEST_SCOPE {
                return Err(ScopesError::TooLong);
            }
            text::check(&scope).map_err(ScopesError::Unreadable)?;
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        Ok(Self(scopes))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every scope here is also in `other`.
    ///
    /// ```
    /// use grantex_types::Scopes;
    /// let all = Scopes::new(vec!["a:read".into(), "a:write".into()]).unwrap();
    /// let some = Scopes::new(vec!["a:read".into()]).unwrap();
    /// assert!(some.is_subset_of(&all) && !all.is_subset_of(&some));
    /// ```
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.0.iter().all(|scope| other.0.contains(scope))
    }

    /// The scopes.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

#[cfg(feature = "openapi")]
mod openapi {
    use utoipa::openapi::RefOr;
    use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};

    impl utoipa::PartialSchema for super::Scopes {
        fn schema() -> RefOr<Schema> {
            let item = ObjectBuilder::new().schema_type(Type::String).examples(["calendar:read"]);
            ArrayBuilder::new().items(item).max_items(Some(super::MOST_SCOPES)).into()
        }
    }
    impl utoipa::ToSchema for super::Scopes {}
}
