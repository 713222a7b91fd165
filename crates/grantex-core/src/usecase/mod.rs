//! What callers can do, one function each.

pub mod access;
pub mod agents;
pub mod audit;
pub mod budgets;
pub mod cascade;
pub mod consent;
pub mod developers;
pub mod events;
pub mod filter;
pub mod grants;
pub mod history;
pub mod idempotency;
pub mod maintenance;
pub mod operators;
pub mod quotas;
pub mod scopes;
pub mod sessions;
pub mod tokens;
