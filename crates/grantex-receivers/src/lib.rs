//! Receivers to test destinations against where there is no server to run: the Datadog intake, the
//! Splunk HTTP Event Collector, BigQuery's `insertAll`, and a webhook endpoint.
//!
//! Each is written from the vendor's published rules and refuses what the real one would: limits,
//! codes, credentials, the acknowledgement protocol. It keeps what it accepts, in order, and fails
//! as a [`Fault`] requests. An event whose text holds [`POISON`] is refused for good.

#![allow(clippy::arithmetic_side_effects, reason = "counters of tests")]

mod control;
mod datadog;
mod fault;
mod insert_all;
mod server;
mod splunk;
mod webhook;

pub use control::control;
pub use datadog::Datadog;
pub use fault::{Fault, Faults};
pub use insert_all::InsertAll;
pub use server::{Kept, Server};
pub use splunk::Splunk;
pub use webhook::Webhook;

/// No receiver takes an event with this in it.
pub const POISON: &str = "POISON";
