//! Streams on which nothing happens: what each takes of the server's memory.

use std::path::Path;
use std::time::Duration;

use crate::Scale;
use crate::load::readers::{Opening, Readers, Transport};
use crate::report::{Report, Target};
use crate::server::Server;

pub(crate) async fn run(binary: &Path, scale: Scale, report: &mut Report) {
    for transport in [Transport::Sse, Transport::WebSocket] {
        for streams in scale.pick([5000, 15_000], [50]) {
            let server = Server::start(binary).await;
            tokio::task::block_in_place(|| {
                let address = server.address.parse().unwrap();
                let opening = Opening { address, key: &server.key, query: "", transport };
                let mut readers = Readers::new();
                // The first ones pay for what all share.
                readers.open(100, &opening);
                std::thread::sleep(Duration::from_secs(1));
                let before = server.memory();
                readers.open(streams, &opening);
                // What opening them took is given back.
                std::thread::sleep(Duration::from_secs(1));
                let bytes = (server.memory() as f64 - before as f64) / streams as f64;
                let name = format!("idle, {}, {streams} streams", transport.name());
                let target = (streams == 15_000).then_some(Target::AtMost(1.0));
                report.add_beside(
                    (&name, "memory of a stream", "B"),
                    bytes,
                    (2048.0, "2 KiB"),
                    target,
                );
                let cpu = server.cpu();
                std::thread::sleep(Duration::from_secs(4));
                let per_second = (server.cpu() - cpu) / 4.0;
                report.add(&name, "CPU", "% of a core", per_second * 100.0);
            });
        }
    }
}
