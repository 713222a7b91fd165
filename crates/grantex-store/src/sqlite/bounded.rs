//! The cost of a use case does not grow with ended rows. It is measured in steps of SQLite's
//! virtual machine, which do not depend on the load of the computer.
#![allow(clippy::arithmetic_side_effects)]

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use grantex_core::Result;
use grantex_core::env::Rng;
use grantex_core::model::{Actor, ApiKey, Caller, Grant};
use grantex_core::store::{GrantFilter, Page, Tx};
use grantex_core::usecase::developers::NewSecret;
use grantex_core::usecase::quotas::Quotas;
use grantex_core::usecase::{agents, cascade, developers, grants, maintenance};
use grantex_types::api::agents::CreateAgentRequest;
use grantex_types::api::developers::{Mode, SignupRequest};
use grantex_types::api::grants::GrantStatus;
use grantex_types::event::RevokedBy;
use grantex_types::{AgentId, GrantId, KeyId, Lifetime, Scopes, Timestamp};
use rusqlite::{Connection, Statement, StatementStatus};

use super::damages::Damages;
use super::unit_of_work::{Effects, UnitOfWork, Writing};
use super::{open, schema};

thread_local! {
    static STEPS: Cell<u64> = const { Cell::new(0) };
}

/// Adds the steps that a statement took.
pub(super) fn count(statement: &Statement<'_>) {
    let steps = statement.reset_status(StatementStatus::VmStep);
    STEPS.set(STEPS.get() + u64::try_from(steps).unwrap());
}

/// No two alike.
struct Counting(AtomicU64);

impl Rng for Counting {
    fn bits(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::SeqCst))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
    }
}

/// A database with one developer who has a few things in force and many that ended.
struct World {
    _folder: tempfile::TempDir,
    connection: Connection,
    rng: Counting,
    now: Timestamp,
}

const LIVE: u32 = 50;

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(super::open::FILE_NAME);
        let mut connection = open::writer(&path).unwrap();
        schema::migrate(&mut connection, &path).unwrap();
        let now = Timestamp::from_millis(1_772_366_400_000);
        Self { _folder: folder, connection, rng: Counting(AtomicU64::new(1)), now }
    }

    /// Runs work as one transaction. Returns what it did and how many steps that took.
    fn run<T>(&self, work: impl FnOnce(&mut dyn Tx) -> Result<T>) -> (T, u64) {
        let mut effects = Effects::default();
        self.connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let writing = Some(Writing { rng: &self.rng, effects: &mut effects });
        let damages = Damages::default();
        let mut unit =
            UnitOfWork { connection: &self.connection, now: self.now, damages: &damages, writing };
        STEPS.set(0);
        let done = work(&mut unit).unwrap();
        let steps = STEPS.get();
        self.connection.execute_batch("COMMIT").unwrap();
        (done, steps)
    }
}

fn secret(tx: &dyn Tx) -> NewSecret {
    let mut hash = [0; 32];
    hash[..16].copy_from_slice(&tx.random().to_le_bytes());
    NewSecret { hash, prefix: "gx_test_".into() }
}

fn agent(tx: &mut dyn Tx, caller: &Caller) -> Result<AgentId> {
    let request = CreateAgentRequest { name: "Agent".into(), description: None, scopes: None };
    Ok(agents::create(tx, caller, request, &Quotas::OFF)?.agent_id)
}

