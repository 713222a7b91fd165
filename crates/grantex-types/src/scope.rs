//! Scope lists.

use serde::{Deserialize, Serialize};

/// Scopes a request may name at most: more is a mistake, and each token carries them all.
pub const MOST_SCOPES: usize = 100;
/// The longest scope, in characters.
pub const LONGEST_SCOPE: usize = 256;

/// The most bytes that the scopes of one grant take as JSON. Lists that are made today stay below
/// it; older ones, whose scopes may have any characters, may not. So every event has an envelope of
/// less than 65,535 bytes (a test of `event.rs` has the arithmetic), which some receivers take as
/// their limit.
pub const LARGEST_SCOPES: usize = 32 << 10;

// Each with its quotes and its comma, and the brackets.
const _: () = assert!(MOST_SCOPES * (LONGEST_SCOPE + 3) + 2 <= LARGEST_SCOPES);

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
    #[error("a scope must be at most {LONGEST_SCOPE} characters long")]
    TooLong,
    /// No scope-token of RFC 6749 §3.3.
    #[error("a scope must consist of visible ASCII characters without quote and backslash")]
    NotAToken,
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
            if !is_token(&scope) {
                return Err(ScopesError::NotAToken);
            }
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        Ok(Self(scopes))
    }

    /// Those of `list` that are here, each once and in the list's order; `None` if one is not.
    /// Older lists may have scopes that [`new`](Self::new) refuses today.
    pub fn select(&self, list: Vec<String>) -> Option<Self> {
        let mut scopes: Vec<String> = Vec::new();
        for scope in list {
            if !self.0.contains(&scope) {
                return None;
            }
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        Some(Self(scopes))
    }

    /// How many bytes the scopes take as JSON.
    pub fn json_bytes(&self) -> usize {
        serde_json::to_string(self).map_or(usize::MAX, |json| json.len())
    }

    /// The scopes as OAuth writes them, with spaces between; `None` if an older one does not fit
    /// in.
    pub fn to_oauth(&self) -> Option<String> {
        self.0.iter().all(|scope| is_token(scope)).then(|| self.0.join(" "))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

/// Whether a text is a scope-token of RFC 6749 §3.3, so that a list of them can be written with
/// spaces between.
fn is_token(scope: &str) -> bool {
    scope.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn list(scopes: &[&str]) -> Vec<String> {
        scopes.iter().map(|&scope| scope.to_owned()).collect()
    }

    #[test]
    fn a_scope_is_a_scope_token() {
        let scopes = Scopes::new(list(&["calendar:read", "a!#[]~", "calendar:read"])).unwrap();
        assert_eq!(scopes.to_oauth().unwrap(), "calendar:read a!#[]~");
        for bad in ["a b", "a\"b", "a\\b", "a\nb", "é", "a\u{200B}"] {
            assert_eq!(Scopes::new(list(&[bad])), Err(ScopesError::NotAToken), "{bad:?}");
        }
        assert_eq!(Scopes::new(list(&[" "])), Err(ScopesError::Blank));
    }

    #[test]
    fn older_scopes_can_be_selected() {
        let older: Scopes = serde_json::from_str(r#"["read all","b"]"#).unwrap();
        assert_eq!(older.to_oauth(), None);
        let some = older.select(list(&["read all", "read all"])).unwrap();
        assert_eq!(some.as_slice(), ["read all"]);
        assert_eq!(older.select(list(&["b", "c"])), None);
    }
}
