//! What one developer notices of another: B's calls alone, and while A does its worst.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use grantex_types::{GrantId, TransactionId};
use serde_json::{Value, json};

use crate::Scale;
use crate::fanout::percentile;
use crate::load::caller::{Caller, open_stream};
use crate::load::calls::request;
use crate::load::publisher::Grants;
use crate::load::readers::{Opening, Readers, Transport};
use crate::neighbour_fill::{Filled, Sizes, fill};
use crate::report::{Report, Target};
use crate::server::Server;
use crate::stalled::stop_reading;

/// The time between two of B's calls of one kind. A call is sent when it is due, also while the one
/// before is not answered: a stall of a second delays forty calls. The pace is slower than
/// [`FAST`], so that fast calls do not queue.
const PACE: Duration = Duration::from_millis(25);
/// What is slower than so many times B alone is noticed,
const SLOWER: f64 = 3.0;
/// unless it is faster than this, in milliseconds.
const FAST: f64 = 20.0;
/// A's load before B's calls are measured.
const RAMP: Duration = Duration::from_millis(300);
/// More than is ever taken.
const BUDGET: u64 = 1_000_000_000;
/// Clients that send large bodies.
const BODY_CLIENTS: usize = 16;
const BODY_BYTES: usize = 1_000_000;

/// B's calls.
const CALLS: [&str; 4] = ["debit", "balance", "history page", "stream opening"];

/// Nanoseconds that each call took, by kind, sorted.
type Times = [Vec<u64>; CALLS.len()];

/// The service, and the two developers.
struct Place {
    address: SocketAddr,
    a: String,
    filled: Filled,
    sizes: Sizes,
    writers: Grants,
}

/// Whether A is to go on.
struct Running(AtomicBool);

