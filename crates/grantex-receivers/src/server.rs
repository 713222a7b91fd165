use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::fault::{Faults, inject};

/// Bytes of a request that are read at all, far above every limit that is tested.
const MOST_BODY_BYTES: usize = 64 << 20;

/// What a receiver has accepted: the events' ids, in order. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    ids: Arc<Mutex<Vec<String>>>,
}

impl Kept {
    /// The ids, in the order of arrival.
    pub fn ids(&self) -> Vec<String> {
        self.ids.lock().clone()
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.ids.lock().len()
    }

    pub(crate) fn add(&self, ids: impl IntoIterator<Item = String>) {
        self.ids.lock().extend(ids);
    }
}

/// A receiver that listens on loopback. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves `router` behind `faults` on a free port, or on this one.
    pub async fn start(router: Router, faults: Faults, port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let router = router
            .layer(axum::middleware::from_fn_with_state(faults, inject))
            .layer(DefaultBodyLimit::max(MOST_BODY_BYTES));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("a receiver ended: {error}");
            }
        });
        Ok(Self { address, task })
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The id in an event's JSON, in any of the formats.
pub(crate) fn event_id(event: &serde_json::Value) -> Option<String> {
    let id = event.get("id").or_else(|| event.pointer("/metadata/uid"))?;
    Some(id.as_str()?.to_owned())
}
