//! The conformance cases, played by the mock over real HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod cases;
mod client;
mod decoding;
mod operations;

use std::path::PathBuf;

/// The folder of the cases.
fn vectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors")
}

/// The cases that this SDK does not support, with the reasons.
fn unsupported() -> serde_json::Map<String, serde_json::Value> {
    serde_json::from_str(include_str!("../unsupported.json")).unwrap()
}