impl Running {
    fn goes_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn pause(&self, time: Duration) {
        let end = Instant::now() + time;
        while self.goes_on() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What A does until it is stopped.
type Disturbance = fn(&Place, &Running);

const DISTURBANCES: [(&str, Disturbance); 8] = [
    ("key churn", churn_keys),
    ("agents with dead grants", delete_agents),
    ("replays", replay),
    ("deep pages", page_deep),
    ("1 MB bodies", send_bodies),
    ("writers", write),
    ("large cascades", cascade),
    ("stalled readers", stall),
];

pub(crate) async fn run(binary: &Path, scale: Scale, report: &mut Report) {
    let sizes = scale.pick([Sizes::FULL], [Sizes::SMOKE])[0];
    let server = Server::start(binary).await;
    let (a, b) = (server.key.clone(), server.sign_up().await);
    let developers = [server.developer_of(&a).await, server.developer_of(&b).await];
    let folder = server.into_folder();
    let filled = fill(folder.path(), developers, sizes).await;
    let server = Server::on(binary, folder).await;
    let address: SocketAddr = server.address.parse().unwrap();
    let writers =
        Grants::of_developers(&server, std::slice::from_ref(&a), sizes.writers, BUDGET).await;
    let own = Grants::of_developers(&server, std::slice::from_ref(&b), 1, BUDGET).await;
    settle(&server).await;

    let place = Place { address, a, filled, sizes, writers };
    let calls = tokio::task::block_in_place(|| calls_of(address, &b, own.id(0)));
    let mut debits = 0;
    let mut measure = |disturbance: Option<Disturbance>| {
        let times = tokio::task::block_in_place(|| disturbed(&place, &calls, disturbance));
        debits += times[0].len();
        times
    };
    let alone = measure(None);
    let milliseconds = |times: &Times, call: usize, place| percentile(&times[call], place);
    for (call, what) in CALLS.iter().enumerate() {
        for (place, figure) in [(0.5, "p50"), (0.99, "p99")] {
            let value = milliseconds(&alone, call, place);
            report.add("neighbour, alone", &format!("{figure} of a {what}"), "ms", value);
        }
    }
    for (name, disturbance) in DISTURBANCES {
        let times = measure(Some(disturbance));
        let case = format!("neighbour, {name}");
        for (call, what) in CALLS.iter().enumerate() {
            for (place, figure) in [(0.5, "p50"), (0.99, "p99")] {
                let (value, limit) =
                    (milliseconds(&times, call, place), milliseconds(&alone, call, place));
                let most = SLOWER.max(FAST / limit);
                let target =
                    (figure == "p99").then_some(Target::AtMost((most * 10.0).round() / 10.0));
                report.add_beside(
                    (&case, &format!("{figure} of a {what}"), "ms"),
                    value,
                    (limit, "alone"),
                    target,
                );
            }
        }
        settle(&server).await;
    }
    let left = own.left(&server).await;
    assert!((BUDGET as f64 - left - debits as f64).abs() < 0.5, "{debits} debits left {left}");
}

/// Waits until the service has nothing to do by itself any more.
async fn settle(server: &Server) {
    let mut before = f64::NAN;
    loop {
        let commits = server.metric("grantex_commit_batch_commands_count").await;
        if (commits - before).abs() < 0.5 {
            return;
        }
        before = commits;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// B's requests. The page and the stream begin in the middle of the log.
fn calls_of(address: SocketAddr, key: &str, grant: &str) -> [Vec<u8>; CALLS.len()] {
    let page = Caller::new(address).expect(&request(key, "GET /v1/events?limit=1000", ""));
    let page: Value = serde_json::from_slice(&page).unwrap();
    let after = page["nextCursor"].as_str().unwrap();
    let debit = json!({"grantId": grant, "amount": 1}).to_string();
    [
        request(key, "POST /v1/budget/debit", &debit),
        request(key, &format!("GET /v1/budget/balance/{grant}"), ""),
        request(key, &format!("GET /v1/events?limit=100&after={after}"), ""),
        request(key, &format!("GET /v1/events/stream?lastEventId={after}"), ""),
    ]
}

/// B's calls, while A does something or nothing.
fn disturbed(
    place: &Place,
    calls: &[Vec<u8>; CALLS.len()],
    disturbance: Option<Disturbance>,
) -> Times {
    let running = Running(AtomicBool::new(true));
    std::thread::scope(|scope| {
        if let Some(disturbance) = disturbance {
            let running = &running;
            scope.spawn(move || {
                disturb_from_elsewhere();
                disturbance(place, running);
            });
            std::thread::sleep(RAMP);
        }
        let probes = [0, 1, 2, 3].map(|call| {
            let request = &calls[call];
            scope.spawn(move || probe(place, request, call == CALLS.len() - 1))
        });
        let times = probes.map(|probe| probe.join().unwrap());
        running.0.store(false, Ordering::Relaxed);
        times
    })
}

/// A's clients would have cores of their own: here, they take what the service and B leave. Threads
/// that this one starts are the same.
fn disturb_from_elsewhere() {
    rustix::process::setpriority_process(None, 19).unwrap();
}

/// One call after the other, at a fixed pace. The time of each counts from when it was due.
fn probe(place: &Place, request: &[u8], is_stream: bool) -> Vec<u64> {
    let mut caller = Caller::new(place.address);
    let start = Instant::now();
    let mut times: Vec<u64> = (0..place.sizes.calls)
        .map(|number| {
            let due = start + PACE * number;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if is_stream {
                open_stream(place.address, request);
            } else {
                caller.expect(request);
            }
            u64::try_from(due.elapsed().as_nanos()).unwrap()
        })
        .collect();
    times.sort_unstable();
    times
}

/// So many clients, each doing one thing after the other.
fn at_once(clients: usize, each: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for client in 0..clients {
            let each = &each;
            scope.spawn(move || each(client));
        }
    });
}

fn churn_keys(place: &Place, running: &Running) {
    at_once(4, |client| {
        let mut caller = Caller::new(place.address);
        let create = request(&place.a, "POST /v1/keys", &json!({"name": "Key"}).to_string());
        let made = |answer: Vec<u8>, field: &str| {
            let made: Value = serde_json::from_slice(&answer).unwrap();
            made[field].as_str().unwrap().to_owned()
        };
        let mut own = made(caller.expect(&create), "apiKey");
        while running.goes_on() {
            if client % 2 == 0 {
                own = made(caller.expect(&request(&own, "POST /v1/keys/rotate", "")), "apiKey");
            } else {
                let id = made(caller.expect(&create), "keyId");
                caller.expect(&request(&place.a, &format!("DELETE /v1/keys/{id}"), ""));
            }
        }
    });
}

fn delete_agents(place: &Place, running: &Running) {
    one_by_one(
        place,
        running,
        place.filled.agents.iter().map(|id| format!("DELETE /v1/agents/{id}")),
    );
}

fn cascade(place: &Place, running: &Running) {
    one_by_one(
        place,
        running,
        place.filled.roots.iter().map(|id| format!("DELETE /v1/grants/{id}")),
    );
}

/// A few expensive calls, spread over the measured time.
fn one_by_one(place: &Place, running: &Running, calls: impl ExactSizeIterator<Item = String>) {
    let mut caller = Caller::new(place.address);
    let pause = PACE * place.sizes.calls / u32::try_from(calls.len()).unwrap();
    for call in calls {
        caller.expect(&request(&place.a, &call, ""));
        running.pause(pause);
    }
}

fn replay(place: &Place, running: &Running) {
    let opening = Opening {
        address: place.address,
        key: &place.a,
        query: "?since=2020-01-01T00:00:00Z",
        transport: Transport::Sse,
    };
    let mut readers = Readers::new();
    readers.open(place.sizes.replays, &opening);
    readers.read_while(|| running.goes_on());
}

fn page_deep(place: &Place, running: &Running) {
    let (grant, after): (GrantId, TransactionId) = place.filled.deep;
    at_once(place.sizes.pages, |client| {
        let list = format!("GET /v1/budget/transactions/{grant}");
        // As deep as a page by number goes, and in the middle by cursor.
        let page = match client % 2 {
            0 => format!("{list}?page={}&pageSize=200", place.sizes.debits.min(10_000) / 200),
            _ => format!("{list}?limit=200&after={after}"),
        };
        let page = request(&place.a, &page, "");
        let mut caller = Caller::new(place.address);
        while running.goes_on() {
            caller.expect(&page);
        }
    });
}

fn send_bodies(place: &Place, running: &Running) {
    at_once(BODY_CLIENTS, |_| {
        let metadata = vec![1_u8; BODY_BYTES / 2];
        let body =
            json!({"grantId": place.filled.deep.0, "amount": 1, "metadata": {"large": metadata}});
        let large = request(&place.a, "POST /v1/budget/debit", &body.to_string());
        let mut caller = Caller::new(place.address);
        while running.goes_on() {
            // However it is refused.
            assert!(caller.call(&large).is_none_or(|answer| answer.status / 100 == 4));
        }
    });
}

fn write(place: &Place, running: &Running) {
    place.writers.debit_while(place.sizes.writers, || running.goes_on());
}

fn stall(place: &Place, running: &Running) {
    let opening = Opening {
        address: place.address,
        key: &place.a,
        query: "?since=2020-01-01T00:00:00Z",
        transport: Transport::Sse,
    };
    let stalled: Vec<_> = (0..place.sizes.stalled).map(|_| stop_reading(&opening)).collect();
    // Something happens that they do not read.
    let mut caller = Caller::new(place.address);
    for id in place.filled.revocable.iter().take_while(|_| running.goes_on()) {
        caller.expect(&request(&place.a, &format!("DELETE /v1/grants/{id}"), ""));
    }
    running.pause(Duration::MAX / 4);
    drop(stalled);
}
