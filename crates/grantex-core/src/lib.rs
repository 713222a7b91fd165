//! The rules of Grantex, without a socket, a clock or a line of SQL.
//!
//! [`usecase`] holds one function per thing a caller can do: a plain synchronous function over
//! [`store::Tx`] whose steps read downwards – load, decide, put, append. [`store`] holds the
//! contracts that a database backend keeps. Time and randomness are arguments ([`mod@env`]), so
//! that every decision can be replayed.

#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod env;
pub mod error;
pub mod lease;
pub mod log;
pub mod model;
pub mod store;
pub mod usecase;
pub mod validate;

pub use error::{Error, Result, StoreError};
