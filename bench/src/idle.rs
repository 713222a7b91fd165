//! Streams on which nothing happens.

use std::path::Path;

use crate::server::Server;

const STREAMS: usize = 5000;

pub(crate) async fn run(binary: &Path) {
    let server = Server::start(binary).await;
    let mut sockets = Vec::new();
    // The first ones pay for what all share.
    for _ in 0..100 {
        sockets.push(server.stream("").await);
    }
    let before = server.memory();
    for _ in 0..STREAMS {
        sockets.push(server.stream("").await);
    }
    let bytes = (server.memory() - before) as f64 / STREAMS as f64;
    let cpu = server.cpu();
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
    let keep_alives = (sockets.len() * 2) as f64;
    println!(
        "idle      {STREAMS} streams   {:.1} KiB each   {:.1} µs CPU a keep-alive",
        bytes / 1024.0,
        (server.cpu() - cpu) / keep_alives * 1e6
    );
}
