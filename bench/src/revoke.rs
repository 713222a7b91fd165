//! The largest cascade that one transaction takes, larger ones in slices, and how long others wait
//! for either.

use std::time::{Duration, Instant};

use grantex_core::model::Grant;
use grantex_core::store::{self, QueryKind, Scope, Tx};
use grantex_core::usecase::{cascade, grants, maintenance};
use grantex_types::api::developers::{Developer, Mode};
use grantex_types::event::RevokedBy;
use grantex_types::{AgentId, DeveloperId, GrantId, Lifetime, Scopes};

use crate::Scale;
use crate::filled::store as open;
use crate::report::Report;

/// As the service's job has it.
const SLICE_TIME: Duration = Duration::from_millis(5);

pub(crate) async fn run(scale: Scale, report: &mut Report) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let most = cascade::LARGEST_AT_ONCE;
    for (below, dead) in scale.pick(
        [(most, 0), (most, 100_000), (10_000, 0), (10_000, 100_000), (50_000, 0)],
        [(most, 0), (most + 1, 2000)],
    ) {
        let (developer, root) =
            store::write(store.as_ref(), Scope::Global, store::Needs::NONE, "fill", move |tx| {
                developer_with_tree(tx, below, dead)
            })
            .await
            .unwrap();
        // As maintenance does within a minute.
        while store::write(store.as_ref(), developer, store::Needs::NONE, "lapse", move |tx| {
            maintenance::tend_grants(tx, developer, None, 1000)
        })
        .await
        .unwrap()
            > 0
        {}
        // The commit after the filling copies all of it into the database.
        store::write(store.as_ref(), Scope::Global, store::Needs::NONE, "settle", |tx| {
            developer_with_tree(tx, 0, 0)
        })
        .await
        .unwrap();
        let start = Instant::now();
        store::write(store.as_ref(), developer, store::Needs::NONE, "revoke", move |tx| {
            grants::revoke(tx, developer, root, RevokedBy::Developer)
        })
        .await
        .unwrap();
        let first = start.elapsed();
        let mut slices = 0;
        let mut longest = first;
        loop {
            let asked = Instant::now();
            let slice =
                store::write(store.as_ref(), developer, store::Needs::NONE, "advance", |tx| {
                    let started = Instant::now();
                    cascade::advance(tx, None, &|| started.elapsed() < SLICE_TIME)
                });
            if slice.await.unwrap().is_none() {
                break;
            }
            longest = longest.max(asked.elapsed());
            slices += 1;
        }
        let log = store::read(store.as_ref(), developer, QueryKind::Point, move |snapshot| {
            Ok(snapshot.log_bounds(developer)?)
        })
        .await;
        assert_eq!(log.unwrap().head, u64::from(below) + 1, "an event for each grant");
        let name =
            format!("revoke, {below} grants below beside {dead} that ended, {slices} slices");
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        report.add(&name, "until inactive", "ms", milliseconds(first));
        report.add(&name, "until the last event", "ms", milliseconds(start.elapsed()));
        report.add(
            &name,
            "the longest stretch in which nothing else commits",
            "ms",
            milliseconds(longest),
        );
    }
}

/// A developer with a root, so many grants in force below it, and so many that have expired.
fn developer_with_tree(
    tx: &mut dyn Tx,
    below: u32,
    dead: u32,
) -> grantex_core::Result<(DeveloperId, GrantId)> {
    let now = tx.now();
    let developer_id = DeveloperId::from_parts(now.millis(), tx.random());
    tx.insert_developer(&Developer {
        developer_id,
        name: "Bench".into(),
        email: None,
        mode: Mode::Sandbox,
        created_at: now,
    })?;
    let root = tree(tx, developer_id, below)?;
    for _ in 0..dead {
        let mut below = grant(tx, developer_id);
        below.expires_at = now;
        below.parent_id = Some(root);
        below.depth = 1;
        tx.insert_grant(&below)?;
    }
    Ok((developer_id, root))
}

/// A grant with so many below it.
pub(crate) fn tree(
    tx: &mut dyn Tx,
    developer: DeveloperId,
    below: u32,
) -> grantex_core::Result<GrantId> {
    let mut grant = grant(tx, developer);
    tx.insert_grant(&grant)?;
    let root = grant.id;
    grant.parent_id = Some(root);
    grant.depth = 1;
    for _ in 0..below {
        grant.id = GrantId::from_parts(tx.now().millis(), tx.random());
        tx.insert_grant(&grant)?;
    }
    Ok(root)
}

/// A grant in force, without a request.
pub(crate) fn grant(tx: &dyn Tx, developer_id: DeveloperId) -> Grant {
    let now = tx.now();
    Grant {
        id: GrantId::from_parts(now.millis(), tx.random()),
        developer_id,
        agent_id: AgentId::from_parts(1, 1),
        principal_id: "user".into(),
        scopes: Scopes::new(vec!["a".into()]).unwrap(),
        audience: None,
        issued_at: now,
        expires_at: now.plus(Lifetime::from_seconds(3600)),
        revoked_at: None,
        lapsed: false,
        parent_id: None,
        depth: 0,
    }
}
