//! Subscribers that come, get one event, and go.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Scale;
use crate::load::publisher::{EVENTS_OF_A_DEBIT, Grants};
use crate::load::readers::{Opening, Readers, Transport};
use crate::report::Report;
use crate::server::Server;

/// At once.
const VISITORS: usize = 16;

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn run(binary: &Path, scale: Scale, report: &mut Report) {
    for transport in [Transport::Sse, Transport::WebSocket] {
        let visits = scale.pick([1000], [10])[0];
        let server = Server::start(binary).await;
        let grants = Grants::make(&server, 1, 1).await;
        tokio::task::block_in_place(|| grants.empty_at_full_speed(1, false));
        // The events of the setup: the grant and its token; then the debit.
        let events = 2 + EVENTS_OF_A_DEBIT as u64;
        let (start, cpu) = (Instant::now(), server.cpu());
        tokio::task::block_in_place(|| {
            let address = server.address.parse().unwrap();
            let query = "?since=2020-01-01T00:00:00Z";
            let opening = Opening { address, key: &server.key, query, transport };
            std::thread::scope(|scope| {
                for _ in 0..VISITORS {
                    scope.spawn(|| {
                        for _ in 0..visits {
                            let mut readers = Readers::new();
                            readers.open(1, &opening);
                            readers.read_until_each_has(events, PATIENCE);
                        }
                    });
                }
            });
        });
        let seconds = start.elapsed().as_secs_f64();
        let count = (VISITORS * visits) as f64;
        let name = format!("churn, {}, {VISITORS} at once", transport.name());
        report.add(&name, "streams per CPU-second", "1/s", count / (server.cpu() - cpu));
        report.add(&name, "streams per second", "1/s", count / seconds);
        let open = format!(r#"grantex_streams_open{{transport="{}"}}"#, transport.label());
        while server.metric(&open).await > 0.0 {
            assert!(start.elapsed() < PATIENCE, "streams stay open whose clients have gone");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
