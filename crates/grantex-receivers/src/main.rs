//! The receivers as a process: one line of JSON with their addresses, then they run until standard
//! input ends. Each has a control server beside it (see [`grantex_receivers::control`]).

use std::io::Read as _;
use std::sync::Arc;

use grantex_receivers::{Datadog, Faults, InsertAll, Kept, Server, Splunk, Webhook, control};
use parking_lot::Mutex;

/// A receiver's name, routes, what it keeps and does wrong, and the credential that it accepts.
type Member = (&'static str, axum::Router, Kept, Faults, Arc<Mutex<String>>);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let datadog = Datadog::new("dd-key");
    let splunk = Splunk::new("hec-token", true);
    let without_ack = Splunk::new("hec-token", false);
    let webhook = Webhook::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let insert_all = InsertAll::default();
    let mut servers = Vec::new();
    let mut addresses = serde_json::Map::new();
    let members: [Member; 5] = [
        ("datadog", datadog.router(), datadog.kept, datadog.faults, datadog.api_key),
        ("splunk", splunk.router(), splunk.kept, splunk.faults, splunk.token),
        (
            "splunk_without_ack",
            without_ack.router(),
            without_ack.kept,
            without_ack.faults,
            without_ack.token,
        ),
        ("webhook", webhook.router(), webhook.kept, webhook.faults, webhook.secret),
        ("insert_all", insert_all.router(), insert_all.kept, insert_all.faults, Arc::default()),
    ];
    for (name, router, kept, faults, credential) in members {
        let server = Server::start(router, faults.clone(), 0).await?;
        let controls =
            Server::start(control(kept, faults, credential), Faults::default(), 0).await?;
        addresses.insert(
            name.into(),
            serde_json::json!({"url": server.url(), "control": controls.url()}),
        );
        servers.extend([server, controls]);
    }
    println!("{}", serde_json::Value::Object(addresses));
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}
