//! The service through its public door: real sockets, the real router, the real store. The
//! modules mirror the routes.
#![allow(clippy::disallowed_methods, reason = "tests poll a condition with a deadline")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::similar_names,
    unreachable_pub,
    missing_docs
)]

mod support;

mod agents;
mod bad_input;
mod bodies;
mod budgets;
mod cascade;
mod connections;
mod consent;
mod contrast;
mod damage;
mod developers;
mod events;
mod fair;
mod grants;
mod idempotency;
mod notices;
mod openapi;
mod operations;
mod operators;
mod pages;
mod principals;
mod properties;
mod quotas;
mod rates;
mod shutdown;
mod streams;
mod texts;
mod tickets;
mod tokens;
mod websockets;
mod wire;
