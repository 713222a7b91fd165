use grantex_server::Quotas;
use grantex_server::operator::{OperatorAnswer, OperatorRequest};
use serde_json::json;

use crate::support::{Client, Service, until};

async fn service(quotas: Quotas) -> Service {
    Service::with(|settings| settings.quotas = quotas).await
}

/// What the developer has: agents, grants, bytes.
async fn usage(service: &Service, client: &Client) -> (u64, u64, u64) {
    let me = client.get("/v1/me").await.ok(200);
    let developer_id = me["developerId"].as_str().unwrap().parse().unwrap();
    match service.operator(OperatorRequest::Show { developer_id }).await {
        OperatorAnswer::Developer(detail) => (detail.agents, detail.grants, detail.bytes),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn agents_and_keys_are_counted_and_deleting_makes_room() {
    let service = service(Quotas { agents: 2, keys: 2, ..Quotas::OFF }).await;
    let (client, neighbour) = (service.sandbox().await, service.sandbox().await);
    let first = client.agent().await;
    client.agent().await;
    let create = async |client: &Client| client.post("/v1/agents", &json!({"name": "Agent"})).await;
    let message = create(&client).await.refused(403, "QUOTA_EXCEEDED");
    assert!(message.contains("2 agents") && message.contains("delete some"), "{message}");
    create(&neighbour).await.ok(201);
    client.delete(&format!("/v1/agents/{first}")).await.ok(204);
    create(&client).await.ok(201);
    assert_eq!(usage(&service, &client).await.0, 2);

    let made = client.post("/v1/keys", &json!({"name": "a"})).await.ok(201);
    client.post("/v1/keys", &json!({"name": "b"})).await.refused(403, "QUOTA_EXCEEDED");
    client.delete(&format!("/v1/keys/{}", made["keyId"].as_str().unwrap())).await.ok(204);
    client.post("/v1/keys", &json!({"name": "b"})).await.ok(201);
    client.post("/v1/keys/rotate", &json!({})).await.ok(200);
}

#[tokio::test]
async fn grants_in_force_are_counted_and_what_has_ended_makes_room() {
    let service = service(Quotas { grants: 2, ..Quotas::OFF }).await;
    let client = service.sandbox().await;
    let (agent, other) = (client.agent().await, client.agent().await);
    let short = client.token_for(&agent, "user", &["a:read"], "10m").await;
    let child = client.delegate(&short, &other).await;
    let code = client.code(&agent, "user", &["a:read"], "1h").await;
    let exchange =
        async || client.post("/v1/token", &json!({"agentId": agent, "code": code})).await;
    exchange().await.refused(403, "QUOTA_EXCEEDED");
    let again = json!({"parentGrantToken": short.jwt, "subAgentId": other, "scopes": ["a:read"]});
    client.post("/v1/grants/delegate", &again).await.refused(403, "QUOTA_EXCEEDED");
    // Revoked.
    client.delete(&format!("/v1/grants/{}", child.grant)).await.ok(204);
    assert_eq!(usage(&service, &client).await.1, 1);
    exchange().await.ok(201);
    assert_eq!(usage(&service, &client).await.1, 2, "the refusal did not burn the code");
    // Expired: whether maintenance came by or not.
    service.clock.advance(601);
    client.token_for(&agent, "user", &["a:read"], "1h").await;
    let code = client.code(&agent, "user", &["a:read"], "1h").await;
    client
        .post("/v1/token", &json!({"agentId": agent, "code": code}))
        .await
        .refused(403, "QUOTA_EXCEEDED");
    assert_eq!(usage(&service, &client).await.1, 2);
}

#[tokio::test]
async fn who_stores_too_much_can_only_take_away() {
    let mut service = service(Quotas { bytes: 3000, ..Quotas::OFF }).await;
    let (client, neighbour) = (service.sandbox().await, service.sandbox().await);
    let agent = client.agent().await;
    let grant = client.budget("10").await;
    let mut last = client.token(&agent).await;
    while usage(&service, &client).await.2 < 3000 {
        last = client.token(&agent).await;
    }
    // Maintenance looks when the service starts, and every minute.
    service.restart().await;
    until("maintenance notices", async || client.debit(&grant, "1").await.status == 403).await;
    client.debit(&grant, "1").await.refused(403, "QUOTA_EXCEEDED");
    client.post("/v1/agents", &json!({"name": "Agent"})).await.refused(403, "QUOTA_EXCEEDED");
    client.post("/v1/tokens/verify", &json!({"token": last.jwt})).await.ok(200);
    client.delete(&format!("/v1/grants/{}", last.grant)).await.ok(204);
    client.post("/v1/keys/rotate", &json!({})).await.ok(200);
    neighbour.agent().await;
}
