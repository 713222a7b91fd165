//! The five numbers, each beside something raw that bounds it, in one run on one machine.
//!
//! `cargo run --release -p grantex-bench -- --help`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout
)]

mod commits;
mod cpu;
mod fanout;
mod forward;
mod idle;
mod node;
mod replay;
mod revoke;
mod sdks;
mod server;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measures the service: starts the given binary on loopback, loads it, and ends it.
#[derive(Parser)]
struct Bench {
    /// The binary to measure
    #[arg(long, default_value = "target/release/grantex", global = true)]
    binary: PathBuf,
    #[command(subcommand)]
    scenario: Option<Scenario>,
}

#[derive(Subcommand, Clone, Copy)]
enum Scenario {
    /// Durable commits a second, beside a raw loop of write and fsync
    Commits,
    /// Deliveries per CPU-second and their p99, beside a raw loopback writer
    Fanout,
    /// From the log to each destination, beside `curl -N > file`; not in the run of all
    Forward,
    /// A service with so many stored events, for whoever tests against one: tells its address and key in
    /// one line of JSON, and ends with its standard input
    Filled {
        /// How many
        events: u64,
    },
    /// Bytes per idle stream
    Idle,
    /// Events per CPU-second through the Node package, beside `grantex forward`; not in the run of all
    Node,
    /// Replayed events a second, beside a raw loopback writer
    Replay,
    /// How long the largest cascade of one transaction takes
    Revoke,
    /// Events per CPU-second of each SDK, beside its language's plain line readers; not in the run of all
    Sdks,
}

fn main() {
    let bench = Bench::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let all = [Scenario::Commits, Scenario::Fanout, Scenario::Idle, Scenario::Replay, Scenario::Revoke];
    runtime.block_on(async {
        for scenario in bench.scenario.map_or(all.to_vec(), |one| vec![one]) {
            match scenario {
                Scenario::Commits => commits::run(&bench.binary).await,
                Scenario::Fanout => fanout::run(&bench.binary).await,
                Scenario::Forward => forward::run(&bench.binary).await,
                Scenario::Filled { events } => replay::stand(&bench.binary, events).await,
                Scenario::Idle => idle::run(&bench.binary).await,
                Scenario::Node => node::run(&bench.binary).await,
                Scenario::Replay => replay::run(&bench.binary).await,
                Scenario::Revoke => revoke::run().await,
                Scenario::Sdks => sdks::run(&bench.binary).await,
            }
        }
    });
}
