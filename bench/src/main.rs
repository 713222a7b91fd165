//! The service's figures, each beside something raw that bounds it, in one run on one machine.
//!
//! `cargo run --release -p grantex-bench -- --help`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout
)]

mod churn;
mod cpu;
mod debits;
mod fanout;
mod filled;
mod forward;
mod idle;
mod load;
mod neighbour;
mod neighbour_fill;
mod node;
mod replay;
mod report;
mod revoke;
mod sdks;
mod server;
mod stalled;
mod tenants;

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
    /// Small sizes, seconds each: for whether all arrives, exactly, not for figures
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
    fn pick<T, const FULL: usize, const SMOKE: usize>(
        self,
        full: [T; FULL],
        smoke: [T; SMOKE],
    ) -> Vec<T> {
        match self {
            Self::Full => full.into(),
            Self::Smoke => smoke.into(),
        }
    }
}

#[derive(Subcommand)]
enum Scenario {
    /// Deliveries per CPU-second at full speed, beside a bare loop of writes
    Fanout,
    /// The same with a filter that shows half of the events
    Filtered,
    /// Deliveries per CPU-second and latency at 50 events a second, beside a bare loop of writes
    Modest,
    /// Memory and CPU of idle streams
    Idle,
    /// One subscriber that stops reading, among many
    Stalled,
    /// Subscribers that come, get what is there, and go
    Churn,
    /// Stored events to one and to ten readers, beside a bare loop over the rows
    Replay,
    /// Durable debits a second, beside SQLite alone
    Debits,
    /// Token exchanges a second
    Tokens,
    /// A thousand developers with five streams each, beside one
    Tenants,
    /// How long the largest cascade of one transaction takes
    Revoke,
    /// What one developer notices of another: calls alone, and beside each of eight disturbances
    Neighbour,
    /// From the log to each destination, beside `curl -N > file`; not in the run of all
    Forward,
    /// Events per CPU-second through the Node package, beside `grantex forward`; not in the run of
    /// all
    Node,
    /// Events per CPU-second of each SDK, beside its language's plain line readers; not in the run
    /// of all
    Sdks,
    /// A service with so many stored events, to test against: prints its address and
    /// key as one line of JSON, and ends with its standard input
    Filled {
        /// How many
        events: u64,
    },
    /// The bare loop of writes that others are compared with; they start it
    #[command(hide = true)]
    BareLoop(load::limit::Task),
    /// The bare loop over SQLite that others are compared with; they start it
    #[command(hide = true)]
    BareStore {
        #[command(subcommand)]
        task: load::bare_store::Task,
    },
}

fn main() {
    let bench = Bench::parse();
    match &bench.scenario {
        Some(Scenario::BareLoop(task)) => return load::limit::run(task),
        Some(Scenario::BareStore { task }) => return load::bare_store::run(task),
        _ => {}
    }
    let scale = if bench.smoke { Scale::Smoke } else { Scale::Full };
    allow_many_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let all = || {
        vec![
            Scenario::Fanout,
            Scenario::Filtered,
            Scenario::Modest,
            Scenario::Idle,
            Scenario::Stalled,
            Scenario::Churn,
            Scenario::Replay,
            Scenario::Debits,
            Scenario::Tokens,
            Scenario::Tenants,
            Scenario::Revoke,
            Scenario::Neighbour,
        ]
    };
    let scenarios = bench.scenario.map_or_else(all, |one| vec![one]);
    let mut report = report::Report::default();
    let rounds = if bench.smoke { 1 } else { bench.rounds };
    let binary = bench.binary.as_path();
    runtime.block_on(async {
        for (round, scenario) in
            (0..rounds).flat_map(|round| scenarios.iter().map(move |one| (round, one)))
        {
            let report = &mut report;
            match scenario {
                Scenario::Fanout => fanout::run(binary, scale, report).await,
                Scenario::Filtered => fanout::filtered(binary, scale, report).await,
                Scenario::Modest => fanout::modest(binary, scale, report).await,
                Scenario::Idle => idle::run(binary, scale, report).await,
                Scenario::Stalled => stalled::run(binary, scale, report).await,
                Scenario::Churn => churn::run(binary, scale, report).await,
                Scenario::Replay => replay::run(binary, scale, report).await,
                Scenario::Debits => debits::run(binary, scale, report).await,
                Scenario::Tokens => debits::tokens(binary, scale, report).await,
                Scenario::Tenants => tenants::run(binary, scale, report).await,
                Scenario::Revoke => revoke::run(scale, report).await,
                Scenario::Neighbour => neighbour::run(binary, scale, report).await,
                // These take their own rounds, and print.
                _ if round > 0 => {}
                Scenario::Forward => forward::run(binary).await,
                Scenario::Filled { events } => filled::stand(binary, *events).await,
                Scenario::Node => node::run(binary).await,
                Scenario::Sdks => sdks::run(binary).await,
                Scenario::BareLoop(_) | Scenario::BareStore { .. } => {}
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
