//! A subscriber that comes from the past.

use std::path::Path;
use std::time::Instant;

use grantex_core::log::Subject;
use grantex_core::store;
use grantex_types::event::{EventData, RevokedBy};
use grantex_types::{AgentId, DeveloperId, GrantId};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::server::{Server, store as open};

const EVENTS: u64 = 500_000;
const PER_COMMIT: u64 = 5000;

/// A service whose developer has so many events.
pub(crate) async fn filled(binary: &Path, events: u64) -> Server {
    let server = Server::start(binary).await;
    let me: Value = server
        .http
        .get(format!("http://{}/v1/me", server.address))
        .bearer_auth(&server.key)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let developer: DeveloperId = me["developerId"].as_str().unwrap().parse().unwrap();
    let key = server.key.clone();
    let folder = server.into_folder();
    fill(folder.path(), developer, events).await;

    let mut server = Server::on(binary, folder).await;
    server.key = key;
    server
}

/// Stands there until standard input ends.
pub(crate) async fn stand(binary: &Path, events: u64) {
    let server = filled(binary, events).await;
    println!("{}", serde_json::json!({"url": format!("http://{}", server.address), "apiKey": server.key}));
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
}

pub(crate) async fn run(binary: &Path) {
    let server = filled(binary, EVENTS).await;
    for round in 1..=2 {
        let (start, cpu) = (Instant::now(), server.cpu());
        let mut socket = server.stream("?since=2020-01-01T00:00:00Z").await;
        let bytes = read_events(&mut socket, EVENTS).await;
        let seconds = start.elapsed().as_secs_f64();
        let raw = raw_copy(bytes).await;
        println!(
            "replay    round {round}   {:.0} events/s   {:.0} events per CPU-second   {:.2} × raw loopback copy ({:.0} MB/s)",
            EVENTS as f64 / seconds,
            EVENTS as f64 / (server.cpu() - cpu),
            bytes as f64 / seconds / raw,
            raw / 1e6,
        );
    }
}

async fn fill(folder: &Path, developer: DeveloperId, events: u64) {
    let store = open(folder);
    let start = Instant::now();
    for batch in 0..events / PER_COMMIT {
        store::write(store.as_ref(), move |tx| {
            for n in 0..PER_COMMIT {
                let grant_id = GrantId::from_parts(batch, u128::from(n));
                let subject =
                    Subject { grant_id, agent_id: AgentId::from_parts(1, 1), principal_id: "user".into() };
                tx.append(
                    developer,
                    &subject,
                    EventData::GrantRevoked { grant_id, revoked_by: RevokedBy::System },
                )?;
            }
            Ok(())
        })
        .await
        .unwrap();
    }
    println!(
        "append    {:.0} events/s in commits of {PER_COMMIT}",
        events as f64 / start.elapsed().as_secs_f64()
    );
}

/// Reads until so many events have come; returns the bytes.
async fn read_events(socket: &mut TcpStream, count: u64) -> u64 {
    let mut buffer = vec![0; 256 << 10];
    // The events in the head's own read are few; their absence at the end is bounded below.
    let (mut seen, mut bytes) = (0, 0);
    let mut carry = 0_usize;
    while seen + 600 < count {
        let read = socket.read(&mut buffer[carry..]).await.unwrap();
        assert!(read > 0, "the stream ended");
        bytes += read as u64;
        let end = carry + read;
        seen += buffer[..end].windows(7).filter(|window| window == b"\ndata: ").count() as u64;
        let keep = end.min(6);
        buffer.copy_within(end - keep..end, 0);
        carry = keep;
    }
    bytes
}

/// Bytes a second that one task writes to another over loopback.
async fn raw_copy(bytes: u64) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut reader = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut writer, _) = listener.accept().await.unwrap();
    let start = Instant::now();
    let writing = tokio::spawn(async move {
        let block = vec![b'x'; 64 << 10];
        let mut left = bytes;
        while left > 0 {
            let size = usize::try_from(left).unwrap().min(block.len());
            writer.write_all(&block[..size]).await.unwrap();
            left -= size as u64;
        }
    });
    let mut buffer = vec![0; 256 << 10];
    while reader.read(&mut buffer).await.unwrap() > 0 {}
    writing.await.unwrap();
    bytes as f64 / start.elapsed().as_secs_f64()
}
