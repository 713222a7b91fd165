//! Request ids.

use std::fmt;
use std::sync::Arc;

use grantex_types::TokenId;

/// The id of one request: in its answer, and in every log line about it.
#[derive(Clone)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    /// The id of a request that arrived at this time, in milliseconds.
    pub(crate) fn new(millis: u64, random: u128) -> Self {
        let id = TokenId::from_parts(millis, random).to_string();
        Self(format!("req_{}", id.trim_start_matches(TokenId::PREFIX)).into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
