//! Client of Grantex, an authorization service for AI agents. Every change of its state is a
//! durable event.
//!
//! ```no_run
//! use futures_util::StreamExt as _;
//! use grantex::{Client, EventData, Payload, StreamOptions};
//!
//! # async fn example() -> Result<(), grantex::Error> {
//! let client = Client::from_env()?; // GRANTEX_API_KEY, GRANTEX_BASE_URL
//! let mut events = client.events().stream(StreamOptions::new().event_types(["budget.exhausted"]));
//! while let Some(event) = events.next().await {
//!     if let Payload::Known(EventData::BudgetExhausted { grant_id, .. }) = event?.data {
//!         client.grants().revoke(grant_id).await?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | Where | What |
//! |---|---|
//! | [`Client`] | settings, and the way to everything else |
//! | [`events`] | streams that reconnect and resume by themselves, subscriptions, the history |
//! | [`resources`] | agents, the audit trail, authorizations, budgets, grants, keys, principals' sessions, scope names, tokens |
//! | [`Verifier`] | checks tokens offline, without an API key |
//! | [`Error`] | errors, by what the caller can do |
//! | [`Page`] | one page of a list; `all` walks them |
//!
//! It needs a [tokio](https://docs.rs/tokio) runtime with time and I/O.

mod backoff;
mod client;
mod error;
pub mod events;
mod key;
mod page;
pub mod resources;
mod text;
mod transport;
mod trust;
mod verify;

pub use client::{Builder, Client, DEFAULT_BASE_URL};
pub use error::{ApiError, Error, ErrorKind};
pub use events::{
    EventStream, GrantexEvent, HistoryParams, Payload, PlacedEvent, Progress, ProgressStream,
    Reconnect, StreamOptions, Subscription, TicketParams,
};
pub use grantex_types::api;
pub use grantex_types::event::{IssueMethod, RevokedBy};
pub use grantex_types::{
    AgentId, Amount, AuthRequestId, BudgetId, DeveloperId, EventData, EventId, EventType, GrantId,
    KeyId, Scopes, Timestamp, TokenId, TransactionId,
};
pub use page::{ListParams, Page};
pub use verify::Verifier;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// What the conformance cases test directly, and what this repository's own crates share. Not part
/// of the public interface.
#[doc(hidden)]
pub mod internal {
    pub use crate::backoff::{delay, random, retry_after};
    pub use crate::client::check_base_url;
    pub use crate::text::{Escaped, explained, is_harmful, redacted, redacted_url};
    pub use grantex_types::nearest::nearest;
    pub use grantex_types::sse;
}
