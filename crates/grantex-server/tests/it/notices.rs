//! Commits that the service gets no notice of: its memory learns of them a little later.

use std::sync::Arc;
use std::time::Duration;

use grantex_core::log::Subject;
use grantex_core::model::Actor;
use grantex_core::store::{self, Needs, Scope, Tx};
use grantex_core::usecase::operators;
use grantex_server::SystemRng;
use grantex_store::sqlite::{Environment, SqliteStore};
use grantex_types::event::{EventData, RevokedBy};
use grantex_types::{AgentId, DeveloperId, GrantId, KeyId, TokenId};
use serde_json::json;

use crate::support::{Client, Service, until};

/// Commits as another process on the same database would.
async fn elsewhere<T: Send + 'static>(
    service: &Service,
    work: impl FnMut(&mut dyn Tx) -> grantex_core::Result<T> + Send + 'static,
) -> T {
    let environment = Environment {
        clock: Arc::clone(&service.clock) as _,
        rng: Arc::new(SystemRng),
        listener: Arc::new(()),
    };
    let other = SqliteStore::open(service.folder(), &environment).unwrap();
    store::write(&other, Scope::Global, Needs::NONE, "elsewhere", work).await.unwrap()
}

async fn service() -> Service {
    Service::with(|settings| settings.memory_period = Duration::from_millis(20)).await
}

async fn me(client: &Client) -> DeveloperId {
    client.get("/v1/me").await.ok(200)["developerId"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_stream_gets_events_that_no_notice_brought() {
    let service = service().await;
    let client = service.sandbox().await;
    let developer = me(&client).await;
    let mut stream = client.stream("").await;
    for number in 1..=3 {
        elsewhere(&service, move |tx| {
            let grant_id = GrantId::from_parts(number, 0);
            let agent_id = AgentId::from_parts(1, 1);
            let subject = Subject { grant_id, agent_id, principal_id: "user".into() };
            let data = EventData::GrantRevoked { grant_id, revoked_by: RevokedBy::System };
            Ok(tx.append(developer, &subject, data)?)
        })
        .await;
        let event = stream.event().await.unwrap();
        assert_eq!(event["data"]["grantId"], GrantId::from_parts(number, 0).to_string());
    }
}

#[tokio::test]
async fn a_revoked_token_is_found_out() {
    let service = service().await;
    let client = service.sandbox().await;
    let (developer, agent) = (me(&client).await, client.agent().await);
    let token = client.token(&agent).await;
    let body = json!({"token": token.jwt});
    let is_valid = async || client.post("/v1/tokens/verify", &body).await.ok(200)["valid"] == true;
    assert!(is_valid().await);
    let id: TokenId = token.claims()["jti"].as_str().unwrap().parse().unwrap();
    elsewhere(&service, move |tx| {
        let now = tx.now();
        Ok(tx.revoke_token(developer, id, now)?)
    })
    .await;
    until("the token is not valid any more", async || !is_valid().await).await;
}

#[tokio::test]
async fn a_revoked_key_and_its_streams_are_found_out() {
    let service = service().await;
    let client = service.sandbox().await;
    let developer = me(&client).await;
    let stream = client.stream("").await;
    let keys = client.get("/v1/keys").await.ok(200);
    let id: KeyId = keys["keys"][0]["keyId"].as_str().unwrap().parse().unwrap();
    elsewhere(&service, move |tx| {
        let (now, key) = (tx.now(), tx.key(developer, id)?.unwrap());
        Ok(tx.revoke_key(&key, now)?)
    })
    .await;
    stream.ended().await;
    until("the key is refused", async || client.get("/v1/me").await.status == 401).await;
}

#[tokio::test]
async fn a_suspension_is_found_out() {
    let service = service().await;
    let client = service.sandbox().await;
    let developer = me(&client).await;
    let stream = client.stream("").await;
    elsewhere(&service, move |tx| operators::suspend(tx, developer, Actor::SYSTEM, None)).await;
    stream.ended().await;
    until("the key is refused", async || client.get("/v1/me").await.status != 200).await;
}
