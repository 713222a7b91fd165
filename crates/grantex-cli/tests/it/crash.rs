//! The process is killed at random moments under concurrent writes, and has lost nothing.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Client, Server};

const KILLS: u64 = 30;
const MOST_KILLS: u64 = 200;
const WRITERS: u64 = 6;

/// What the service acknowledged.
#[derive(Default)]
struct Acknowledged {
    grants: HashSet<String>,
    revoked: HashSet<String>,
    tokens: usize,
    /// Debits by grant: transaction ids.
    debits: HashMap<String, Vec<String>>,
}

/// Lives through lifecycles until the service is gone.
async fn write(
    client: Client,
    agent: String,
    acknowledged: Arc<Mutex<Acknowledged>>,
) -> Result<(), reqwest::Error> {
    loop {
        let request = json!({"agentId": agent, "principalId": "user", "scopes": ["a"]});
        let (_, asked) = client.post("/v1/authorize", &request).await?;
        let (status, token) =
            client.post("/v1/token", &json!({"agentId": agent, "code": asked["code"]})).await?;
        assert_eq!(status, 201, "{token}");
        let grant = token["grantId"].as_str().unwrap().to_owned();
        {
            let mut acknowledged = acknowledged.lock().unwrap();
            acknowledged.grants.insert(grant.clone());
            acknowledged.tokens += 1;
        }
        let (status, budget) = client
            .post("/v1/budget/allocate", &json!({"grantId": grant, "initialBudget": 10}))
            .await?;
        assert_eq!(status, 201, "{budget}");
        for _ in 0..2 {
            let (status, debit) =
                client.post("/v1/budget/debit", &json!({"grantId": grant, "amount": 5})).await?;
            assert_eq!(status, 200, "{debit}");
            let id = debit["transactionId"].as_str().unwrap().to_owned();
            acknowledged.lock().unwrap().debits.entry(grant.clone()).or_default().push(id);
        }
        let (status, _) = client.call(Method::DELETE, &format!("/v1/grants/{grant}"), None).await?;
        assert_eq!(status, 204);
        acknowledged.lock().unwrap().revoked.insert(grant);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_has_lost_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
    let mut server = Server::start(folder.path(), &[]);
    let client = server.sandbox().await;
    let agent = client.agent().await;
    let mut seen: Vec<Value> = Vec::new();
    // On a busy machine little is written between two of them.
    let enough = || acknowledged.lock().unwrap().revoked.len() > 100;
    let rounds = (0..MOST_KILLS).take_while(|round| *round < KILLS || !enough());
    for round in rounds {
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                tokio::spawn(write(
                    client.at(&server.base),
                    agent.clone(),
                    Arc::clone(&acknowledged),
                ))
            })
            .collect();
        // From before the first write to the middle of many: spread, and the same in each run.
        tokio::time::sleep(Duration::from_millis(round * 7919 % 241)).await;
        server.process.kill();
        for writer in writers {
            assert!(
                writer.await.unwrap().is_err(),
                "a writer ends with the connection, and in no other way"
            );
        }
        server = Server::start(folder.path(), &[]);
        let log = client.at(&server.base).log().await;
        assert_eq!(seen[..], log[..seen.len()], "what was in the log stays as it was");
        check(&log, &acknowledged.lock().unwrap());
        seen = log;
    }
    let client = client.at(&server.base);
    client.token(&agent).await;
    assert!(enough(), "there was something to lose");
    server.process.signal("-TERM");
    assert!(server.process.wait());
    drop(server);
    check_database(&folder.path().join("grantex.db"));
}

/// Everything acknowledged is in the log, and the log is in order.
fn check(log: &[Value], acknowledged: &Acknowledged) {
    let ids: Vec<&str> = log.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b));
    let grants = |kind: &str| -> HashSet<String> {
        let of_kind = log.iter().filter(|event| event["type"] == kind);
        let grants: Vec<String> =
            of_kind.map(|event| event["data"]["grantId"].as_str().unwrap().to_owned()).collect();
        let once: HashSet<String> = grants.iter().cloned().collect();
        assert_eq!(once.len(), grants.len(), "each grant has at most one {kind}");
        once
    };
    assert!(grants("grant.created").is_superset(&acknowledged.grants));
    assert!(grants("grant.revoked").is_superset(&acknowledged.revoked));
    let exhausted = grants("budget.exhausted");
    for (grant, debits) in &acknowledged.debits {
        assert!(debits.len() < 2 || exhausted.contains(grant));
    }
    assert!(
        log.iter().filter(|event| event["type"] == "token.issued").count() >= acknowledged.tokens
    );
}

/// No half of anything: every row has its event and every event its row.
fn check_database(path: &std::path::Path) {
    let database = Connection::open(path).unwrap();
    let count = |sql: &str| -> i64 { database.query_row(sql, [], |row| row.get(0)).unwrap() };
    let of_kind = |kind: u8| count(&format!("SELECT count(*) FROM events WHERE kind = {kind}"));
    assert_eq!(
        count("SELECT max(position) FROM events"),
        count("SELECT count(*) FROM events"),
        "dense"
    );
    assert_eq!(count("SELECT min(position) FROM events"), 1);
    assert_eq!(count("SELECT head FROM logs"), count("SELECT max(position) FROM events"));
    assert_eq!(of_kind(0), count("SELECT count(*) FROM grants"));
    assert_eq!(of_kind(1), count("SELECT count(*) FROM grants WHERE revoked_at IS NOT NULL"));
    assert_eq!(of_kind(2), count("SELECT count(*) FROM tokens"));
    assert_eq!(of_kind(4), count("SELECT count(*) FROM budgets WHERE remaining = 0"));
    // Budgets of 10 in two debits of 5: 50 % with the first, 80 % with the second.
    assert_eq!(
        of_kind(3),
        count("SELECT count(*) FROM budgets WHERE remaining < initial") + of_kind(4)
    );
    let unbalanced = count(
        "SELECT count(*) FROM budgets b WHERE b.initial - b.remaining !=
         (SELECT coalesce(sum(t.amount), 0) FROM transactions t WHERE t.grant_id = b.grant_id)",
    );
    assert_eq!(unbalanced, 0);
}
