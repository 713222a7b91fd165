use reqwest::Method;
use serde_json::json;

use crate::support::{Client, Service};

/// What nobody sees, and what turns or hides the rest.
const HIDDEN: [&str; 7] = [
    "\u{200B}",
    "\u{3164}\u{3164}",
    "pay\u{202E}pal",
    "a\u{2066}b",
    "a\u{00AD}b",
    "a\u{E0061}b",
    "a\u{2028}b",
];

async fn refused(client: &Client, method: Method, path: &str, body: &serde_json::Value) {
    client.send(client.request(method, path).json(body)).await.refused(400, "BAD_REQUEST");
}

#[tokio::test]
async fn what_people_read_hides_nothing() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let grant = client.budget("10").await;
    for text in HIDDEN {
        for (method, path, body) in [
            (Method::POST, "/v1/signup", json!({"name": text})),
            (Method::POST, "/v1/keys", json!({"name": text})),
            (Method::POST, "/v1/agents", json!({"name": text})),
            (Method::POST, "/v1/agents", json!({"name": "a", "description": text})),
            (Method::POST, "/v1/agents", json!({"name": "a", "scopes": [text]})),
            (Method::PATCH, &*format!("/v1/agents/{agent}"), json!({"name": text})),
            (
                Method::POST,
                "/v1/authorize",
                json!({"agentId": agent, "principalId": text, "scopes": ["a"]}),
            ),
            (
                Method::POST,
                "/v1/authorize",
                json!({"agentId": agent, "principalId": "u", "scopes": [text]}),
            ),
            (
                Method::POST,
                "/v1/budget/debit",
                json!({"grantId": grant, "amount": 1, "description": text}),
            ),
        ] {
            refused(&client, method, path, &body).await;
        }
    }
    // A mark that stands on nothing shows nothing.
    for text in ["\u{301}", " \u{301}\u{308} ", "\u{20DD}"] {
        refused(&client, Method::POST, "/v1/agents", &json!({"name": text})).await;
        refused(&client, Method::POST, "/v1/signup", &json!({"name": text})).await;
        let named = json!({"scopes": [{"scope": "a", "name": text}]});
        refused(&client, Method::PUT, "/v1/scopes", &named).await;
        let asked = json!({"agentId": agent, "principalId": text, "scopes": ["a"]});
        refused(&client, Method::POST, "/v1/authorize", &asked).await;
    }
    // What scripts and emoji need stays.
    for name in ["می\u{200C}خواهم", "क्\u{200D}ष", "👩\u{200D}💻 ❤\u{FE0F}\u{200D}🔥", "שלום"]
    {
        let made = client
            .post("/v1/agents", &json!({"name": name, "description": "One\n\ttwo"}))
            .await
            .ok(201);
        assert_eq!(made["name"], name);
    }
}

#[tokio::test]
async fn the_page_isolates_what_it_shows_and_spells_out_what_older_text_hides() {
    let mut service = Service::start().await;
    let client = service.live().await;
    let asked = json!({"name": "Agent"});
    let agent = client.post("/v1/agents", &asked).await.ok(201);
    let id = agent["agentId"].as_str().unwrap().to_owned();
    // A name from before such names were refused.
    let row = (agent["developerId"].as_str().unwrap().parse().unwrap(), id.parse().unwrap());
    service
        .write_before(move |tx| {
            let mut agent = tx.agent(row.0, row.1)?.unwrap();
            agent.name = "evil\u{202E}agent".into();
            Ok(tx.update_agent(&agent)?)
        })
        .await;

    let shown = client.get(&format!("/v1/agents/{id}")).await.ok(200);
    assert_eq!(shown["name"], "evil\u{202E}agent", "older values stay readable");
    let request = json!({"agentId": id, "principalId": "user-1", "scopes": ["a:read"], "redirectUri": "https://app.example:8443/cb?x=1"});
    let asked = client.post("/v1/authorize", &request).await.ok(201);
    let path = format!("/consent?req={}", asked["authRequestId"].as_str().unwrap());
    let page = service.anonymous().get(&path).await;
    for part in [
        "<h1><bdi>evil[U+202E]agent</bdi>",
        "<bdi>user-1</bdi>",
        "<bdi>a:read</bdi>",
        "<bdi>Test</bdi>",
        "your browser goes to <strong><bdi>app.example:8443</bdi></strong>",
    ] {
        assert!(page.text.contains(part), "{part} in {}", page.text);
    }
    assert!(!page.text.contains('\u{202E}'));
}
