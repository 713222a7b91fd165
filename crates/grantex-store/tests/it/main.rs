//! SQLite: the suite of promises that every backend passes, and what is its own.
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
mod loss;
mod migration;
mod sqlite;
