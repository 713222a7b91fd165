//! Many developers with a few streams each, all active at once, beside one developer.

use std::path::Path;
use std::time::Duration;

use crate::Scale;
use crate::load::publisher::{EVENTS_OF_A_DEBIT, Grants};
use crate::load::readers::{Opening, Readers, Transport};
use crate::report::{Report, Target};
use crate::server::Server;

/// Of each developer.
const STREAMS: usize = 5;
/// Connections that publish.
const PUBLISHERS: usize = 64;

const PATIENCE: Duration = Duration::from_secs(120);

/// CPU-seconds of a run in which as many debits are made, in turn by each developer.
async fn cpu_of(binary: &Path, developers: usize, debits_each: usize, streams: usize) -> f64 {
    let server = Server::start(binary).await;
    let mut keys = vec![server.key.clone()];
    while keys.len() < developers {
        keys.push(server.sign_up().await);
    }
    let grants = Grants::of_developers(&server, &keys, debits_each, 1).await;
    tokio::task::block_in_place(|| {
        let address = server.address.parse().unwrap();
        let mut readers = Readers::new();
        for key in &keys {
            readers.open(streams, &Opening { address, key, query: "", transport: Transport::Sse });
        }
        let cpu = server.cpu();
        std::thread::scope(|scope| {
            scope.spawn(|| grants.empty_at_full_speed(PUBLISHERS, false));
            readers.read_until_each_has((debits_each * EVENTS_OF_A_DEBIT) as u64, PATIENCE);
        });
        let cpu = server.cpu() - cpu;
        readers.expect_no_more_than((debits_each * EVENTS_OF_A_DEBIT) as u64);
        cpu
    })
}

pub(crate) async fn run(binary: &Path, scale: Scale, report: &mut Report) {
    let (developers, each) = scale.pick([(1000, 10)], [(10, 5)])[0];
    let deliveries = (developers * each * EVENTS_OF_A_DEBIT * STREAMS) as f64;
    let many = cpu_of(binary, developers, each, STREAMS).await;
    let one = cpu_of(binary, 1, developers * each, STREAMS).await;
    let nobody = cpu_of(binary, developers, each, 0).await;
    let name = format!("{developers} developers × {STREAMS} streams");
    let beside = (deliveries / one, "one developer, 5 streams, the same debits");
    let figure = (name.as_str(), "deliveries per CPU-second", "1/s");
    report.add_beside(figure, deliveries / many, beside, Some(Target::AtLeast(0.6)));
    let debits = (developers * each) as f64;
    report.add(&name, "CPU of a debit without streams", "µs", nobody / debits * 1e6);
    report.add(&name, "CPU of a debit with five streams", "µs", many / debits * 1e6);
}
