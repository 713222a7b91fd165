//! One log, many subscribers: deliveries per CPU-second of the server, and how late they are,
//! beside a bare loop that writes the same events to the same number of sockets.

use std::path::Path;
use std::time::Duration;

use crate::Scale;
use crate::load::limit::{Limit, Mode};
use crate::load::publisher::{EVENTS_OF_A_DEBIT, Grants, Published};
use crate::load::readers::{Opening, Readers, Transport};
use crate::report::{Report, Target};
use crate::server::Server;

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(300);

/// Who subscribes, and what is published to them.
#[derive(Clone, Copy)]
struct Load {
    transport: Transport,
    subscribers: usize,
    debits: usize,
    /// From one debit to the next; at full speed when `None`.
    pace: Option<Duration>,
    query: &'static str,
    /// Events that each subscriber gets of a debit, and of the revocation that may follow it.
    shown: usize,
    revoked: bool,
    /// Connections that publish, at full speed.
    publishers: usize,
}

/// What a run gave.
struct Outcome {
    deliveries_per_cpu_second: f64,
    deliveries_per_second: f64,
    /// Of the process that loads and reads.
    load_cpu: f64,
    published: Published,
    latencies: Vec<u64>,
}

impl Load {
    fn at_full_speed(transport: Transport, subscribers: usize, debits: usize) -> Self {
        Self {
            transport,
            subscribers,
            debits,
            pace: None,
            query: "",
            shown: EVENTS_OF_A_DEBIT,
            revoked: false,
            publishers: 1,
        }
    }

    fn name(&self) -> String {
        format!("fan-out, {}, {} subscribers", self.transport.name(), self.subscribers)
    }

    fn readers(&self, opening: &Opening<'_>) -> Readers {
        let mut readers = Readers::new();
        if self.pace.is_some() {
            readers.keep_receipts();
        }
        readers.open(self.subscribers, opening);
        readers
    }

    fn outcome(
        &self,
        cpu: f64,
        load_cpu: f64,
        seconds: f64,
        readers: &Readers,
        published: Published,
    ) -> Outcome {
        let deliveries = (self.subscribers * self.debits * self.shown) as f64;
        let latencies = readers.latencies(&published.begun, self.shown);
        Outcome {
            deliveries_per_cpu_second: deliveries / cpu,
            deliveries_per_second: deliveries / seconds,
            load_cpu,
            published,
            latencies,
        }
    }

    async fn on_the_server(&self, binary: &Path) -> Outcome {
        let server = Server::start(binary).await;
        let grants = Grants::make(&server, self.debits, 1).await;
        tokio::task::block_in_place(|| {
            let address = server.address.parse().unwrap();
            let opening =
                Opening { address, key: &server.key, query: self.query, transport: self.transport };
            let mut readers = self.readers(&opening);
            let (cpu, own, start) =
                (server.cpu(), crate::cpu::cpu_of("self"), std::time::Instant::now());
            let published = std::thread::scope(|scope| {
                let publisher = scope.spawn(|| match self.pace {
                    Some(pace) => grants.empty_one_each(pace),
                    None => grants.empty_at_full_speed(self.publishers, self.revoked),
                });
                readers.read_until_each_has((self.debits * self.shown) as u64, PATIENCE);
                publisher.join().unwrap()
            });
            let seconds = start.elapsed().as_secs_f64();
            let (cpu, own) = (server.cpu() - cpu, crate::cpu::cpu_of("self") - own);
            readers.expect_no_more_than((self.debits * self.shown) as u64);
            self.outcome(cpu, own, seconds, &readers, published)
        })
    }

    /// The bare loop with the same events at the same pace.
    fn on_the_limit(&self, mode: Mode, published: &Published) -> Outcome {
        tokio::task::block_in_place(|| {
            let pace = self.pace.unwrap_or(published.time / u32::try_from(self.debits).unwrap());
            let mut limit = Limit::start(mode, self.subscribers, self.debits, self.shown, pace);
            let opening =
                Opening { address: limit.address, key: "", query: "", transport: Transport::Sse };
            let mut readers = self.readers(&opening);
            let start = std::time::Instant::now();
            limit.go();
            readers.read_until_each_has((self.debits * self.shown) as u64, PATIENCE);
            let seconds = start.elapsed().as_secs_f64();
            let (cpu, begun) = limit.finish();
            let published = Published { begun, time: start.elapsed() };
            self.outcome(cpu, 0.0, seconds, &readers, published)
        })
    }
}

