//! Subscribers that come from the past, beside a bare loop that reads the same rows and writes them
//! to sockets.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Scale;
use crate::filled::filled;
use crate::load::bare_store::BareReplay;
use crate::load::readers::{Opening, Readers, Transport};
use crate::report::{Report, Target};

const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) async fn run(binary: &Path, scale: Scale, report: &mut Report) {
    let events = scale.pick([1_000_000], [20_000])[0];
    let (server, appended) = filled(binary, events).await;
    report.add("replay", "append, 5,000 a commit", "events/s", appended);
    // One after the other, then all at once: as many events in either case.
    for (subscribers, times) in [(1, 10), (10, 1)] {
        tokio::task::block_in_place(|| {
            let read = |address, key, is_last| {
                let query = "?since=2020-01-01T00:00:00Z";
                let opening = Opening { address, key, query, transport: Transport::Sse };
                let mut readers = Readers::new();
                readers.open(subscribers, &opening);
                readers.read_until_each_has(events, PATIENCE);
                if is_last {
                    readers.expect_no_more_than(events);
                }
                readers.bytes() as f64
            };
            let (start, cpu) = (Instant::now(), server.cpu());
            let address = server.address.parse().unwrap();
            let bytes: f64 = (0..times).map(|_| read(address, &server.key, false)).sum();
            let seconds = start.elapsed().as_secs_f64();
            let per_cpu = bytes / (server.cpu() - cpu) / 1e6;
            read(address, &server.key, true);

            let (mut bare_bytes, mut bare_cpu) = (0.0, 0.0);
            for _ in 0..times {
                let bare = BareReplay::start(&server.database(), subscribers);
                bare_bytes += read(bare.address, "", false);
                bare_cpu += bare.finish();
            }
            let name = format!("replay, {subscribers} of {events} events");
            let target = (subscribers == 1).then_some(Target::AtLeast(0.5));
            let beside = (bare_bytes / bare_cpu / 1e6, "a bare loop over the rows");
            report.add_beside((&name, "bytes per CPU-second", "MB/s"), per_cpu, beside, target);
            let delivered = (subscribers * times) as f64 * events as f64;
            report.add(&name, "events per second", "1/s", delivered / seconds);
        });
    }
}
