//! Durable commits.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::server::Server;

const TIME: Duration = Duration::from_secs(8);

pub(crate) async fn run(binary: &Path) {
    let raw = raw_fsyncs();
    let server = Arc::new(Server::start(binary).await);
    let agent = server.agent().await;
    for clients in [1, 16, 128] {
        let mut grants = Vec::new();
        for _ in 0..clients {
            let grant = server.grant(&agent).await;
            server.post("/v1/budget/allocate", &json!({"grantId": grant, "initialBudget": 1_000_000})).await;
            grants.push(grant);
        }
        let (start, cpu) = (Instant::now(), server.cpu());
        let tasks: Vec<_> = grants
            .into_iter()
            .map(|grant| {
                let server = Arc::clone(&server);
                tokio::spawn(async move {
                    let mut done = 0_u64;
                    while start.elapsed() < TIME {
                        server.post("/v1/budget/debit", &json!({"grantId": grant, "amount": "0.0001"})).await;
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        let mut done = 0;
        for task in tasks {
            done += task.await.unwrap();
        }
        let rate = done as f64 / start.elapsed().as_secs_f64();
        println!(
            "commits   {clients:>4} clients   {rate:>8.0} durable debits/s   {:.2} × raw write+fsync ({raw:.0}/s)   {:.0} µs CPU each",
            rate / raw,
            (server.cpu() - cpu) / done as f64 * 1e6
        );
    }
}

/// One writer that appends 512 bytes and waits for the disk, again and again.
fn raw_fsyncs() -> f64 {
    let mut file = tempfile::tempfile().unwrap();
    let start = Instant::now();
    let mut done = 0_u64;
    while start.elapsed() < Duration::from_secs(2) {
        file.write_all(&[7; 512]).unwrap();
        file.sync_data().unwrap();
        done += 1;
    }
    done as f64 / start.elapsed().as_secs_f64()
}
