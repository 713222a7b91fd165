//! What the tests share: a destination that does what it is told, and receivers as processes.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use grantex_destinations::conformance::MemoryLog;
use grantex_destinations::{
    Batch, BatchLimits, DeliveryOptions, EventDestination, EventId, EventSource, Place, SendError,
};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::JoinHandle;

/// Longer than anything takes that works.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub async fn until(what: &str, mut look: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !look() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Small batches, short waits.
pub fn quick() -> DeliveryOptions {
    DeliveryOptions {
        batch_size: Some(10),
        flush_interval_ms: Some(20),
        retry_base_ms: Some(5),
        retry_cap_ms: Some(50),
        ..DeliveryOptions::default()
    }
}

pub fn source(log: &MemoryLog, state: &std::path::Path) -> EventSource {
    // What went wrong, beside a test that fails.
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_test_writer()
        .try_init()
        .ok();
    let builder =
        EventSource::builder().log(log.clone()).since("1970-01-01T00:00:00Z").state_dir(state);
    builder.stop_limit(Duration::from_millis(500)).build().unwrap()
}

pub fn start(source: &EventSource) -> JoinHandle<Result<(), grantex_destinations::SourceError>> {
    let source = source.clone();
    tokio::spawn(async move { source.start().await })
}

type Judge = Box<dyn FnMut(&Batch) -> Result<(), SendError> + Send>;

/// A destination that keeps what it accepts and answers as it is told.
#[derive(Clone)]
pub struct Scripted {
    pub name: &'static str,
    pub seen: Arc<Mutex<Seen>>,
    judge: Arc<Mutex<Judge>>,
    needs_proof: bool,
}

#[derive(Default)]
pub struct Seen {
    /// Batches that were accepted.
    pub accepted: Vec<Vec<EventId>>,
    /// Batches that were sent, accepted or not, each with its place.
    pub sent: Vec<(Vec<EventId>, Place, bool)>,
    pub flushes: usize,
    pub is_closed: bool,
}

impl Scripted {
    pub fn new(name: &'static str) -> Self {
        Self::judging(name, |_| Ok(()))
    }

    pub fn judging(
        name: &'static str,
        judge: impl FnMut(&Batch) -> Result<(), SendError> + Send + 'static,
    ) -> Self {
        Self {
            name,
            seen: Arc::default(),
            judge: Arc::new(Mutex::new(Box::new(judge))),
            needs_proof: false,
        }
    }

    /// One answer after the other, then `Ok`.
    pub fn answering(name: &'static str, answers: impl IntoIterator<Item = SendError>) -> Self {
        let mut answers: VecDeque<_> = answers.into_iter().collect();
        Self::judging(name, move |_| answers.pop_front().map_or(Ok(()), Err))
    }

    /// Its refusals may be somebody else's.
    pub fn behind_a_network(self) -> Self {
        Self { needs_proof: true, ..self }
    }

    pub fn accepted(&self) -> Vec<EventId> {
        self.seen.lock().accepted.concat()
    }
}

pub fn ids(batch: &Batch) -> Vec<EventId> {
    batch.events().iter().map(|event| event.id).collect()
}

impl EventDestination for Scripted {
    fn name(&self) -> &str {
        self.name
    }

    fn defaults(&self) -> BatchLimits {
        BatchLimits { events: 10, bytes: 1 << 20, age: Duration::from_millis(20) }
    }

    fn refusals_need_proof(&self) -> bool {
        self.needs_proof
    }

    async fn place(&self, batch: &Batch) -> Result<Place, SendError> {
        Ok(
            serde_json::json!({"first": batch.first().to_string(), "sent": self.seen.lock().sent.len()}),
        )
    }

    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        let judged = (self.judge.lock())(batch);
        let mut seen = self.seen.lock();
        seen.sent.push((ids(batch), batch.place().clone(), batch.is_repeat()));
        match &judged {
            Ok(()) => seen.accepted.push(ids(batch)),
            Err(SendError::EventsRejected { events, others_delivered: true }) => {
                let rejected: Vec<usize> = events.iter().map(|(index, _)| *index).collect();
                let kept = ids(batch)
                    .into_iter()
                    .enumerate()
                    .filter(|(index, _)| !rejected.contains(index));
                let kept = kept.map(|(_, id)| id).collect();
                seen.accepted.push(kept);
            }
            Err(_) => {}
        }
        judged
    }

    async fn flush(&self) -> Result<(), SendError> {
        self.seen.lock().flushes += 1;
        Ok(())
    }

    async fn close(&self) -> Result<(), SendError> {
        self.seen.lock().is_closed = true;
        Ok(())
    }
}

/// A receiver of `tests/receivers/serve.py`; it ends with this value or this process.
pub struct Process {
    pub addresses: Value,
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Process {
    pub fn start(arguments: &[&str]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/receivers/serve.py");
        let mut command = Command::new("python3");
        command.arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 is installed");
        let commands = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let addresses = serde_json::from_str(&line).expect("the receiver starts");
        Self { addresses, child, commands, answers }
    }

    pub fn address(&self, name: &str) -> String {
        self.addresses[name].as_str().unwrap().to_owned()
    }

    pub fn command(&mut self, command: &str) {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line, "{}\n", "{command}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.commands.take());
        self.child.wait().unwrap();
    }
}

/// Delivers nine events and, in their middle, one of `bytes`: it becomes a dead letter, the others
/// arrive.
pub async fn oversize(destination: impl EventDestination, bytes: usize) {
    let folder = tempfile::tempdir().unwrap();
    let log = MemoryLog::default();
    log.append(5);
    log.append_with(&"x".repeat(bytes));
    log.append(4);
    let source = source(&log, folder.path());
    let options = DeliveryOptions { batch_bytes: Some(64 << 20), ..quick() };
    source.add_destination_with(destination, &options).unwrap();
    let running = start(&source);
    until("all is settled", || source.stats()[0].cursor == log.ids().last().copied()).await;
    let stats = source.stop().await;
    running.await.unwrap().unwrap();
    assert_eq!((stats[0].delivered, stats[0].dead_letters), (9, 1), "{stats:?}");
    let letters =
        source.state().dead_letters(grantex_destinations::DeadLetters::default()).await.unwrap();
    assert_eq!(letters[0].event_id, log.ids()[5]);
}
