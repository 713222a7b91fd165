//! The wire vocabulary of Grantex: everything that crosses the network, and nothing that does I/O.
//!
//! | Module | What it holds |
//! |---|---|
//! | [`id`] | prefixed identifiers (`grnt_01J…`) |
//! | [`time`] | instants and durations as the API writes them |
//! | [`amount`] | exact decimal amounts |
//! | [`scope`] | scope lists |
//! | [`nearest`] | the name that a mistyped one may mean |
//! | [`text`] | what may stand in text that people read |
//! | [`event`] | the event envelope and its five payloads |
//! | [`sse`] | the Server-Sent Events encoder and an incremental decoder |
//! | [`error`] | the error body and its stable codes |
//! | [`api`] | request and response bodies |

#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod amount;
pub mod api;
pub mod error;
pub mod event;
pub mod id;
pub mod nearest;
pub mod scope;
pub mod sse;
pub mod text;
pub mod time;

pub use amount::Amount;
pub use error::{ErrorBody, ErrorCode};
pub use event::{Event, EventData, EventType, TypeSet};
pub use id::{
    AgentId, AuditId, AuthRequestId, BudgetId, DeveloperId, EventId, GrantId, KeyId, RefreshId,
    SessionId, TokenId, TransactionId,
};
pub use scope::Scopes;
pub use time::{Lifetime, Timestamp};
