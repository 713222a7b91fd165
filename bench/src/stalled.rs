//! One subscriber that stops reading, among many: what the others and the server's memory notice of
//! it.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use crate::Scale;
use crate::fanout::percentile;
use crate::load::calls;
use crate::load::publisher::{EVENTS_OF_A_DEBIT, Grants};
use crate::load::readers::{Opening, Readers, Transport};
use crate::report::{Report, Target};
use crate::server::Server;

const PATIENCE: Duration = Duration::from_secs(120);
/// 50 events a second.
const PACE: Duration = Duration::from_millis(60);

pub(crate) async fn run(binary: &Path, scale: Scale, report: &mut Report) {
    let (subscribers, burst, debits) = scale.pick([(1000, 3000, 334)], [(50, 100, 20)])[0];
    // A small tail is full soon: then memory grows no more but for what is measured.
    let server = Server::start_with(binary, &["--tail-bytes", "4000000"]).await;
    let warming = Grants::make(&server, 2 * burst, 1).await;
    let bursts = [Grants::make(&server, burst, 1).await, Grants::make(&server, burst, 1).await];
    let paced = [Grants::make(&server, debits, 1).await, Grants::make(&server, debits, 1).await];
    tokio::task::block_in_place(|| {
        let address = server.address.parse().unwrap();
        let opening = Opening { address, key: &server.key, query: "", transport: Transport::Sse };
        let mut readers = Readers::new();
        readers.open(subscribers - 1, &opening);
        // What a burst takes once, whoever reads, is there before it is measured.
        let mut had = (warming.count() * EVENTS_OF_A_DEBIT) as u64;
        std::thread::scope(|scope| {
            scope.spawn(|| warming.empty_at_full_speed(1, false));
            readers.read_until_each_has(had, PATIENCE);
        });
        let (mut p99, mut memory, mut stalled) = (Vec::new(), Vec::new(), None);
        for (burst, paced) in bursts.iter().zip(&paced) {
            if !p99.is_empty() {
                stalled = Some(stop_reading(&opening));
            }
            had += (burst.count() * EVENTS_OF_A_DEBIT) as u64;
            std::thread::scope(|scope| {
                scope.spawn(|| burst.empty_at_full_speed(1, false));
                readers.read_until_each_has(had, PATIENCE);
            });
            readers.keep_receipts();
            let published = std::thread::scope(|scope| {
                let publisher = scope.spawn(|| paced.empty_one_each(PACE));
                had += (paced.count() * EVENTS_OF_A_DEBIT) as u64;
                readers.read_until_each_has(had, PATIENCE);
                publisher.join().unwrap()
            });
            p99.push(percentile(&readers.latencies(&published.begun, EVENTS_OF_A_DEBIT), 0.99));
            memory.push(server.memory() as f64);
        }
        drop(stalled);
        readers.expect_no_more_than(had);
        let name = format!("one stalled among {subscribers}");
        let beside = (p99[0], "without it");
        report.add_beside(
            (&name, "p99 of the others", "ms"),
            p99[1],
            beside,
            Some(Target::AtMost(1.1)),
        );
        let growth = (memory[1] - memory[0]) / f64::from(1 << 20);
        report.add_beside(
            (&name, "memory growth", "MiB"),
            growth,
            (1.0, "1 MiB"),
            Some(Target::AtMost(1.0)),
        );
    });
}

/// A subscriber that opens its stream and never reads. Its socket takes as little as there is.
pub(crate) fn stop_reading(opening: &Opening<'_>) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&opening.address.into()).unwrap();
    let mut socket = TcpStream::from(socket);
    socket
        .write_all(&calls::request(
            opening.key,
            &format!("GET /v1/events/stream{}", opening.query),
            "",
        ))
        .unwrap();
    socket
}
