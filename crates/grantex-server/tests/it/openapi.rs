use crate::support::Service;

/// The document is the contract: a change of it is reviewed as such. Accept one with
/// `cargo run -- openapi > docs/openapi.json`.
#[test]
fn the_document_is_locked() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let locked = std::fs::read_to_string(path).unwrap();
    let now = grantex_server::openapi_document().to_pretty_json().unwrap();
    for (number, (locked, now)) in (1..).zip(locked.lines().zip(now.lines())) {
        assert_eq!(locked, now, "line {number} of docs/openapi.json differs");
    }
    assert_eq!(locked.lines().count(), now.lines().count());
}

#[tokio::test]
async fn it_is_served() {
    let service = Service::start().await;
    let served = service.anonymous().get("/openapi.json").await.ok(200);
    assert_eq!(served["openapi"], "3.1.0");
    assert!(served["paths"]["/v1/budget/debit"]["post"]["responses"]["default"].is_object());
}
