//! What every route shares: errors, extractors, paging, rate limits, the outermost layer, and the
//! connections themselves.

pub(crate) mod address;
pub(crate) mod body;
pub(crate) mod connection;
mod connections;
pub(crate) mod draining;
pub(crate) mod error;
pub(crate) mod extract;
mod host;
mod objects;
pub(crate) mod observe;
pub(crate) mod origin;
pub(crate) mod page;
pub(crate) mod query;
pub(crate) mod rate;
pub(crate) mod reached;
pub(crate) mod serve;
pub(crate) mod shares;
pub(crate) mod signal;
pub(crate) mod takeover;
