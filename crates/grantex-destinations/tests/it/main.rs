//! The pipeline through its public door, and every destination against its receiver.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    unreachable_pub
)]

mod configuration;
mod pipeline;
mod state;
mod support;

mod answers;
mod bigquery;
mod datadog;
mod file;
mod http;
mod kafka;
mod s3;
mod splunk;
mod webhook;
