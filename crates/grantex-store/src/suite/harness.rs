//! What the suite needs: a database to open, a clock to turn, a listener to look at.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use grantex_core::env::{Clock, Rng};
use grantex_core::log::{Position, StoredEvent, Subject};
use grantex_core::model::{Actor, Agent, Caller, Developer, Grant};
use grantex_core::store::{self, Change, Listener, QueryKind, Read, Scope, Store, Tx};
use grantex_core::usecase::developers::{NewSecret, sign_up};
use grantex_core::usecase::quotas::Quotas;
use grantex_core::{Result, StoreError};
use grantex_types::api::agents::CreateAgentRequest;
use grantex_types::api::developers::{Mode, SignupRequest};
use grantex_types::event::{EventData, RevokedBy};
use grantex_types::{AgentId, DeveloperId, GrantId, Lifetime, Scopes, Timestamp};
use parking_lot::Mutex;

use super::watched::{Calls, Watched};

/// A clock that stands still unless it is turned, also backwards.
pub struct StillClock(pub AtomicU64);

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Counts, scrambled: no two alike, and the same in every run.
pub struct CountingRng(AtomicU64);

impl Rng for CountingRng {
    fn bits(&self) -> u128 {
        let n = u128::from(self.0.fetch_add(1, Ordering::SeqCst));
        (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
    }
}

/// Records every notice, in order.
#[derive(Default)]
pub struct Recorder {
    pub changes: Mutex<Vec<Change>>,
    pub events: Mutex<Vec<(DeveloperId, StoredEvent)>>,
    pub heads: Mutex<Vec<(DeveloperId, Position)>>,
    /// The steps of all commits, and whatever a case puts between them.
    pub steps: Mutex<Vec<Step>>,
    /// From here on the listener panics at the end of each commit.
    pub is_broken: AtomicBool,
}

/// A step from a commit to those who wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Memories dropped what changed.
    Changed,
    /// A command was finished.
    Finished,
    /// Events were delivered.
    Appended,
}

impl Listener for Recorder {
    fn changed(&self, changes: &[Change]) {
        self.steps.lock().push(Step::Changed);
        self.changes.lock().extend_from_slice(changes);
    }

    fn appended(&self, heads: &[(DeveloperId, Position)], events: &[(DeveloperId, StoredEvent)]) {
        self.steps.lock().push(Step::Appended);
        self.heads.lock().extend_from_slice(heads);
        self.events.lock().extend_from_slice(events);
        assert!(!self.is_broken.load(Ordering::SeqCst), "the case breaks the listener");
    }
}

/// A database under test.
pub trait Database: Send + Sync {
    /// Opens the store on it; it may have been open before.
    fn open(&self, environment: &Surroundings) -> Arc<dyn Store>;
    /// Makes every commit fail until what is returned is dropped.
    fn break_writes(&self) -> Box<dyn Any>;
}

/// What a store gets from the suite.
pub struct Surroundings {
    /// A clock that the case turns.
    pub clock: Arc<StillClock>,
    /// The same bits in every run.
    pub rng: Arc<CountingRng>,
    /// What the case looks at afterwards.
    pub listener: Arc<Recorder>,
}

