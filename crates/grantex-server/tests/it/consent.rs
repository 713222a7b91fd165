use serde_json::{Value, json};

use crate::support::{Answer, Client, Service, types};

async fn ask(client: &Client, extra: Value) -> (String, String) {
    let agent = client.agent().await;
    let mut request =
        json!({"agentId": agent, "principalId": "user-1", "scopes": ["calendar:read"]});
    request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let asked = client.post("/v1/authorize", &request).await.ok(201);
    assert!(asked.get("code").is_none() && asked.get("sandbox").is_none());
    let id = asked["authRequestId"].as_str().unwrap().to_owned();
    assert_eq!(asked["consentUrl"], format!("{}/consent?req={id}", client.base));
    (agent, id)
}

fn field(page: &Answer, name: &str) -> String {
    let marker = format!("name=\"{name}\" value=\"");
    let start = page.text.find(&marker).expect("the form has the field") + marker.len();
    page.text[start..].split('"').next().unwrap().to_owned()
}

async fn decide(client: &Client, id: &str, token: &str, decision: &str) -> Answer {
    let form = format!("req={id}&token={token}&decision={decision}");
    let request = client
        .request(reqwest::Method::POST, "/consent")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(form);
    client.send(request).await
}

#[tokio::test]
async fn the_principal_approves_on_the_page() {
    let service = Service::start().await;
    let client = service.live().await;
    let (agent, id) =
        ask(&client, json!({"redirectUri": "https://app.example/cb?x=1", "state": "s&t"})).await;
    let browser = service.anonymous();
    let page = browser.get(&format!("/consent?req={id}")).await;
    assert_eq!(page.status, 200);
    for text in ["Agent", "user-1", "Read calendar", "calendar:read", "Approve", "Deny"] {
        assert!(page.text.contains(text), "{text}");
    }
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("frame-ancestors 'none'")
            && policy.contains("form-action 'self' https://app.example")
    );
    assert!(!page.text.contains("<script"));

    assert_eq!(decide(&browser, &id, "forged", "approve").await.status, 403);
    let token = field(&page, "token");
    let done = decide(&browser, &id, &token, "approve").await;
    assert_eq!(done.status, 303);
    let target = done.headers["location"].to_str().unwrap();
    assert!(
        target.starts_with("https://app.example/cb?x=1&code=gxc_")
            && target.contains("&state=s%26t&iss=")
    );
    // Whose answer it is (RFC 9207), as the metadata say.
    let metadata = browser.get("/.well-known/oauth-authorization-server").await.ok(200);
    let issuer = metadata["issuer"].as_str().unwrap().replace(':', "%3A").replace('/', "%2F");
    assert!(target.ends_with(&format!("&iss={issuer}")), "{target}");
    assert_eq!(metadata["authorization_response_iss_parameter_supported"], true);
    // A double click leads to the same place; a change of mind comes too late.
    assert_eq!(decide(&browser, &id, &token, "approve").await.headers["location"], target);
    let late = decide(&browser, &id, &token, "deny").await;
    assert!(late.status == 410 && late.text.contains("You approved this"), "{}", late.text);
    assert!(late.text.contains("This answer changed nothing"));

    let code = target.split("code=").nth(1).unwrap().split('&').next().unwrap();
    client.post("/v1/token", &json!({"agentId": agent, "code": code})).await.ok(201);
    assert_eq!(types(&client.log().await), ["grant.created", "token.issued"]);
}

#[tokio::test]
async fn the_principal_denies_on_the_page() {
    let service = Service::start().await;
    let client = service.live().await;
    let (_, id) = ask(&client, json!({})).await;
    let browser = service.anonymous();
    let page = browser.get(&format!("/consent?req={id}")).await;
    let done = decide(&browser, &id, &field(&page, "token"), "deny").await;
    assert_eq!(done.status, 200);
    assert!(done.text.contains("Denied"));
    assert_eq!(client.log().await, Vec::<Value>::new());
}

#[tokio::test]
async fn everything_on_the_page_is_escaped() {
    let service = Service::start().await;
    let client = service.live().await;
    let agent = json!({"name": "<script>alert(1)</script>", "description": "\"><img src=x>"});
    let agent = client.post("/v1/agents", &agent).await.ok(201);
    let request =
        json!({"agentId": agent["agentId"], "principalId": "<b>", "scopes": ["<i>:read"]});
    let asked = client.post("/v1/authorize", &request).await.ok(201);
    let page = service
        .anonymous()
        .get(&format!("/consent?req={}", asked["authRequestId"].as_str().unwrap()))
        .await;
    for raw in ["<script>", "<img", "<b>", "<i>"] {
        assert!(!page.text.contains(raw), "{raw}");
    }
}

#[tokio::test]
async fn the_json_door() {
    let service = Service::start().await;
    let client = service.live().await;
    let principal = service.anonymous();
    let (agent, id) = ask(&client, json!({"state": "s"})).await;
    let shown = principal.get(&format!("/v1/consent/{id}")).await.ok(200);
    assert_eq!(shown["agentName"], "Agent");
    assert_eq!(shown["scopeDescriptions"], json!({"calendar:read": "Read calendar"}));
    assert_eq!(shown["status"], "pending");
    let approved = principal.post(&format!("/v1/consent/{id}/approve"), &json!({})).await.ok(200);
    assert_eq!(approved["state"], "s");
    assert!(approved.get("redirectUri").is_none());
    for path in ["", "/approve", "/deny"] {
        let path = format!("/v1/consent/{id}{path}");
        let again = if path.ends_with(&id) {
            principal.get(&path).await
        } else {
            principal.post(&path, &json!({})).await
        };
        again.refused(410, "GONE");
    }
    client.post("/v1/token", &json!({"agentId": agent, "code": approved["code"]})).await.ok(201);

    let (_, id) = ask(&client, json!({})).await;
    principal.post(&format!("/v1/consent/{id}/deny"), &json!({})).await.ok(200);
    principal.post(&format!("/v1/consent/{id}/approve"), &json!({})).await.refused(410, "GONE");
    principal.get("/v1/consent/areq_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA").await.refused(404, "NOT_FOUND");
    principal.get("/v1/consent/nonsense").await.refused(404, "NOT_FOUND");

    let closed = Service::with(|settings| settings.public_consent_api = false).await;
    closed.anonymous().get(&format!("/v1/consent/{id}")).await.refused(403, "FORBIDDEN");
}

#[tokio::test]
async fn a_live_key_cannot_consent_for_the_principal() {
    let service = Service::start().await;
    let client = service.live().await;
    let (_, id) = ask(&client, json!({})).await;
    for decision in ["approve", "deny"] {
        let path = format!("/v1/authorize/{id}/{decision}");
        client.post(&path, &json!({})).await.refused(403, "CONSENT_REQUIRED");
        service.live().await.post(&path, &json!({})).await.refused(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn requests_expire() {
    let service = Service::start().await;
    let client = service.live().await;
    let (_, id) = ask(&client, json!({"expiresIn": "60s"})).await;
    let token = field(&service.anonymous().get(&format!("/consent?req={id}")).await, "token");
    service.clock.advance(61);
    let principal = service.anonymous();
    principal.get(&format!("/v1/consent/{id}")).await.refused(410, "GONE");
    principal.post(&format!("/v1/consent/{id}/approve"), &json!({})).await.refused(410, "GONE");
    assert_eq!(decide(&principal, &id, &token, "approve").await.status, 410);
}
