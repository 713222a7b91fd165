//! What bounds the store: SQLite alone, in a process of its own, with the same rows and nothing
//! around them.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use grantex_types::{EventId, sse};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::cpu::cpu_of;

/// What the process is to do.
#[derive(clap::Subcommand)]
pub(crate) enum Task {
    /// Write every event of a database to each of so many sockets
    Replay { database: PathBuf, readers: usize },
    /// Debit budgets, so many a commit, for some seconds
    Debits { batch: usize, seconds: u64 },
}

/// The process's side.
pub(crate) fn run(task: &Task) {
    match task {
        Task::Replay { database, readers } => replay(database, *readers),
        Task::Debits { batch, seconds } => debits(*batch, Duration::from_secs(*seconds)),
    }
}

fn process(arguments: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("bare-store").args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let told = BufReader::new(child.stdout.take().unwrap());
    (child, told)
}

fn line(told: &mut impl std::io::BufRead) -> Value {
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

/// A bare loop that reads rows and writes them to sockets.
pub(crate) struct BareReplay {
    child: Child,
    told: BufReader<std::process::ChildStdout>,
    pub(crate) address: SocketAddr,
}

impl BareReplay {
    pub(crate) fn start(database: &Path, readers: usize) -> Self {
        let (child, mut told) =
            process(&["replay", database.to_str().unwrap(), &readers.to_string()]);
        let address = line(&mut told)["address"].as_str().unwrap().parse().unwrap();
        Self { child, told, address }
    }

    /// CPU-seconds that it took, once all are served.
    pub(crate) fn finish(mut self) -> f64 {
        let cpu = line(&mut self.told)["cpu"].as_f64().unwrap();
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
        cpu
    }
}

fn replay(database: &Path, readers: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", json!({"address": listener.local_addr().unwrap()}));
    let cpu = cpu_of("self");
    // They stay open until the readers have read all.
    let _sockets: Vec<TcpStream> = std::thread::scope(|scope| {
        let writers = (0..readers).map(|_| {
            let (socket, _) = listener.accept().unwrap();
            scope.spawn(|| write_rows(database, socket))
        });
        let writers: Vec<_> = writers.collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    println!("{}", json!({"cpu": cpu_of("self") - cpu}));
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

fn write_rows(database: &Path, mut socket: TcpStream) -> TcpStream {
    /// Written at once: as much as the service writes at once.
    const BLOCK: usize = 128 << 10;
    assert!(socket.read(&mut [0; 2048]).unwrap() > 0);
    socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags).unwrap();
    let sql = "SELECT id, envelope FROM events ORDER BY developer_id, position";
    let mut statement = connection.prepare(sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut block = BytesMut::with_capacity(BLOCK + 4096);
    while let Some(row) = rows.next().unwrap() {
        let id = EventId::from_bytes(row.get(0).unwrap());
        sse::write_event(&mut block, id, row.get_ref(1).unwrap().as_blob().unwrap());
        if block.len() >= BLOCK {
            socket.write_all(&block).unwrap();
            block.clear();
        }
    }
    socket.write_all(&block).unwrap();
    socket
}

/// Durable debits a second, so many a commit; and how many a CPU-second.
pub(crate) fn bare_debits(batch: usize, time: Duration) -> (f64, f64) {
    let (mut child, mut told) =
        process(&["debits", &batch.to_string(), &time.as_secs().max(1).to_string()]);
    let told = line(&mut told);
    child.wait().unwrap();
    (told["perSecond"].as_f64().unwrap(), told["perCpuSecond"].as_f64().unwrap())
}

fn debits(batch: usize, time: Duration) {
    const BUDGETS: i64 = 256;
    let folder = tempfile::tempdir().unwrap();
    let connection = Connection::open(folder.path().join("bare.db")).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    // The service's own tables, as far as a debit writes to them.
    connection
        .execute_batch(
            "CREATE TABLE budgets (
                 developer_id BLOB NOT NULL, grant_id BLOB NOT NULL, remaining INTEGER NOT NULL,
                 updated_at INTEGER NOT NULL, PRIMARY KEY (developer_id, grant_id)
             ) STRICT, WITHOUT ROWID;
             CREATE TABLE transactions (
                 developer_id BLOB NOT NULL, grant_id BLOB NOT NULL, id BLOB NOT NULL,
                     budget_id BLOB NOT NULL,
                 amount INTEGER NOT NULL, description TEXT, metadata TEXT,
                     created_at INTEGER NOT NULL,
                 PRIMARY KEY (developer_id, grant_id, id)
             ) STRICT, WITHOUT ROWID;",
        )
        .unwrap();
    let id = |number: i64| i128::from(number).to_be_bytes();
    for grant in 0..BUDGETS {
        let sql = "INSERT INTO budgets VALUES (?1, ?2, 1000000000000, 0)";
        connection.execute(sql, (id(1), id(grant))).unwrap();
    }
    let mut update = connection
        .prepare("UPDATE budgets SET remaining = remaining - ?3, updated_at = ?4 WHERE developer_id = ?1 AND grant_id = ?2")
        .unwrap();
    let mut insert = connection
        .prepare("INSERT INTO transactions VALUES (?1, ?2, ?3, ?4, ?5, NULL, NULL, ?6)")
        .unwrap();
    let (start, cpu) = (Instant::now(), cpu_of("self"));
    let mut done = 0_i64;
    while start.elapsed() < time {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        for _ in 0..batch {
            let grant = id(done % BUDGETS);
            update.execute((id(1), grant, 10_000, done)).unwrap();
            insert.execute((id(1), grant, id(done), id(2), 10_000, done)).unwrap();
            done += 1;
        }
        connection.execute_batch("COMMIT").unwrap();
    }
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_of("self") - cpu);
    println!("{}", json!({"perSecond": done as f64 / seconds, "perCpuSecond": done as f64 / cpu}));
}