const PER_CPU: (&str, &str) = ("deliveries per CPU-second", "1/s");

/// At full speed: one publisher as fast as it can.
pub(crate) async fn run(binary: &Path, scale: Scale, report: &mut Report) {
    // Some seconds of CPU each: fewer events to more subscribers.
    for (subscribers, debits) in
        scale.pick([(100, 10_000), (1000, 4000), (5000, 1000)], [(20, 50), (50, 20), (150, 10)])
    {
        let load = Load::at_full_speed(Transport::Sse, subscribers, debits);
        let outcome = load.on_the_server(binary).await;
        let bare = load.on_the_limit(Mode::Coalesce, &outcome.published);
        let single = load.on_the_limit(Mode::Single, &outcome.published);
        let (name, per_cpu) = (load.name(), outcome.deliveries_per_cpu_second);
        let target = (subscribers >= 1000).then_some(Target::AtLeast(0.6));
        let beside = (bare.deliveries_per_cpu_second, "a bare loop that coalesces");
        report.add_beside((&name, PER_CPU.0, PER_CPU.1), per_cpu, beside, target);
        report.add(&name, "the bare loop, coalescing", "1/s", bare.deliveries_per_cpu_second);
        report.add(&name, "the bare loop, one by one", "1/s", single.deliveries_per_cpu_second);
        report.add(&name, "deliveries per second", "1/s", outcome.deliveries_per_second);
        report.add(&name, "CPU of the load", "s", outcome.load_cpu);

        let load = Load { transport: Transport::WebSocket, ..load };
        let websocket = load.on_the_server(binary).await.deliveries_per_cpu_second;
        let target = Some(Target::AtLeast(0.85));
        report.add_beside(
            (&load.name(), PER_CPU.0, PER_CPU.1),
            websocket,
            (per_cpu, "SSE"),
            target,
        );
    }
}

/// The same with a filter that shows half of the events, counted in what is delivered.
pub(crate) async fn filtered(binary: &Path, scale: Scale, report: &mut Report) {
    for (subscribers, debits) in scale.pick([(1000, 6000)], [(50, 20)]) {
        // Many publishers: with one, what its calls cost would be most of what is measured.
        let all = Load {
            shown: 4,
            revoked: true,
            publishers: 16,
            ..Load::at_full_speed(Transport::Sse, subscribers, debits)
        };
        let half = Load { shown: 2, query: "?types=budget.threshold", ..all };
        let all_rate = all.on_the_server(binary).await.deliveries_per_cpu_second;
        let half_rate = half.on_the_server(binary).await.deliveries_per_cpu_second;
        let name = format!("{}, half of the events", half.name());
        let beside = (all_rate, "unfiltered");
        report.add_beside(
            (&name, PER_CPU.0, PER_CPU.1),
            half_rate,
            beside,
            Some(Target::AtLeast(0.7)),
        );
    }
}

/// At a modest rate there is nothing to coalesce but the events of one commit.
pub(crate) async fn modest(binary: &Path, scale: Scale, report: &mut Report) {
    for (subscribers, debits) in scale.pick([(1000, 334)], [(50, 20)]) {
        // 50 events a second.
        let pace = Some(Duration::from_millis(60));
        let load = Load { pace, ..Load::at_full_speed(Transport::Sse, subscribers, debits) };
        let outcome = load.on_the_server(binary).await;
        let bare = load.on_the_limit(Mode::Coalesce, &outcome.published);
        let name = format!("50 events/s, {subscribers} subscribers");
        let beside = (bare.deliveries_per_cpu_second, "a bare loop");
        report.add_beside(
            (&name, PER_CPU.0, PER_CPU.1),
            outcome.deliveries_per_cpu_second,
            beside,
            Some(Target::AtLeast(0.8)),
        );
        for (figure, place, target) in
            [("p50", 0.5, None), ("p99", 0.99, Some(Target::AtMost(1.3))), ("p99.9", 0.999, None)]
        {
            let figure = format!("{figure} from commit to receipt");
            let beside = (percentile(&bare.latencies, place), "a bare loop");
            report.add_beside(
                (&name, &figure, "ms"),
                percentile(&outcome.latencies, place),
                beside,
                target,
            );
        }
    }
}

/// In milliseconds.
pub(crate) fn percentile(sorted: &[u64], place: f64) -> f64 {
    let last = sorted.len() - 1;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in the list"
    )]
    let index = (last as f64 * place).round() as usize;
    sorted[index] as f64 / 1e6
}
