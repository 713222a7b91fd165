use serde_json::{Value, json};

use crate::support::{Service, types};

#[tokio::test]
async fn a_cascade_tells_each_grant_once_parents_first() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let root = client.token(&agent).await;
    let (left, right) = (client.delegate(&root, &agent).await, client.delegate(&root, &agent).await);
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
