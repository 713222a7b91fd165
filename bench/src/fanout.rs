//! One log, many subscribers.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use grantex_types::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::cpu::cpu_of;
use crate::server::Server;

const SUBSCRIBERS: usize = 500;
const GRANTS: usize = 400;

pub(crate) async fn run(binary: &Path) {
    let server = Server::start(binary).await;
    let agent = server.agent().await;
    let alone = cpu_of_a_grant(binary).await;
    let mut readers = Vec::new();
    for _ in 0..SUBSCRIBERS {
        readers.push(tokio::spawn(read(server.stream("").await, GRANTS * 2)));
    }
    let (start, cpu) = (Instant::now(), server.cpu());
    for _ in 0..GRANTS {
        server.grant(&agent).await;
    }
    let mut lags = Vec::new();
    for reader in readers {
        lags.extend(reader.await.unwrap());
    }
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), server.cpu() - cpu);
    let deliveries = (SUBSCRIBERS * GRANTS * 2) as f64;
    let delivering = (cpu - alone * GRANTS as f64).max(0.01);
    lags.sort_unstable();
    let raw = raw_writer(SUBSCRIBERS, GRANTS).await;
    println!(
        "fan-out   {SUBSCRIBERS} subscribers   {:.0} deliveries/s   {:.0} deliveries per CPU-second ({:.2} × raw loopback writer, {raw:.0})   lag p50 {} ms, p99 {} ms",
        deliveries / seconds,
        deliveries / delivering,
        deliveries / delivering / raw,
        lags[lags.len() / 2],
        lags[lags.len() * 99 / 100],
    );
}

/// CPU-seconds that a grant costs when nobody subscribes.
async fn cpu_of_a_grant(binary: &Path) -> f64 {
    let server = Server::start(binary).await;
    let agent = server.agent().await;
    let cpu = server.cpu();
    for _ in 0..GRANTS {
        server.grant(&agent).await;
    }
    (server.cpu() - cpu) / GRANTS as f64
}

/// Reads until `count` events have come; how late each was, in milliseconds.
async fn read(mut socket: TcpStream, count: usize) -> Vec<u64> {
    const MARK: &str = "\"createdAt\":\"";
    let mut lags = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let mut rest = String::new();
    while lags.len() < count {
        let Ok(Ok(read)) = tokio::time::timeout(Duration::from_secs(20), socket.read(&mut buffer)).await
        else {
            break;
        };
        if read == 0 {
            break;
        }
        let now: u64 = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_millis()
            .try_into()
            .unwrap_or(u64::MAX);
        rest.push_str(&String::from_utf8_lossy(&buffer[..read]));
        while let Some(place) = rest.find(MARK) {
            let start = place + MARK.len();
            let Some(text) = rest.get(start..start + 24) else { break };
            let at: Timestamp = text.parse().unwrap();
            lags.push(now.saturating_sub(at.millis()));
            rest.drain(..start + 24);
        }
    }
    lags
}

/// What the machine gives: a task per socket that writes the same bytes, woken by a channel, in
/// writes of one event. Writes per CPU-second of the writing, the reading being the same as above.
async fn raw_writer(subscribers: usize, grants: usize) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (events, _) = tokio::sync::broadcast::channel::<Arc<[u8]>>(1024);
    let mut writers = Vec::new();
    let mut readers = Vec::new();
    for _ in 0..subscribers {
        let mut reader = TcpStream::connect(address).await.unwrap();
        let (mut writer, _) = listener.accept().await.unwrap();
        writer.set_nodelay(true).unwrap();
        let mut inbox = events.subscribe();
        writers.push(tokio::spawn(async move {
            while let Ok(bytes) = inbox.recv().await {
                writer.write_all(&bytes).await.unwrap();
            }
        }));
        readers.push(tokio::spawn(async move {
            let mut buffer = vec![0; 64 << 10];
            while reader.read(&mut buffer).await.unwrap_or(0) > 0 {}
        }));
    }
    let block: Arc<[u8]> = vec![b'x'; 560].into();
    let before = cpu_of("self");
    for _ in 0..grants {
        events.send(Arc::clone(&block)).unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(events);
    for writer in writers {
        writer.await.unwrap();
    }
    for reader in readers {
        reader.await.unwrap();
    }
    // Each write carries the two events of a grant, as the service's writes do. Readers are in
    // this process too: about half of the time is theirs.
    (subscribers * grants * 2) as f64 / ((cpu_of("self") - before) / 2.0)
}