fn grant(
    tx: &mut dyn Tx,
    caller: &Caller,
    agent: AgentId,
    parent: Option<&Grant>,
    seconds: u32,
) -> Result<Grant> {
    let now = tx.now();
    let grant = Grant {
        id: GrantId::from_parts(now.millis(), tx.random()),
        developer_id: caller.developer_id,
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

/// What each use case takes in a world where so many things of each kind ended.
fn steps(ended: u32) -> Vec<(&'static str, u64)> {
    let mut world = World::new();
    let (caller, _) = world.run(|tx| {
        let request = SignupRequest { name: "Test".into(), email: None, mode: Some(Mode::Sandbox) };
        let secret = secret(tx);
        let (developer, key) = developers::sign_up(tx, &request, secret, Actor::SYSTEM)?;
        let caller =
            Caller { developer_id: developer.developer_id, key_id: key.id, mode: developer.mode };
        for _ in 0..ended {
            let NewSecret { hash, prefix } = self::secret(tx);
            let id = KeyId::from_parts(tx.now().millis(), tx.random());
            let gone = ApiKey { id, hash, prefix, ..key.clone() };
            tx.insert_key(&gone)?;
            tx.revoke_key(&gone, tx.now())?;
        }
        Ok(caller)
    });
    let ((small, large, busy), _) = world.run(|tx| {
        let (busy, helper) = (agent(tx, &caller)?, agent(tx, &caller)?);
        let small = grant(tx, &caller, helper, None, 3600)?;
        let large = grant(tx, &caller, helper, None, 3600)?;
        for _ in 0..LIVE {
            grant(tx, &caller, helper, Some(&small), 3600)?;
            grant(tx, &caller, busy, None, 3600)?;
        }
        for _ in 0..=cascade::LARGEST_AT_ONCE {
            grant(tx, &caller, helper, Some(&large), 3600)?;
        }
        // The ended rows are the newest: a list from there passes all of them.
        for _ in 0..ended {
            for parent in [&small, &large] {
                grant(tx, &caller, busy, Some(parent), 1)?;
                let revoked = grant(tx, &caller, busy, Some(parent), 3600)?;
                tx.revoke_grant(caller.developer_id, revoked.id, tx.now())?;
            }
        }
        Ok((small.id, large.id, busy))
    });
    world.now = world.now.plus(Lifetime::from_seconds(1));

    let id = caller.developer_id;
    let mut all = Vec::new();
    let mut note = |what, steps| all.push((what, steps));
    note(
        "create a key",
        world
            .run(|tx| {
                let secret = secret(tx);
                developers::create_key(tx, &caller, "another", secret, &Quotas::default())
            })
            .1,
    );
    note(
        "delegate",
        world
            .run(|tx| {
                let parent = grants::get(tx, id, small)?;
                grant(tx, &caller, parent.agent_id, Some(&parent), 3600)
            })
            .1,
    );
    note("revoke a grant", world.run(|tx| grants::revoke(tx, id, small, RevokedBy::Developer)).1);
    note(
        "revoke a grant with many below",
        world.run(|tx| grants::revoke(tx, id, large, RevokedBy::Developer)).1,
    );
    note("look at a grant meanwhile", world.run(|tx| grants::get(tx, id, small)).1);
    note("a slice of it", world.run(|tx| cascade::advance(tx, None, &|| true)).1);
    while world.run(|tx| cascade::advance(tx, None, &|| true)).0.is_some() {}
    note("delete an agent", world.run(|tx| agents::delete(tx, &caller, busy)).1);
    note("put expired ones aside", world.run(|tx| maintenance::tend_grants(tx, id, None, LIVE)).1);
    while world.run(|tx| maintenance::tend_grants(tx, id, None, 1000)).0 > 0 {}
    world.run(|tx| {
        let agent = agent(tx, &caller)?;
        grant(tx, &caller, agent, None, 3600)
    });
    let active = GrantFilter { status: Some(GrantStatus::Active), ..GrantFilter::default() };
    let page = Page { after: None, offset: 0, limit: 100 };
    let (listed, steps) = world.run(|tx| grants::list(tx, id, &active, page));
    assert_eq!(listed.rows.len(), 1);
    note("list those in force", steps);
    let by_agent = GrantFilter { agent_id: Some(busy), ..active };
    note("list an agent's in force", world.run(|tx| grants::list(tx, id, &by_agent, page)).1);
    note(
        "ask whether a principal has one",
        world.run(|tx| grants::principal_has_active_grant(tx, id, "user")).1,
    );
    world.now = world.now.plus(Lifetime::from_seconds(24 * 3600));
    let day = Some(Lifetime::from_seconds(3600));
    while world.run(|tx| maintenance::tend_grants(tx, id, None, 1000)).0 > 0 {}
    note("purge", world.run(|tx| maintenance::purge(tx, day, LIVE)).1);
    note("purge history", world.run(|tx| maintenance::tend_grants(tx, id, day, LIVE)).1);
    all
}

#[test]
fn costs_do_not_grow_with_what_has_ended() {
    let (few, many) = (steps(100), steps(1500));
    for ((what, few), (_, many)) in few.into_iter().zip(many) {
        println!("{what}: {few} steps among few that ended, {many} among many");
        assert!(
            many <= few + few / 20 + 20,
            "{what}: {few} steps among few that ended, {many} among many"
        );
    }
}
