//! The binary through its public door: its command line, its signals, its death.
#![allow(clippy::disallowed_methods, reason = "tests poll a condition with a deadline")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    unreachable_pub
)]

mod support;

mod closed_output;
mod commands;
mod crash;
mod data_folder;
mod descriptors;
mod events;
mod faults;
mod forward;
mod metrics;
mod serving;
mod starting;
mod terminal;
