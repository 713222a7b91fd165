//! Names of scopes, as principals read them.

use super::bodies;
use crate::Timestamp;

bodies! {
    /// A scope with the name that principals read on the consent page and on their own page.
    #[derive(PartialEq, Eq)]
    pub struct ScopeName {
        /// The scope, as requests and tokens have it.
        pub scope: String,
        /// What it allows, as the words that follow "it may".
        pub name: String,
        /// A longer description; may be empty.
        pub description: String,
        /// When it was given this name.
        pub updated_at: Timestamp,
    }

    /// A name to give to a scope.
    #[derive(Default)]
    #[serde(deny_unknown_fields)]
    pub struct NewScopeName {
        /// The scope: visible ASCII characters without quote and backslash.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 256, pattern = r"^[!#-\[\]-~]+$", example = "https://api.example/auth/calendar.readonly"))]
        pub scope: String,
        /// What it allows, as the words that follow "it may": with at least one visible character,
        /// and without invisible or direction-changing characters.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 100, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$", example = "Read your calendar"))]
        pub name: String,
        /// A longer description, with the same characters and line breaks; empty by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(max_length = 300, pattern = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$", example = "Titles, times and places of your appointments"))]
        pub description: Option<String>,
    }

    /// `PUT /v1/scopes`
    #[derive(Default)]
    pub struct NameScopesRequest {
        /// The scopes to name, each once. Others keep their names.
        #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 100))]
        pub scopes: Vec<NewScopeName>,
    }

    /// Scopes with their names, in the order of the scopes.
    pub struct ScopeNameList {
        /// The scopes.
        pub scopes: Vec<ScopeName>,
    }
}
