use reqwest::Method;
use serde_json::json;

use crate::support::{Service, types};

#[tokio::test]
async fn an_agents_life() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client
        .post("/v1/agents", &json!({"name": " Helper ", "scopes": ["a:read", "a:read"]}))
        .await
        .ok(201);
    let id = agent["agentId"].as_str().unwrap();
    assert_eq!(agent["did"], format!("did:grantex:{id}"));
    assert_eq!((agent["name"].as_str(), agent["description"].as_str()), (Some("Helper"), Some("")));
    assert_eq!(agent["scopes"], json!(["a:read"]));
    let path = format!("/v1/agents/{id}");
    assert_eq!(client.get(&path).await.ok(200), agent);

    for method in [Method::PATCH, Method::POST] {
        let request =
            client.request(method.clone(), &path).json(&json!({"description": method.as_str()}));
        let changed = client.send(request).await.ok(200);
        assert_eq!(changed["description"], method.as_str());
        assert_eq!(changed["name"], "Helper");
    }
    let nothing = client.request(Method::PATCH, &path).json(&json!({}));
    client.send(nothing).await.refused(400, "BAD_REQUEST");

    service.sandbox().await.get(&path).await.refused(404, "NOT_FOUND");
    client.delete(&path).await.ok(204);
    client.get(&path).await.refused(404, "NOT_FOUND");
    assert_eq!(client.get("/v1/agents").await.ok(200)["agents"], json!([]));
}

#[tokio::test]
async fn lists_page_by_cursor_and_by_number() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(client.agent().await);
        // Ids of one millisecond have no order among them.
        service.clock.advance(1);
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut path = "/v1/agents?limit=2".to_owned();
    loop {
        let page = client.get(&path).await.ok(200);
        seen.extend(
            page["agents"]
                .as_array()
                .unwrap()
                .iter()
                .map(|a| a["agentId"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("/v1/agents?limit=2&after={cursor}");
    }
    assert_eq!(seen, made, "newest first, each once");
    let second = client.get("/v1/agents?page=2&pageSize=2").await.ok(200);
    assert_eq!(second["agents"][0]["agentId"], made[2].as_str());
    for bad in ["limit=0", "limit=201", "limit=x", "after=x", "page=0", "limit=1&limit=2"] {
        client.get(&format!("/v1/agents?{bad}")).await.refused(400, "BAD_REQUEST");
    }
}

/// Whatever a list holds: a page by number reaches 10,000 items, a cursor everything.
#[tokio::test]
async fn pages_by_number_end_where_they_would_be_dear() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let grant = client.token(&agent).await.grant;
    client
        .post("/v1/budget/allocate", &json!({"grantId": grant, "initialBudget": "1"}))
        .await
        .ok(201);
    for list in [
        "/v1/agents".to_owned(),
        "/v1/keys".to_owned(),
        "/v1/grants".to_owned(),
        "/v1/audit/entries".to_owned(),
        "/v1/budget/allocations".to_owned(),
        format!("/v1/budget/transactions/{grant}"),
    ] {
        for reached in ["page=51&pageSize=200", "page=10001&pageSize=1"] {
            client.get(&format!("{list}?{reached}")).await.ok(200);
        }
        for beyond in
            ["page=52&pageSize=200", "page=10002&pageSize=1", "page=4294967295&pageSize=200"]
        {
            let message = client.get(&format!("{list}?{beyond}")).await.refused(400, "BAD_REQUEST");
            assert!(message.contains("`after`") && message.contains("`nextCursor`"), "{message}");
        }
    }
}

#[tokio::test]
async fn a_suspended_agent_gets_nothing_more() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let token = client.token(&agent).await;
    let code = client.code(&agent, "user-1", &["a"], "1h").await;
    let suspend = client
        .request(Method::PATCH, &format!("/v1/agents/{agent}"))
        .json(&json!({"status": "suspended"}));
    client.send(suspend).await.ok(200);

    let authorize = json!({"agentId": agent, "principalId": "u", "scopes": ["a"]});
    client.post("/v1/authorize", &authorize).await.refused(404, "NOT_FOUND");
    client
        .post("/v1/token", &json!({"agentId": agent, "code": code}))
        .await
        .refused(400, "BAD_REQUEST");
    let refresh = json!({"agentId": agent, "refreshToken": token.refresh});
    client.post("/v1/token/refresh", &refresh).await.refused(400, "BAD_REQUEST");
    let delegate =
        json!({"parentGrantToken": token.jwt, "subAgentId": agent, "scopes": ["a:read"]});
    client.post("/v1/grants/delegate", &delegate).await.refused(404, "NOT_FOUND");

    // A failed try burned nothing.
    let resume = client
        .request(Method::PATCH, &format!("/v1/agents/{agent}"))
        .json(&json!({"status": "active"}));
    client.send(resume).await.ok(200);
    client.post("/v1/token", &json!({"agentId": agent, "code": code})).await.ok(201);
    client.post("/v1/token/refresh", &refresh).await.ok(201);
}

#[tokio::test]
async fn deleting_an_agent_revokes_its_grants_and_what_hangs_below() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let (boss, helper) = (client.agent().await, client.agent().await);
    let parent = client.token(&boss).await;
    let child = client.delegate(&parent, &helper).await;
    let unrelated = client.token(&helper).await;
    let before = client.log().await.len();
    client.delete(&format!("/v1/agents/{boss}")).await.ok(204);

    let events = client.log().await.split_off(before);
    assert_eq!(types(&events), ["grant.revoked", "grant.revoked"]);
    assert_eq!(events[0]["data"], json!({"grantId": parent.grant, "revokedBy": "system"}));
    assert_eq!(events[1]["data"], json!({"grantId": child.grant, "revokedBy": "system"}));
    let client = &client;
    let status = |grant: String| async move {
        client.get(&format!("/v1/grants/{grant}")).await.ok(200)["status"].clone()
    };
    assert_eq!(status(child.grant).await, "revoked");
    assert_eq!(status(unrelated.grant).await, "active");
}
