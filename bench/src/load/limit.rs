//! What bounds the fan-out: a bare loop in a process of its own that writes the same bytes to the
//! same number of sockets, with nothing around it – no HTTP, no filters, no tenants, no tasks.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde_json::{Value, json};

use super::now_ns;
use crate::cpu::cpu_of;

/// As long as the events of a budget are on a stream.
const EVENT_BYTES: usize = 250;

/// How the bare loop writes.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// To each subscriber everything that it lacks, in one call.
    Coalesce,
    /// One event a call.
    Single,
}

/// What the bare loop is to do.
#[derive(clap::Args)]
pub(crate) struct Task {
    #[arg(long, value_enum)]
    mode: Mode,
    #[arg(long)]
    subscribers: usize,
    /// Commits
    #[arg(long)]
    groups: usize,
    /// Events of a commit
    #[arg(long)]
    group: usize,
    /// Bytes of an event
    #[arg(long)]
    bytes: usize,
    /// From one commit to the next
    #[arg(long)]
    pace_ns: u64,
}

/// The bare loop as a process.
pub(crate) struct Limit {
    child: Child,
    told: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    cpu: f64,
}

impl Limit {
    pub(crate) fn start(
        mode: Mode,
        subscribers: usize,
        groups: usize,
        group: usize,
        pace: Duration,
    ) -> Self {
        let mode = mode.to_possible_value().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["bare-loop", "--mode", mode.get_name()]);
        for (name, value) in [
            ("--subscribers", subscribers),
            ("--groups", groups),
            ("--group", group),
            ("--bytes", EVENT_BYTES),
            ("--pace-ns", usize::try_from(pace.as_nanos()).unwrap()),
        ] {
            command.args([name, &value.to_string()]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let told = BufReader::new(child.stdout.take().unwrap());
        let mut limit = Self { child, told, address: ([127, 0, 0, 1], 0).into(), cpu: 0.0 };
        limit.address = limit.line()["address"].as_str().unwrap().parse().unwrap();
        limit
    }

    /// Lets it publish.
    pub(crate) fn go(&mut self) {
        self.cpu = cpu_of(&self.child.id().to_string());
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }

    /// CPU-seconds since it was let go, and when each commit began. It has delivered everything.
    pub(crate) fn finish(mut self) -> (f64, Vec<u64>) {
        let begun = self.line()["begun"]
            .as_array()
            .unwrap()
            .iter()
            .map(|at| at.as_u64().unwrap())
            .collect();
        let cpu = cpu_of(&self.child.id().to_string()) - self.cpu;
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
        (cpu, begun)
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.told.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }
}

/// The process's side.
pub(crate) fn run(task: &Task) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", json!({"address": listener.local_addr().unwrap()}));
    let mut sockets: Vec<TcpStream> = (0..task.subscribers).map(|_| accept(&listener)).collect();
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();

    let event = format!("id: evt_00000000000000000000000000\ndata: {}", "x".repeat(task.bytes));
    let event = format!("{}\n\n", &event[..task.bytes - 2]);
    let log: Arc<[u8]> = event.repeat(task.groups * task.group).into_bytes().into();
    let head = Arc::new((AtomicUsize::new(0), Mutex::new(()), Condvar::new()));
    let publishing = std::thread::spawn({
        let (head, pace) = (Arc::clone(&head), Duration::from_nanos(task.pace_ns));
        let (groups, bytes) = (task.groups, task.group * task.bytes);
        move || publish(&head, groups, bytes, pace)
    });
    let step = if task.mode == Mode::Single { task.bytes } else { usize::MAX };
    let mut cursors = vec![0_usize; sockets.len()];
    let mut done = 0;
    while done < sockets.len() {
        let published = head.0.load(Ordering::Acquire);
        let mut has_written = false;
        for (socket, cursor) in sockets.iter_mut().zip(&mut cursors) {
            while *cursor < published {
                let end = published.min(cursor.saturating_add(step));
                // A socket that is full gets its part in the next round.
                let Ok(written) = socket.write(&log[*cursor..end]) else { break };
                *cursor += written;
                has_written = true;
                done += usize::from(*cursor == log.len());
            }
        }
        if !has_written && done < sockets.len() {
            let guard = head.1.lock().unwrap();
            if head.0.load(Ordering::Acquire) == published {
                // A full socket is tried again soon.
                drop(head.2.wait_timeout(guard, Duration::from_millis(1)).unwrap());
            }
        }
    }
    println!("{}", json!({"begun": publishing.join().unwrap()}));
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (mut socket, _) = listener.accept().unwrap();
    let mut head = [0; 2048];
    assert!(socket.read(&mut head).unwrap() > 0);
    socket.write_all(b"HTTP/1.1 200 OK\r\n\r\nretry: 1\n\n").unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Makes each commit durable as an ideal database would, and reports it.
fn publish(
    head: &(AtomicUsize, Mutex<()>, Condvar),
    groups: usize,
    bytes: usize,
    pace: Duration,
) -> Vec<u64> {
    let mut file = tempfile::tempfile().unwrap();
    let start = Instant::now();
    let mut begun = Vec::with_capacity(groups);
    for number in 0..groups {
        std::thread::sleep((pace * u32::try_from(number).unwrap()).saturating_sub(start.elapsed()));
        begun.push(now_ns());
        file.write_all(&vec![7; bytes]).unwrap();
        file.sync_data().unwrap();
        head.0.fetch_add(bytes, Ordering::Release);
        let _guard = head.1.lock().unwrap();
        head.2.notify_one();
    }
    begun
}
