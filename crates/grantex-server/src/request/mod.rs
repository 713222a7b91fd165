//! What every request passes before its handler: the outermost layer, the refusal during a
//! shutdown, and the extractors.

pub(crate) mod body;
mod client;
pub(crate) mod draining;
pub(crate) mod extract;
pub(crate) mod observe;
