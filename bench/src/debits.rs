//! Durable commits: debits over HTTP, beside SQLite alone with as many debits a commit; and token
//! exchanges.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Scale;
use crate::cpu::cpu_of;
use crate::load::bare_store::bare_debits;
use crate::load::publisher::{Codes, Grants};
use crate::report::{Report, Target};
use crate::server::Server;

/// Enough for any number of debits that is measured.
const BUDGET: u64 = 1_000_000_000;

pub(crate) async fn run(binary: &Path, scale: Scale, report: &mut Report) {
    let server = Server::start(binary).await;
    for (clients, debits) in
        scale.pick([(1, 10_000), (16, 50_000), (64, 100_000), (256, 150_000)], [(1, 50), (16, 200)])
    {
        let grants = Grants::make(&server, clients, BUDGET).await;
        let commits = [server.metric(BATCHES).await, server.metric(COMMANDS).await];
        let (cpu, load) = (server.cpu(), cpu_of("self"));
        let time = tokio::task::block_in_place(|| grants.debit(clients, debits));
        let (cpu, load) = (server.cpu() - cpu, cpu_of("self") - load);
        let batches = server.metric(BATCHES).await - commits[0];
        let commands = server.metric(COMMANDS).await - commits[1];
        assert!(commands >= debits as f64, "{commands} commands for {debits} debits");
        let left = grants.left(&server).await;
        let taken = (BUDGET * clients as u64) as f64 - left;
        assert!((taken - debits as f64).abs() < 0.5, "{debits} debits took {taken}");

        let batch = commands / batches;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "some hundred at most"
        )]
        let bare_batch = batch.round().max(1.0) as usize;
        let seconds = Duration::from_secs(if scale == Scale::Full { 4 } else { 1 });
        let (bare, _) = tokio::task::block_in_place(|| bare_debits(bare_batch, seconds));
        let name = format!("debits, {clients} clients");
        let target = (clients == 256).then_some(Target::AtLeast(0.6));
        let per_second = debits as f64 / time.as_secs_f64();
        let beside = (bare, "SQLite alone, as many a commit");
        report.add_beside((&name, "durable debits per second", "1/s"), per_second, beside, target);
        report.add(&name, "debits per CPU-second", "1/s", debits as f64 / cpu);
        report.add(&name, "CPU of the load, each", "µs", load / debits as f64 * 1e6);
        report.add(&name, "debits a commit, one fsync each", "", batch);
    }
}

const BATCHES: &str = "grantex_commit_batch_commands_count";
const COMMANDS: &str = "grantex_commit_batch_commands_sum";

/// Codes for grants and signed tokens.
pub(crate) async fn tokens(binary: &Path, scale: Scale, report: &mut Report) {
    let server = Server::start(binary).await;
    for (clients, exchanges) in scale.pick([(1, 1000), (64, 5000)], [(8, 50)]) {
        let codes = Codes::make(&server, std::slice::from_ref(&server.key), exchanges).await;
        let (start, cpu) = (Instant::now(), server.cpu());
        let mut granted = std::collections::HashSet::new();
        codes.exchange(clients, |_, grant| {
            granted.insert(grant);
        });
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(granted.len(), exchanges, "a grant for each code");
        let name = format!("token exchanges, {clients} clients");
        report.add(&name, "per second", "1/s", exchanges as f64 / seconds);
        report.add(&name, "per CPU-second", "1/s", exchanges as f64 / (server.cpu() - cpu));
    }
}
