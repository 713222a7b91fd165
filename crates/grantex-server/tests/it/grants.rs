use serde_json::json;

use crate::support::{Service, types};

#[tokio::test]
async fn grants_are_listed_shown_and_revoked() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let (one, two) = (client.agent().await, client.agent().await);
    let first = client.token_for(&one, "user-1", &["a"], "60s").await;
    let second = client.token_for(&two, "user-2", &["a"], "24h").await;
    let count = |query: &'static str| {
        let client = client.clone();
        async move {
            client.get(&format!("/v1/grants{query}")).await.ok(200)["grants"]
                .as_array()
                .unwrap()
                .len()
        }
    };
    assert_eq!(count("").await, 2);
    assert_eq!(count("?principalId=user-1").await, 1);
    assert_eq!(count("?status=active").await, 2);
    assert_eq!(
        client.get(&format!("/v1/grants?agentId={two}")).await.ok(200)["grants"][0]["grantId"],
        second.grant.as_str()
    );

    let path = format!("/v1/grants/{}", second.grant);
    let shown = client.get(&path).await.ok(200);
    assert_eq!(
        (shown["status"].as_str(), shown["delegationDepth"].as_u64()),
        (Some("active"), Some(0))
    );
    assert!(shown.get("revokedAt").is_none() && shown.get("parentGrantId").is_none());
    let stranger = service.sandbox().await;
    stranger.get(&path).await.refused(404, "NOT_FOUND");
    stranger.delete(&path).await.refused(404, "NOT_FOUND");

    client.delete(&path).await.ok(204);
    client.delete(&path).await.refused(404, "NOT_FOUND");
    let shown = client.get(&path).await.ok(200);
    assert_eq!(shown["status"], "revoked");
    assert!(shown["revokedAt"].is_string());
    assert_eq!(
        client.log().await.pop().unwrap()["data"],
        json!({"grantId": second.grant, "revokedBy": "developer"})
    );

    service.clock.advance(61);
    assert_eq!(
        client.get(&format!("/v1/grants/{}", first.grant)).await.ok(200)["status"],
        "expired"
    );
    assert_eq!(
        (
            count("?status=expired").await,
            count("?status=revoked").await,
            count("?status=active").await
        ),
        (1, 1, 0)
    );
    client.get("/v1/grants?status=maybe").await.refused(400, "BAD_REQUEST");
    client.get("/v1/grants?agentId=x").await.refused(400, "BAD_REQUEST");
}

#[tokio::test]
async fn delegation_narrows_and_ends_with_its_parent() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let (boss, helper) = (client.agent().await, client.agent().await);
    let parent = client.token_for(&boss, "user-1", &["a:read", "a:write"], "30m").await;
    let request = |scopes: &[&str]| json!({"parentGrantToken": parent.jwt, "subAgentId": helper, "scopes": scopes, "expiresIn": "5h"});
    client
        .post("/v1/grants/delegate", &request(&["a:read", "b:read"]))
        .await
        .refused(400, "BAD_REQUEST");
    client.post("/v1/grants/delegate", &request(&[])).await.refused(400, "BAD_REQUEST");
    let child = client.post("/v1/grants/delegate", &request(&["a:read"])).await.ok(201);
    let child = crate::support::Token::read(&child);
    let claims = child.claims();
    assert_eq!(claims["parentAgt"], format!("did:grantex:{boss}"));
    assert_eq!(claims["parentGrnt"], parent.grant.as_str());
    assert_eq!(claims["delegationDepth"], 1);
    let (of_child, of_parent) = (
        client.get(&format!("/v1/grants/{}", child.grant)).await.ok(200),
        client.get(&format!("/v1/grants/{}", parent.grant)).await.ok(200),
    );
    assert_eq!(of_child["expiresAt"], of_parent["expiresAt"], "capped");
    assert_eq!(of_child["parentGrantId"], parent.grant.as_str());
    assert_eq!(types(&client.log().await)[2..], ["grant.created", "token.issued"]);

    let mut unknown = request(&["a:read"]);
    unknown["subAgentId"] = json!("ag_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA");
    client.post("/v1/grants/delegate", &unknown).await.refused(404, "NOT_FOUND");
    // A foreign parent is refused before the sub-agent is looked for.
    service.sandbox().await.post("/v1/grants/delegate", &unknown).await.refused(403, "FORBIDDEN");
    let mut nonsense = request(&["a:read"]);
    nonsense["parentGrantToken"] = json!("nonsense");
    client.post("/v1/grants/delegate", &nonsense).await.refused(400, "BAD_REQUEST");
    client.delete(&format!("/v1/grants/{}", parent.grant)).await.ok(204);
    client.post("/v1/grants/delegate", &request(&["a:read"])).await.refused(400, "BAD_REQUEST");
}

#[tokio::test]
async fn delegation_has_a_depth_limit() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let mut token = client.token(&agent).await;
    for _ in 0..3 {
        token = client.delegate(&token, &agent).await;
    }
    let request = json!({"parentGrantToken": token.jwt, "subAgentId": agent, "scopes": ["a:read"]});
    client.post("/v1/grants/delegate", &request).await.refused(403, "DELEGATION_DEPTH_EXCEEDED");
}
