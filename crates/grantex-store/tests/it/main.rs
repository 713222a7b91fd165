//! The stores: the suite of promises that every backend passes, and what is each one's own.
#![allow(clippy::disallowed_methods, reason = "tests poll a condition with a deadline")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::needless_pass_by_value,
    missing_docs,
    unreachable_pub
)]

mod damage;
mod harness;
mod loss;
mod migration;
mod sqlite;
mod suite;
mod suite_budgets;
mod suite_cascade;
mod suite_fair;
mod suite_history;
mod suite_log;
mod suite_tenants;
