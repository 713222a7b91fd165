use serde_json::json;

use crate::support::{Client, Service, until};

#[tokio::test]
async fn signing_up_gives_a_key_that_works() {
    let service = Service::start().await;
    let request = json!({"name": "  Acme  ", "email": "Dev@Acme.example", "ignored": true});
    let made = service.anonymous().post("/v1/signup", &request).await.ok(201);
    assert_eq!(made["name"], "Acme");
    assert_eq!(made["email"], "dev@acme.example");
    assert_eq!(made["mode"], "live");
    let key = made["apiKey"].as_str().unwrap();
    assert!(key.starts_with("gx_live_") && key.len() == 8 + 43);
    service.anonymous().post("/v1/signup", &request).await.refused(409, "CONFLICT");

    let mut client = service.anonymous();
    client.key = key.to_owned();
    let me = client.get("/v1/me").await.ok(200);
    assert_eq!(me["developerId"], made["developerId"]);
    // The scheme's case does not matter.
    let request = service
        .http
        .get(format!("{}/v1/me", service.base))
        .header("Authorization", format!("bEARER {key}"));
    client.send(request).await.ok(200);
}

#[tokio::test]
async fn the_secret_is_not_in_the_database() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let token = client.token(&client.agent().await).await;
    let bytes: Vec<u8> = ["grantex.db", "grantex.db-wal"]
        .into_iter()
        .flat_map(|name| std::fs::read(service.folder().join(name)).unwrap_or_default())
        .collect();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("user-1"), "the database was looked into");
    for secret in [&client.key[8..], &token.refresh[30..], &token.jwt[..]] {
        assert!(!holds(secret));
    }
}

#[tokio::test]
async fn several_keys_each_with_its_own_life() {
    let service = Service::start().await;
    let first = service.live().await;
    let made = first.post("/v1/keys", &json!({"name": "ci"})).await.ok(201);
    let mut second = first.clone();
    second.key = made["apiKey"].as_str().unwrap().to_owned();
    second.get("/v1/me").await.ok(200);

    let list = first.get("/v1/keys").await;
    assert!(!list.text.contains(&second.key), "the secret is shown once");
    let keys = list.ok(200);
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);

    let path = format!("/v1/keys/{}", made["keyId"].as_str().unwrap());
    service.live().await.delete(&path).await.refused(404, "NOT_FOUND");
    first.delete(&path).await.ok(204);
    second.get("/v1/me").await.refused(401, "UNAUTHORIZED");
    first.delete(&path).await.refused(404, "NOT_FOUND");
    first.get("/v1/me").await.ok(200);
}

#[tokio::test]
async fn rotating_kills_the_old_key_at_once() {
    let service = Service::start().await;
    let old = service.live().await;
    let made = old.post("/v1/keys/rotate", &json!({})).await.ok(200);
    old.get("/v1/me").await.refused(401, "UNAUTHORIZED");
    let mut new = old.clone();
    new.key = made["apiKey"].as_str().unwrap().to_owned();
    new.get("/v1/me").await.ok(200);
}

#[tokio::test]
async fn signup_can_be_switched_off() {
    let service = Service::with(|settings| settings.signup = false).await;
    service
        .anonymous()
        .post("/v1/signup", &json!({"name": "Acme"}))
        .await
        .refused(403, "FORBIDDEN");
}

#[tokio::test]
async fn a_wrong_key_opens_nothing() {
    let service = Service::start().await;
    let mut client = service.live().await;
    let last = client.key.pop().unwrap();
    client.key.push(if last == 'A' { 'B' } else { 'A' });
    for path in
        ["/v1/me", "/v1/agents", "/v1/grants", "/v1/events", "/v1/events/stream", "/v1/keys"]
    {
        client.get(path).await.refused(401, "UNAUTHORIZED");
        service.anonymous().get(path).await.refused(401, "UNAUTHORIZED");
    }
}

#[tokio::test]
async fn what_happens_to_keys_is_written_down() {
    let service = Service::start().await;
    let (client, stranger) = (service.sandbox().await, service.sandbox().await);
    let made = client.post("/v1/keys", &json!({"name": "ci"})).await.ok(201);
    client.delete(&format!("/v1/keys/{}", made["keyId"].as_str().unwrap())).await;
    let rotated = client.post("/v1/keys/rotate", &json!({})).await.ok(200);
    let client = Client { key: rotated["apiKey"].as_str().unwrap().to_owned(), ..client };

    let newest = client.get("/v1/audit/entries?limit=2").await.ok(200);
    let rest = client
        .get(&format!("/v1/audit/entries?after={}", newest["nextCursor"].as_str().unwrap()))
        .await
        .ok(200);
    assert!(rest["nextCursor"].is_null());
    let entries: Vec<_> =
        [&newest, &rest].into_iter().flat_map(|page| page["entries"].as_array().unwrap()).collect();
    let actions: Vec<_> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["key.rotated", "key.revoked", "key.created", "key.created"]);
    let first = &entries[3]["target"];
    assert_eq!(entries[3]["actor"], json!({"kind": "system", "id": null}));
    assert_eq!(entries[2]["actor"], json!({"kind": "api_key", "id": first}));
    assert_eq!(
        (&entries[2]["target"], &entries[2]["details"]),
        (&made["keyId"], &json!({"name": "ci"}))
    );
    assert_eq!(entries[0]["details"], json!({"name": "default", "replaces": first}));
    let theirs = stranger.get("/v1/audit/entries").await.ok(200);
    assert_eq!(theirs["entries"].as_array().unwrap().len(), 1);
    client.get("/v1/audit/entries?after=key_x").await.refused(400, "BAD_REQUEST");
}

#[tokio::test]
async fn revoked_keys_are_listed_for_as_long_as_history_is_kept() {
    for (age, listed) in [(None, 2), (Some("1d".parse().unwrap()), 1)] {
        let mut service = Service::with(|settings| settings.history_age = age).await;
        let client = service.sandbox().await;
        let ticket = client.post("/v1/events/tickets", &json!({"expiresIn": "24h"})).await.ok(201);
        let fresh = client.post("/v1/keys/rotate", &json!({})).await.ok(200)["apiKey"].clone();
        let fresh = Client { key: fresh.as_str().unwrap().to_owned(), ..client.clone() };
        service.clock.advance(86_400 - 60);
        service.restart().await;
        assert_eq!(fresh.get("/v1/keys").await.ok(200)["keys"].as_array().unwrap().len(), 2);
        let path = format!("/v1/events/stream?ticket={}", ticket["ticket"].as_str().unwrap());
        service.anonymous().get(&path).await.refused(401, "UNAUTHORIZED");
        service.clock.advance(120);
        service.restart().await;
        let keys =
            || async { fresh.get("/v1/keys").await.ok(200)["keys"].as_array().unwrap().len() };
        until("maintenance has come by", || async { keys().await == listed }).await;
        client.get("/v1/me").await.refused(401, "UNAUTHORIZED");
        fresh.get("/v1/me").await.ok(200);
    }
}
