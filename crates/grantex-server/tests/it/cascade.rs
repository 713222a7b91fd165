use std::collections::HashSet;

use grantex_core::model::Grant;
use grantex_core::usecase::cascade::LARGEST_AT_ONCE;
use grantex_types::{AgentId, DeveloperId, GrantId, Lifetime, Scopes};
use serde_json::{Value, json};

use crate::support::{Client, Service, types, until};

#[tokio::test]
async fn a_cascade_tells_each_grant_once_parents_first() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let root = client.token(&agent).await;
    let (left, right) =
        (client.delegate(&root, &agent).await, client.delegate(&root, &agent).await);
    let below = client.delegate(&left, &agent).await;
    let deepest = client.delegate(&below, &agent).await;
    // One that is revoked already is not told again.
    client.delete(&format!("/v1/grants/{}", right.grant)).await.ok(204);
    let before = client.log().await.len();
    client.delete(&format!("/v1/grants/{}", root.grant)).await.ok(204);

    let events = client.log().await.split_off(before);
    let told: Vec<&Value> = events.iter().map(|event| &event["data"]).collect();
    assert_eq!(
        told,
        [
            &json!({"grantId": root.grant, "revokedBy": "developer"}),
            &json!({"grantId": left.grant, "revokedBy": "system"}),
            &json!({"grantId": below.grant, "revokedBy": "system"}),
            &json!({"grantId": deepest.grant, "revokedBy": "system"}),
        ]
    );
    for token in [&left, &below, &deepest] {
        let verdict = client.post("/v1/tokens/verify", &json!({"token": token.jwt})).await.ok(200);
        assert_eq!(verdict, json!({"valid": false}));
    }
}

#[tokio::test]
async fn revoking_in_the_middle_leaves_what_is_above() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let root = client.token(&agent).await;
    let middle = client.delegate(&root, &agent).await;
    let leaf = client.delegate(&middle, &agent).await;
    let before = client.log().await.len();
    client.delete(&format!("/v1/grants/{}", middle.grant)).await.ok(204);
    assert_eq!(types(&client.log().await[before..]), ["grant.revoked", "grant.revoked"]);
    let client = &client;
    let valid = |jwt: String| async move {
        client.post("/v1/tokens/verify", &json!({"token": jwt})).await.ok(200)["valid"].clone()
    };
    assert_eq!(valid(root.jwt).await, true);
    assert_eq!(valid(leaf.jwt).await, false);
}

/// So many grants right below one that the API made, as delegations would have made them.
async fn delegate_many(
    service: &mut Service,
    client: &Client,
    root: &str,
    agent: &str,
    count: u32,
) {
    let me = client.get("/v1/me").await.ok(200);
    let developer_id: DeveloperId = me["developerId"].as_str().unwrap().parse().unwrap();
    let (root, agent_id): (GrantId, AgentId) = (root.parse().unwrap(), agent.parse().unwrap());
    service
        .write_before(move |tx| {
            let now = tx.now();
            for _ in 0..count {
                tx.insert_grant(&Grant {
                    id: GrantId::from_parts(now.millis(), tx.random()),
                    developer_id,
                    agent_id,
                    principal_id: "user-1".into(),
                    scopes: Scopes::new(vec!["a:read".into()]).unwrap(),
                    audience: None,
                    issued_at: now,
                    expires_at: now.plus(Lifetime::from_seconds(3600)),
                    revoked_at: None,
                    lapsed: false,
                    parent_id: Some(root),
                    depth: 1,
                })?;
            }
            Ok(())
        })
        .await;
}

/// The grants that the log says were revoked, in order.
async fn told(client: &Client) -> Vec<String> {
    let log = client.log().await;
    let revoked = log.iter().filter(|event| event["type"] == "grant.revoked");
    revoked.map(|event| event["data"]["grantId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_thousand_below_go_with_the_answer() {
    let mut service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let root = client.token(&agent).await.grant;
    delegate_many(&mut service, &client, &root, &agent, LARGEST_AT_ONCE).await;
    client.delete(&format!("/v1/grants/{root}")).await.ok(204);
    let told = told(&client).await;
    assert_eq!(told.len(), LARGEST_AT_ONCE as usize + 1, "all are told when the answer comes");
    assert_eq!(told[0], root);
}

#[tokio::test]
async fn more_than_a_thousand_are_inactive_at_once_and_told_in_slices_also_after_a_restart() {
    let mut service = Service::start().await;
    let (client, other) = (service.sandbox().await, service.sandbox().await);
    let agent = client.agent().await;
    let root = client.token(&agent).await;
    let child = client.delegate(&root, &agent).await;
    let grandchild = client.delegate(&child, &agent).await;
    let untouched = client.token(&agent).await;
    delegate_many(&mut service, &client, &root.grant, &agent, 3 * LARGEST_AT_ONCE).await;
    let valid = |jwt: String| {
        let client = &client;
        async move {
            client.post("/v1/tokens/verify", &json!({"token": jwt})).await.ok(200)["valid"].clone()
        }
    };
    assert_eq!(valid(grandchild.jwt.clone()).await, true);

    client.delete(&format!("/v1/grants/{}", root.grant)).await.ok(204);
    assert_eq!(valid(grandchild.jwt.clone()).await, false);
    assert_eq!(valid(untouched.jwt).await, true);
    let active = client.get("/v1/grants?status=active").await.ok(200);
    assert_eq!(active["grants"].as_array().unwrap().len(), 1, "only the untouched one");
    client.delete(&format!("/v1/grants/{}", child.grant)).await.refused(404, "NOT_FOUND");
    other.agent().await;

    service.restart().await;
    let expected = 3 * LARGEST_AT_ONCE as usize + 3;
    until("every grant is told", || async { told(&client).await.len() >= expected }).await;
    let told = told(&client).await;
    assert_eq!(told.len(), told.iter().collect::<HashSet<_>>().len(), "each once");
    let place = |grant: &str| told.iter().position(|told| told == grant).unwrap();
    assert!(
        place(&root.grant) == 0 && place(&child.grant) < place(&grandchild.grant),
        "parents first"
    );
}