/// A promise of the store: its name, and what checks it on an empty database.
pub type Case = (&'static str, fn(Harness));

/// A store under test.
pub struct Harness {
    pub database: Box<dyn Database>,
    surroundings: Surroundings,
    calls: Arc<Calls>,
    pub clock: Arc<StillClock>,
    pub recorded: Arc<Recorder>,
    pub store: Arc<dyn Store>,
    runtime: tokio::runtime::Runtime,
}

/// When every case begins.
pub const START: u64 = 1_772_366_400_000;

impl Harness {
    /// Opens the database.
    pub fn new(database: Box<dyn Database>) -> Self {
        Self::watched(database, Arc::default())
    }

    pub(super) fn watched(database: Box<dyn Database>, calls: Arc<Calls>) -> Self {
        let surroundings = Surroundings {
            clock: Arc::new(StillClock(AtomicU64::new(START))),
            rng: Arc::new(CountingRng(AtomicU64::new(0))),
            listener: Arc::default(),
        };
        let (clock, recorded) =
            (Arc::clone(&surroundings.clock), Arc::clone(&surroundings.listener));
        let store = open(database.as_ref(), &surroundings, &calls);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        Self { database, surroundings, calls, clock, recorded, store, runtime }
    }

    /// Closes the store and opens it again.
    #[must_use]
    pub fn reopen(mut self) -> Self {
        self.store = Arc::new(Closed);
        self.store = open(self.database.as_ref(), &self.surroundings, &self.calls);
        self
    }

    pub fn turn_clock(&self, millis: i64) {
        self.clock.0.fetch_add(millis.cast_unsigned(), Ordering::SeqCst);
    }

    pub fn block<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime.spawn(work)
    }

    pub fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut dyn Tx) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.block(store::write(
            self.store.as_ref(),
            Scope::Global,
            store::Needs::NONE,
            "test",
            work,
        ))
    }

    pub fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Read) -> Result<T> + Send + 'static,
    ) -> T {
        self.block(store::read(self.store.as_ref(), Scope::Global, QueryKind::Point, work)).unwrap()
    }

    pub fn developer(&self) -> (Developer, Caller) {
        self.write(|tx| {
            let request =
                SignupRequest { name: "Test".into(), email: None, mode: Some(Mode::Sandbox) };
            let random = tx.random();
            let mut hash = [0; 32];
            hash[..16].copy_from_slice(&random.to_le_bytes());
            let (developer, key) = sign_up(
                tx,
                &request,
                NewSecret { hash, prefix: "gx_test_".into() },
                Actor::SYSTEM,
            )?;
            let caller = Caller {
                developer_id: developer.developer_id,
                key_id: key.id,
                mode: developer.mode,
            };
            Ok((developer, caller))
        })
        .unwrap()
    }

    pub fn agent(&self, caller: Caller) -> Agent {
        self.write(move |tx| {
            let request =
                CreateAgentRequest { name: "Agent".into(), description: None, scopes: None };
            grantex_core::usecase::agents::create(tx, &caller, request, &Quotas::OFF)
        })
        .unwrap()
    }

    pub fn append(&self, developer: DeveloperId, count: usize) -> Vec<StoredEvent> {
        self.write(move |tx| (0..count).map(|n| append(tx, developer, n as u64)).collect()).unwrap()
    }
}

fn open(
    database: &dyn Database,
    surroundings: &Surroundings,
    calls: &Arc<Calls>,
) -> Arc<dyn Store> {
    Arc::new(Watched { store: database.open(surroundings), calls: Arc::clone(calls) })
}

pub fn append(tx: &mut dyn Tx, developer: DeveloperId, n: u64) -> Result<StoredEvent> {
    let grant_id = GrantId::from_parts(n, 0);
    let subject =
        Subject { grant_id, agent_id: AgentId::from_parts(1, 1), principal_id: "user".into() };
    Ok(tx.append(
        developer,
        &subject,
        EventData::GrantRevoked { grant_id, revoked_by: RevokedBy::System },
    )?)
}

/// A grant that was never asked for: rows are all that the suite needs. It lasts an hour.
pub fn grant(
    tx: &mut dyn Tx,
    developer: DeveloperId,
    agent: AgentId,
    parent: Option<&Grant>,
) -> Result<Grant> {
    grant_for(tx, developer, agent, parent, 3600)
}

/// A grant that lasts so many seconds.
pub fn grant_for(
    tx: &mut dyn Tx,
    developer: DeveloperId,
    agent: AgentId,
    parent: Option<&Grant>,
    seconds: u32,
) -> Result<Grant> {
    let now = tx.now();
    let grant = Grant {
        id: GrantId::from_parts(now.millis(), tx.random()),
        developer_id: developer,
        agent_id: agent,
        principal_id: "user".into(),
        scopes: Scopes::new(vec!["a".into()]).unwrap(),
        audience: None,
        issued_at: now,
        expires_at: now.plus(Lifetime::from_seconds(seconds)),
        revoked_at: None,
        lapsed: false,
        parent_id: parent.map(|parent| parent.id),
        depth: parent.map_or(0, |parent| parent.depth + 1),
    };
    tx.insert_grant(&grant)?;
    Ok(grant)
}

struct Closed;

impl Store for Closed {
    fn submit(&self, _: Scope, _: store::Needs, command: Box<dyn store::Command>) {
        command.finish(Err(StoreError::Unavailable("closed".into())));
    }
    fn query(&self, _: Scope, _: QueryKind, query: store::Query) {
        query(Err(StoreError::Unavailable("closed".into())));
    }
    fn health(&self) -> store::Health {
        store::Health {
            write_error: None,
            stalled_for: std::time::Duration::ZERO,
            clock_behind_millis: 0,
            queued: 0,
            wal_bytes: 0,
            damaged_events: 0,
        }
    }
}
