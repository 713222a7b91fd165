use serde_json::json;

use crate::support::{Service, Token, types};

#[tokio::test]
async fn a_budgets_life() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let token = client.token(&agent).await;
    let grant = token.grant.clone();
    client.debit(&grant, "1").await.refused(404, "NOT_FOUND");
    let allocate = json!({"grantId": grant, "initialBudget": "1000"});
    let budget = client.post("/v1/budget/allocate", &allocate).await.ok(201);
    assert_eq!(
        (budget["initialBudget"].as_str(), budget["currency"].as_str()),
        (Some("1000.0000"), Some("USD"))
    );
    client.post("/v1/budget/allocate", &allocate).await.refused(409, "CONFLICT");

    let before = client.log().await.len();
    let debit = json!({"grantId": grant, "amount": 499.9999, "description": "a train", "metadata": {"trip": [1, "é"]}});
    let debited = client.post("/v1/budget/debit", &debit).await.ok(200);
    assert_eq!(debited["remaining"], "500.0001");
    client.debit(&grant, "0.0001").await.ok(200);
    client.debit(&grant, "300").await.ok(200);
    client.debit(&grant, "200.0001").await.refused(402, "INSUFFICIENT_BUDGET");
    client.debit(&grant, "200").await.ok(200);
    client.debit(&grant, "0.0001").await.refused(402, "INSUFFICIENT_BUDGET");
    let events = client.log().await.split_off(before);
    assert_eq!(types(&events), ["budget.threshold 50", "budget.threshold 80", "budget.exhausted"]);
    assert_eq!(
        events[0]["data"],
        json!({"grantId": grant, "percentage": 50, "remaining": 500, "initial": 1000})
    );
    assert_eq!(events[2]["data"], json!({"grantId": grant, "initial": 1000}));

    assert_eq!(
        client.get(&format!("/v1/budget/balance/{grant}")).await.ok(200)["remainingBudget"],
        "0.0000"
    );
    let list = client.get(&format!("/v1/budget/transactions/{grant}?pageSize=3")).await.ok(200);
    assert_eq!(
        (list["total"].as_u64(), list["transactions"].as_array().unwrap().len()),
        (Some(4), 3)
    );
    let rest =
        client.get(&format!("/v1/budget/transactions/{grant}?pageSize=3&page=2")).await.ok(200);
    assert_eq!(rest["transactions"].as_array().unwrap().len(), 1);
    let all: Vec<_> = [list, rest]
        .iter()
        .flat_map(|page| page["transactions"].as_array().unwrap().clone())
        .collect();
    assert!(
        all.iter()
            .any(|tx| tx["metadata"] == json!({"trip": [1, "é"]}) && tx["amount"] == "499.9999")
    );
    assert_eq!(
        client.get("/v1/budget/allocations").await.ok(200)["allocations"].as_array().unwrap().len(),
        1
    );

    // A refreshed token carries what remains, as a number.
    let refreshed = client
        .post("/v1/token/refresh", &json!({"agentId": agent, "refreshToken": token.refresh}))
        .await
        .ok(201);
    assert_eq!(Token::read(&refreshed).claims()["bdg"], json!(0));

    let stranger = service.sandbox().await;
    stranger.debit(&grant, "1").await.refused(404, "NOT_FOUND");
    stranger.get(&format!("/v1/budget/balance/{grant}")).await.refused(404, "NOT_FOUND");
    stranger.get(&format!("/v1/budget/transactions/{grant}")).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn one_debit_over_everything_tells_everything_once() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let grant = client.budget("0.5").await;
    let before = client.log().await.len();
    client.debit(&grant, "0.5").await.ok(200);
    let events = client.log().await.split_off(before);
    assert_eq!(types(&events), ["budget.threshold 50", "budget.threshold 80", "budget.exhausted"]);
    assert_eq!(events[1]["data"]["remaining"], json!(0));
    assert_eq!(events[1]["data"]["initial"], json!(0.5));
}

#[tokio::test]
async fn an_inactive_grant_neither_gets_nor_spends() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let grant = client.budget("10").await;
    client.delete(&format!("/v1/grants/{grant}")).await.ok(204);
    client.debit(&grant, "1").await.refused(409, "GRANT_INACTIVE");
    let agent = client.agent().await;
    let expired = client.token_for(&agent, "u", &["a"], "10s").await.grant;
    service.clock.advance(11);
    let allocate = json!({"grantId": expired, "initialBudget": 1});
    client.post("/v1/budget/allocate", &allocate).await.refused(409, "GRANT_INACTIVE");
}

#[tokio::test]
async fn odd_amounts_are_refused_and_change_nothing() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let grant = client.budget("10").await;
    let before = client.log().await;
    for amount in [
        json!(0),
        json!("0.0000"),
        json!(-1),
        json!("-1"),
        json!(0.00001),
        json!("1.00000000001"),
        json!(1e300),
        json!("1e999999999"),
        json!(100_000_000_000_u64),
        json!("NaN"),
        json!("Infinity"),
        json!(""),
        json!(" 1"),
        json!("1,5"),
        json!("0x1"),
        json!("١"),
        json!(null),
        json!(true),
        json!([1]),
        json!({"value": 1}),
        json!("9".repeat(5000)),
    ] {
        let debit = json!({"grantId": grant, "amount": amount});
        client.post("/v1/budget/debit", &debit).await.refused(400, "BAD_REQUEST");
        let allocate = json!({"grantId": grant, "initialBudget": amount});
        client.post("/v1/budget/allocate", &allocate).await.refused(400, "BAD_REQUEST");
    }
    for metadata in [json!([]), json!("x"), json!({"long": "x".repeat(9000)}), json!({"nul": "\0"})]
    {
        let debit = json!({"grantId": grant, "amount": 1, "metadata": metadata});
        client.post("/v1/budget/debit", &debit).await.refused(400, "BAD_REQUEST");
    }
    assert_eq!(
        client.get(&format!("/v1/budget/balance/{grant}")).await.ok(200)["remainingBudget"],
        "10.0000"
    );
    assert_eq!(client.log().await, before);
}
