//! A service whose log was filled beforehand, for those who read.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use grantex_core::log::Subject;
use grantex_core::store::{self, Store};
use grantex_server::{SystemClock, SystemRng};
use grantex_store::sqlite::{Environment, SqliteStore};
use grantex_types::event::{EventData, RevokedBy};
use grantex_types::{AgentId, DeveloperId, GrantId};

use crate::server::Server;

const PER_COMMIT: u64 = 5000;

/// The store of a folder, without a service.
pub(crate) fn store(folder: &Path) -> Arc<dyn Store> {
    let environment = Environment {
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng),
        listener: Arc::new(()),
    };
    Arc::new(SqliteStore::open(folder, &environment).unwrap())
}

/// A service whose developer has so many events, and how many a second were appended.
pub(crate) async fn filled(binary: &Path, events: u64) -> (Server, f64) {
    let server = Server::start(binary).await;
    let developer = server.developer_of(&server.key).await;
    let key = server.key.clone();
    let folder = server.into_folder();
    let start = Instant::now();
    fill(folder.path(), developer, events).await;
    let appended = events as f64 / start.elapsed().as_secs_f64();

    let mut server = Server::on(binary, folder).await;
    server.key = key;
    (server, appended)
}

/// Stands there until standard input ends.
pub(crate) async fn stand(binary: &Path, events: u64) {
    let (server, _) = filled(binary, events).await;
    println!(
        "{}",
        serde_json::json!({"url": format!("http://{}", server.address), "apiKey": server.key})
    );
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
}

pub(crate) async fn fill(folder: &Path, developer: DeveloperId, events: u64) {
    let store = store(folder);
    for first in (0..events).step_by(usize::try_from(PER_COMMIT).unwrap()) {
        store::write(store.as_ref(), developer, store::Needs::NONE, "fill", move |tx| {
            for n in first..events.min(first + PER_COMMIT) {
                let grant_id = GrantId::from_parts(first, u128::from(n));
                let subject = Subject {
                    grant_id,
                    agent_id: AgentId::from_parts(1, 1),
                    principal_id: "user".into(),
                };
                let data = EventData::GrantRevoked { grant_id, revoked_by: RevokedBy::System };
                tx.append(developer, &subject, data)?;
            }
            Ok(())
        })
        .await
        .unwrap();
    }
}
