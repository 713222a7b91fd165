use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use grantex_server::operator::{DeveloperDetail, OperatorAnswer, OperatorRequest};
use grantex_types::{DeveloperId, ErrorCode};
use serde_json::json;

use crate::support::{Client, Service};

async fn id(client: &Client) -> DeveloperId {
    let me = client.get("/v1/me").await.ok(200);
    me["developerId"].as_str().unwrap().parse().unwrap()
}

#[track_caller]
fn developer(answer: OperatorAnswer) -> DeveloperDetail {
    match answer {
        OperatorAnswer::Developer(detail) => detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn operators_see_developers_newest_first() {
    let service = Service::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(id(&service.sandbox().await).await);
    }
    ids.sort();
    ids.reverse();
    let OperatorAnswer::Developers { developers, next_cursor } =
        service.operator(OperatorRequest::List { after: None }).await
    else {
        panic!("a list is asked for");
    };
    assert_eq!(developers.iter().map(|row| row.developer_id).collect::<Vec<_>>(), ids);
    assert!(next_cursor.is_none() && developers.iter().all(|row| row.suspended_at.is_none()));
    let OperatorAnswer::Developers { developers, .. } =
        service.operator(OperatorRequest::List { after: Some(ids[0]) }).await
    else {
        panic!("a list is asked for");
    };
    assert_eq!(developers.len(), 2);

    let nobody = OperatorRequest::Show { developer_id: DeveloperId::from_parts(0, 1) };
    let refused = service.operator(nobody).await;
    assert!(
        matches!(refused, OperatorAnswer::Refused { code: ErrorCode::NotFound, .. }),
        "{refused:?}"
    );
    let mode =
        std::fs::metadata(service.folder().join("operator.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn suspension_stops_everything_of_a_developer_and_resumption_lets_it_go_on() {
    let service = Service::start().await;
    let (client, neighbour) = (service.sandbox().await, service.sandbox().await);
    let developer_id = id(&client).await;
    let token = client.token(&client.agent().await).await;
    let ticket = client.post("/v1/events/tickets", &json!({})).await.ok(201);
    let ticket = format!("?ticket={}", ticket["ticket"].as_str().unwrap());
    let (by_key, by_ticket) = (client.stream("").await, service.anonymous().stream(&ticket).await);
    let mut unharmed = neighbour.stream("").await;
    assert_eq!(
        developer(service.operator(OperatorRequest::Show { developer_id }).await).open_streams,
        2
    );

    let begun = Instant::now();
    let reason = Some("leaked".to_owned());
    let detail =
        developer(service.operator(OperatorRequest::Suspend { developer_id, reason }).await);
    assert!(detail.developer.suspended_at.is_some());
    by_key.ended().await;
    by_ticket.ended().await;
    let verification = client.post("/v1/tokens/verify", &json!({"token": token.jwt})).await;
    let message = verification.refused(403, "DEVELOPER_SUSPENDED");
    assert!(message.contains("operator") && begun.elapsed() < Duration::from_secs(1));
    client.get("/v1/events/stream").await.refused(403, "DEVELOPER_SUSPENDED");
    service
        .anonymous()
        .get(&format!("/v1/events/stream{ticket}"))
        .await
        .refused(403, "DEVELOPER_SUSPENDED");
    neighbour.token(&neighbour.agent().await).await;
    assert!(unharmed.event().await.is_some());

    // Twice is fine, and is one entry.
    service.operator(OperatorRequest::Suspend { developer_id, reason: None }).await;
    let detail =
        developer(service.operator(OperatorRequest::Resume { developer_id, reason: None }).await);
    assert!(detail.developer.suspended_at.is_none());
    let verified = client.post("/v1/tokens/verify", &json!({"token": token.jwt})).await.ok(200);
    assert_eq!(verified["valid"], true, "nothing was revoked");
    client.stream("").await;
    let trail = client.get("/v1/audit/entries?limit=2").await.ok(200);
    assert_eq!(trail["entries"][0]["action"], "developer.resumed");
    assert_eq!(trail["entries"][1]["action"], "developer.suspended");
    assert_eq!(trail["entries"][1]["actor"]["kind"], "operator");
    assert!(trail["entries"][1]["actor"]["id"].as_str().unwrap().starts_with("uid "));
    assert_eq!(trail["entries"][1]["details"], json!({"reason": "leaked"}));
}

#[tokio::test]
async fn a_suspended_developers_consent_links_wait() {
    let service = Service::start().await;
    let client = service.live().await;
    let developer_id = id(&client).await;
    let request = json!({"agentId": client.agent().await, "principalId": "user", "scopes": ["a"]});
    let asked = client.post("/v1/authorize", &request).await.ok(201);
    let path = format!("/v1/consent/{}", asked["authRequestId"].as_str().unwrap());
    service.operator(OperatorRequest::Suspend { developer_id, reason: None }).await;
    let anonymous = service.anonymous();
    anonymous.get(&path).await.refused(403, "DEVELOPER_SUSPENDED");
    anonymous
        .post(&format!("{path}/approve"), &json!({}))
        .await
        .refused(403, "DEVELOPER_SUSPENDED");
    let page =
        anonymous.get(&format!("/consent?req={}", asked["authRequestId"].as_str().unwrap())).await;
    assert_eq!(page.status, 403);
    service.operator(OperatorRequest::Resume { developer_id, reason: None }).await;
    anonymous.post(&format!("{path}/approve"), &json!({})).await.ok(200);
}
