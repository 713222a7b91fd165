use crate::support::Service;

/// The document is the contract: a change of it is reviewed as such. Accept one with
/// `INSTA_UPDATE=always cargo test -p grantex-server openapi`.
#[test]
fn the_document_is_locked() {
    let document = grantex_server::openapi_document().to_pretty_json().unwrap();
    insta::with_settings!({ snapshot_path => "../../../../docs", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("openapi", document);
    });
}

#[tokio::test]
async fn it_is_served() {
    let service = Service::start().await;
    let served = service.anonymous().get("/openapi.json").await.ok(200);
    assert_eq!(served["openapi"], "3.1.0");
    assert!(served["paths"]["/v1/budget/debit"]["post"]["responses"]["default"].is_object());
}
