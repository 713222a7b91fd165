use serde_json::{Value, json};

use crate::support::{Service, types};

#[tokio::test]
async fn every_post_that_creates_or_spends_is_done_once() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let once = |path: &'static str, body: Value, status: u16| {
        let client = client.clone();
        async move {
            let first = client.post_once(path, "key-1", &body).await.ok(status);
            let second = client.post_once(path, "key-1", &body).await.ok(status);
            assert_eq!(first, second, "{path}: the first answer again, secrets included");
            let mut other = body;
            // Any field, where the route refuses none.
            let changed = if path == "/v1/authorize" { "state" } else { "changed" };
            other[changed] = json!("otherwise");
            client.post_once(path, "key-1", &other).await.refused(409, "CONFLICT");
            first
        }
    };
    let agent = once("/v1/agents", json!({"name": "Agent"}), 201).await["agentId"].clone();
    let asked =
        once("/v1/authorize", json!({"agentId": agent, "principalId": "u", "scopes": ["a"]}), 201)
            .await;
    let token = once("/v1/token", json!({"agentId": agent, "code": asked["code"]}), 201).await;
    let refresh = json!({"agentId": agent, "refreshToken": token["refreshToken"]});
    let token = once("/v1/token/refresh", refresh, 201).await;
    let delegate =
        json!({"parentGrantToken": token["grantToken"], "subAgentId": agent, "scopes": ["a"]});
    once("/v1/grants/delegate", delegate, 201).await;
    let grant = token["grantId"].clone();
    once("/v1/budget/allocate", json!({"grantId": grant, "initialBudget": 100}), 201).await;
    let debited = once("/v1/budget/debit", json!({"grantId": grant, "amount": 60}), 200).await;
    assert_eq!(debited["remaining"], "40.0000");
    assert_eq!(
        types(&client.log().await),
        [
            "grant.created",
            "token.issued",
            "token.issued",
            "grant.created",
            "token.issued",
            "budget.threshold 50"
        ]
    );
}

#[tokio::test]
async fn twins_at_the_same_time_do_it_once() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let grant = client.budget("100").await;
    let debit = json!({"grantId": grant, "amount": 7});
    let twins = (0..20).map(|_| client.post_once("/v1/budget/debit", "same", &debit));
    let answers = futures_util::future::join_all(twins).await;
    let ids: std::collections::HashSet<String> =
        answers.into_iter().map(|answer| answer.ok(200)["transactionId"].to_string()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(
        client.get(&format!("/v1/budget/balance/{grant}")).await.ok(200)["remainingBudget"],
        "93.0000"
    );
}

#[tokio::test]
async fn failures_are_not_kept_and_keys_are_ones_own() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let grant = client.token(&agent).await.grant;
    let debit = json!({"grantId": grant, "amount": 1});
    client.post_once("/v1/budget/debit", "k", &debit).await.refused(404, "NOT_FOUND");
    client
        .post("/v1/budget/allocate", &json!({"grantId": grant, "initialBudget": 5}))
        .await
        .ok(201);
    client.post_once("/v1/budget/debit", "k", &debit).await.ok(200);
    // Another developer's key of the same text is another key.
    let other = service.sandbox().await;
    other.post_once("/v1/agents", "k", &json!({"name": "A"})).await.ok(201);
    client.post_once("/v1/agents", "k", &json!({"name": "B"})).await.ok(201);
    // After a day it is new again.
    service.clock.advance(24 * 3600 + 1);
    let again = client.post_once("/v1/agents", "k", &json!({"name": "C"})).await.ok(201);
    assert_eq!(again["name"], "C");
    for bad in ["", " ", &"x".repeat(256)] {
        client
            .post_once("/v1/agents", bad, &json!({"name": "A"}))
            .await
            .refused(400, "BAD_REQUEST");
    }
}

#[tokio::test]
async fn answers_survive_a_restart_without_a_secret_on_disk() {
    let mut service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let code = client.code(&agent, "u", &["a"], "1h").await;
    let body = json!({"agentId": agent, "code": code});
    let first = client.post_once("/v1/token", "k", &body).await.ok(201);
    service.restart().await;
    assert_eq!(client.post_once("/v1/token", "k", &body).await.ok(201), first);
}
