//! What answers have in common: errors, query parameters, paging, and the limits on requests.
//! Nothing here knows the service itself; that is `request`.

pub(crate) mod account;
pub(crate) mod body_error;
pub(crate) mod error;
pub(crate) mod host;
pub(crate) mod objects;
pub(crate) mod origin;
pub(crate) mod page;
pub(crate) mod query;
pub(crate) mod rate;
pub(crate) mod request_id;
pub(crate) mod shares;
