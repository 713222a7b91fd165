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
mod load;
mod node;
mod replay;
mod report;
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
    /// How often each scenario runs; the scenarios take turns
    #[arg(long, default_value_t = 3, global = true)]
    rounds: usize,
    /// Small sizes, seconds each, of fanout, filtered, modest and idle: for whether they work, not for figures
    #[arg(long, global = true)]
    smoke: bool,
    /// Where to write the figures as JSON
    #[arg(long, global = true)]
    json: Option<PathBuf>,
    #[command(subcommand)]
    scenario: Option<Scenario>,
}

/// How much is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scale {
    Full,
    Smoke,
}

impl Scale {
    fn pick<T, const FULL: usize, const SMOKE: usize>(self, full: [T; FULL], smoke: [T; SMOKE]) -> Vec<T> {
        match self {
            Self::Full => full.into(),
            Self::Smoke => smoke.into(),
        }
    }
}

#[derive(Subcommand)]
enum Scenario {
    /// Durable commits a second, beside a raw loop of write and fsync
    Commits,
    /// The bare loop that others are compared with; they start it
    #[command(hide = true)]
    BareLoop(load::limit::Task),
    /// Deliveries per CPU-second at full speed, beside a bare loop of writes
    Fanout,
    /// The same with a filter
    Filtered,
    /// Deliveries per CPU-second and latency at 50 events a second, beside a bare loop of writes
    Modest,
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
    if let Some(Scenario::BareLoop(task)) = &bench.scenario {
        return load::limit::run(task);
    }
    let scale = if bench.smoke { Scale::Smoke } else { Scale::Full };
    allow_many_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let all = || {
        vec![
            Scenario::Commits,
            Scenario::Fanout,
            Scenario::Filtered,
            Scenario::Modest,
            Scenario::Idle,
            Scenario::Replay,
            Scenario::Revoke,
        ]
    };
    let scenarios = bench.scenario.map_or_else(all, |one| vec![one]);
    let mut report = report::Report::default();
    let rounds = if bench.smoke { 1 } else { bench.rounds };
    runtime.block_on(async {
        for (round, scenario) in (0..rounds).flat_map(|round| scenarios.iter().map(move |one| (round, one))) {
            match scenario {
                Scenario::BareLoop(_) => {}
                Scenario::Fanout => fanout::run(&bench.binary, scale, &mut report).await,
                Scenario::Filtered => fanout::filtered(&bench.binary, scale, &mut report).await,
                Scenario::Modest => fanout::modest(&bench.binary, scale, &mut report).await,
                Scenario::Idle => idle::run(&bench.binary, scale, &mut report).await,
                // These take their own rounds, and print.
                _ if round > 0 => {}
                Scenario::Commits => commits::run(&bench.binary).await,
                Scenario::Forward => forward::run(&bench.binary).await,
                Scenario::Filled { events } => replay::stand(&bench.binary, *events).await,
                Scenario::Node => node::run(&bench.binary).await,
                Scenario::Replay => replay::run(&bench.binary).await,
                Scenario::Revoke => revoke::run().await,
                Scenario::Sdks => sdks::run(&bench.binary).await,
            }
        }
    });
    if bench.smoke {
        println!("every stream had what it should, exactly; at this size the figures mean nothing");
    } else if !report.is_empty() {
        report.print();
    }
    if let Some(path) = &bench.json {
        report.write(path);
    }
}

/// As many sockets as the system allows.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
}
