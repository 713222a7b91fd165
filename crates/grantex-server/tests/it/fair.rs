use std::sync::Arc;

use grantex_core::log::Subject;
use grantex_core::model::Grant;
use grantex_core::store::{self, MOST_LOOKED_AT, Tx};
use grantex_server::SystemRng;
use grantex_store::DataDir;
use grantex_store::sqlite::{Environment, SqliteStore};
use grantex_types::event::{EventData, RevokedBy};
use grantex_types::{AgentId, DeveloperId, GrantId, Lifetime, Scopes};

use crate::support::Service;

/// Writes straight into a service's store, while it is stopped.
async fn fill(
    service: &mut Service,
    work: impl FnOnce(&mut dyn Tx) -> grantex_core::Result<()> + Send + 'static,
) {
    service.stop().await;
    let folder = loop {
        match DataDir::lock(service.folder()) {
            Ok(folder) => break folder,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let environment = Environment {
        clock: Arc::clone(&service.clock) as _,
        rng: Arc::new(SystemRng),
        listener: Arc::new(()),
    };
    let store = SqliteStore::open(folder.path(), &environment).unwrap();
    let mut work = Some(work);
    let work = move |tx: &mut dyn Tx| work.take().unwrap()(tx);
    store::write(&store, store::Scope::Global, store::Needs::NONE, "fill", work).await.unwrap();
    drop(store);
    drop(folder);
    service.resume().await;
}

/// However many rows a filter hides: a call looks at a bounded number of them, and says where it
/// stopped.
#[tokio::test]
async fn a_list_goes_on_where_its_filter_hid_too_many() {
    let mut service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let revoked = client.token(&agent).await.grant;
    client.delete(&format!("/v1/grants/{revoked}")).await.ok(204);
    service.clock.advance(1);
    let me = client.get("/v1/me").await.ok(200);
    let developer_id: DeveloperId = me["developerId"].as_str().unwrap().parse().unwrap();
    let agent_id: AgentId = agent.parse().unwrap();
    fill(&mut service, move |tx| {
        let now = tx.now();
        for _ in 0..=MOST_LOOKED_AT {
            tx.insert_grant(&Grant {
                id: GrantId::from_parts(now.millis(), tx.random()),
                developer_id,
                agent_id,
                principal_id: "user".into(),
                scopes: Scopes::new(vec!["a".into()]).unwrap(),
                audience: None,
                issued_at: now,
                expires_at: now.plus(Lifetime::from_seconds(3600)),
                revoked_at: None,
                lapsed: false,
                parent_id: None,
                depth: 0,
            })?;
        }
        Ok(())
    })
    .await;
    let first = client.get("/v1/grants?status=revoked").await.ok(200);
    assert_eq!(first["grants"].as_array().unwrap().len(), 0);
    let cursor = first["nextCursor"].as_str().expect("it says where it stopped");
    let second = client.get(&format!("/v1/grants?status=revoked&after={cursor}")).await.ok(200);
    assert_eq!(second["grants"][0]["grantId"], revoked.as_str());
    assert!(second["nextCursor"].is_null());
}

/// The same for the history, whichever way it is read.
#[tokio::test]
async fn a_page_of_the_history_looks_at_a_bounded_number_of_events_both_ways() {
    let mut service = Service::start().await;
    let client = service.sandbox().await;
    let me = client.get("/v1/me").await.ok(200);
    let developer_id: DeveloperId = me["developerId"].as_str().unwrap().parse().unwrap();
    let count = u64::from(MOST_LOOKED_AT) + 1000;
    fill(&mut service, move |tx| {
        for n in 1..=count {
            // Only the oldest and the newest are of interest.
            let of_interest = n == 1 || n == count;
            let grant_id = GrantId::from_parts(u64::from(of_interest), 0);
            let subject = Subject {
                grant_id,
                agent_id: AgentId::from_parts(1, 1),
                principal_id: "user".into(),
            };
            let data = EventData::GrantRevoked { grant_id, revoked_by: RevokedBy::System };
            tx.append(developer_id, &subject, data)?;
        }
        Ok(())
    })
    .await;
    let wanted = GrantId::from_parts(1, 0);
    for (order, cursor, ends) in [("asc", "after", [1, count]), ("desc", "before", [count, 1])] {
        let (mut place, mut found, mut pages) = (String::new(), Vec::new(), 0);
        loop {
            let path = format!("/v1/events?limit=1000&order={order}&grantId={wanted}{place}");
            let page = client.get(&path).await.ok(200);
            found.extend(
                page["positions"].as_array().unwrap().iter().map(|at| at.as_u64().unwrap()),
            );
            pages += 1;
            let Some(next) = page["nextCursor"].as_str() else { break };
            place = format!("&{cursor}={next}");
        }
        assert_eq!((found, pages), (ends.to_vec(), 2), "{order}");
    }
}
