//! A log for the tests of streams, and subscribers to it.

use std::sync::Arc;
use std::time::Duration;

use grantex_core::env::{Clock, Rng as _};
use grantex_core::log::{Position, StoredEvent, Subject};
use grantex_core::store::{Change, Listener, Needs, Store, write};
use grantex_core::usecase::events::Cursor;
use grantex_store::sqlite::{Environment, SqliteStore};
use grantex_types::event::{EventData, RevokedBy};
use grantex_types::{AgentId, DeveloperId, EventId, GrantId, KeyId};

use super::hub::Hub;
use super::registration::Registration;
use super::subscriber::Subscriber;
use super::transport::Transport;
use crate::clock::SystemClock;
use crate::crypto::SystemRng;
use crate::settings::StreamSettings;
use grantex_core::usecase::filter::EventFilter;

/// A keep-alive time that no test reaches.
pub(super) const LONG: Duration = Duration::from_secs(4);

/// A developer's log with events of one type.
pub(super) struct Log {
    _folder: tempfile::TempDir,
    pub(super) hub: Arc<Hub>,
    clock: Arc<dyn Clock>,
    store: Arc<dyn Store>,
    pub(super) developer: DeveloperId,
}

/// Publishes what a store commits.
struct Publisher(Arc<Hub>);

impl Listener for Publisher {
    fn changed(&self, _: &[Change]) {}

    fn appended(&self, heads: &[(DeveloperId, Position)], events: &[(DeveloperId, StoredEvent)]) {
        self.0.publish(heads, events);
    }
}

impl Log {
    /// A log with so many events, trimmed up to a position.
    pub(super) async fn with(count: usize, trimmed: Position) -> Self {
        let hub = Arc::new(Hub::new(&StreamSettings::default()));
        let log = Self::new(Arc::new(Publisher(Arc::clone(&hub))), hub);
        log.append(count).await;
        let developer = log.developer;
        write(log.store.as_ref(), developer, Needs::NONE, "trim", move |tx| {
            Ok(tx.trim(developer, trimmed, u32::MAX)?)
        })
        .await
        .unwrap();
        log
    }

    /// An empty log whose commits are not published.
    pub(super) fn without_notices() -> Self {
        Self::new(Arc::new(()), Arc::new(Hub::new(&StreamSettings::default())))
    }

    fn new(listener: Arc<dyn Listener>, hub: Arc<Hub>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let environment =
            Environment { clock: Arc::clone(&clock), rng: Arc::new(SystemRng), listener };
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(folder.path(), &environment).unwrap());
        let developer = DeveloperId::from_parts(1, SystemRng.bits());
        Self { _folder: folder, hub, clock, store, developer }
    }

    pub(super) async fn append(&self, count: usize) -> Vec<StoredEvent> {
        let developer = self.developer;
        write(self.store.as_ref(), developer, Needs::NONE, "append", move |tx| {
            let grant_id = GrantId::from_parts(1, 1);
            let subject =
                Subject { grant_id, agent_id: AgentId::from_parts(1, 1), principal_id: "u".into() };
            let data = EventData::GrantRevoked { grant_id, revoked_by: RevokedBy::System };
            (0..count).map(|_| Ok(tx.append(developer, &subject, data.clone())?)).collect()
        })
        .await
        .unwrap()
    }

    pub(super) fn subscriber(
        &self,
        types: &str,
        position: Position,
        keep_alive: Duration,
    ) -> Subscriber {
        let transport = Transport::Sse { is_chunked: true };
        let key_id = KeyId::from_parts(1, 1);
        let registration =
            Registration::open(&self.hub, self.developer, key_id, None, transport, None);
        let filter = EventFilter::parse(types.parse().unwrap(), None, None, None).unwrap();
        let cursor = Cursor { position, id: EventId::ZERO };
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        Subscriber::new(registration.ok().unwrap(), store, clock, filter, cursor, keep_alive)
    }
}
