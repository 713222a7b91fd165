//! Laws that hold for any order of things.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use crate::support::{Client, Service, ids, types};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn config(cases: u32) -> Config {
    Config { cases, max_shrink_iters: 200, failure_persistence: None, ..Config::default() }
}

#[test]
fn concurrent_debits_never_overspend_and_tell_each_threshold_once() {
    let runtime = runtime();
    let (_service, client) = runtime.block_on(async {
        let service = Service::with(|settings| settings.rates = grantex_server::Rates::off()).await;
        let client = service.sandbox().await;
        (service, client)
    });
    let amounts = prop::collection::vec(1_u32..400, 1..40);
    TestRunner::new(config(60))
        .run(&amounts, |amounts| {
            runtime.block_on(async {
                let grant = client.budget("1000").await;
                let before = client.log().await.len();
                let debits = amounts.iter().map(|amount| {
                    let (client, grant, amount) = (client.clone(), grant.clone(), *amount);
                    tokio::spawn(async move {
                        (amount, client.debit(&grant, &amount.to_string()).await.status.as_u16())
                    })
                });
                let mut spent = 0;
                for done in debits.collect::<Vec<_>>() {
                    match done.await.unwrap() {
                        (amount, 200) => spent += amount,
                        (_, status) => assert_eq!(status, 402),
                    }
                }
                assert!(spent <= 1000);
                let left = client.get(&format!("/v1/budget/balance/{grant}")).await.ok(200);
                assert_eq!(left["remainingBudget"], format!("{}.0000", 1000 - spent));
                let mut expected = Vec::new();
                if spent >= 500 {
                    expected.push("budget.threshold 50");
                }
                if spent >= 800 {
                    expected.push("budget.threshold 80");
                }
                if spent == 1000 {
                    expected.push("budget.exhausted");
                }
                assert_eq!(types(&client.log().await[before..]), expected);
            });
            Ok(())
        })
        .unwrap();
}

/// What a subscriber does next in a schedule.
#[derive(Debug, Clone)]
enum Step {
    /// Events are appended meanwhile.
    Append(u8),
    /// It reads this many events, if there are as many.
    Read(u8),
    /// It disconnects and resumes from its cursor.
    Resume,
    /// It disconnects without having noticed the last event it was sent, and resumes before it.
    ResumeBefore,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1_u8..4).prop_map(Step::Append),
        3 => (1_u8..6).prop_map(Step::Read),
        2 => Just(Step::Resume),
        1 => Just(Step::ResumeBefore),
    ];
    prop::collection::vec(step, 1..14)
}

const FILTERS: [&str; 4] =
    ["", "types=grant.created", "types=token.issued,grant.revoked", "principalId=user-b"];

fn shown(filter: &str, event: &Value, of_b: &[String]) -> bool {
    let kind = event["type"].as_str().unwrap();
    match filter.split_once('=') {
        Some(("types", types)) => types.split(',').any(|name| name == kind),
        Some(_) => of_b.iter().any(|grant| event["data"]["grantId"] == grant.as_str()),
        None => true,
    }
}

/// One developer whose log grows from schedule to schedule.
struct Subject {
    client: Client,
    agent: String,
    of_b: Vec<String>,
}

impl Subject {
    async fn append(&mut self, count: u8) {
        for n in 0..count {
            let principal = if n % 2 == 0 { "user-a" } else { "user-b" };
            let grant = self.client.token_for(&self.agent, principal, &["a"], "1h").await.grant;
            if n == 2 {
                self.client.delete(&format!("/v1/grants/{grant}")).await.ok(204);
            }
            if principal == "user-b" {
                self.of_b.push(grant);
            }
        }
    }

    async fn follow(&mut self, steps: &[Step], filter: &str, start: usize, tiny_tail: bool) {
        let log = ids(&self.client.log().await);
        // From anywhere in the history, or from now.
        let origin = if log.is_empty() { 0 } else { start % (log.len() + 1) };
        let mut cursor = match origin {
            0 => "evt_00000000000000000000000000".to_owned(),
            n => log[n - 1].clone(),
        };
        let query = if filter.is_empty() { String::new() } else { format!("?{filter}") };
        let mut got: Vec<String> = Vec::new();
        let mut stream = self.client.stream_after(&query, Some(&cursor)).await;
        for step in steps {
            match step {
                Step::Append(count) => self.append(*count).await,
                Step::Read(count) => {
                    let log = self.client.log().await;
                    let after = origin_after(&log, &cursor);
                    let due = log[after..]
                        .iter()
                        .filter(|event| shown(filter, event, &self.of_b))
                        .count();
                    let events = stream.events(usize::from(*count).min(due)).await;
                    if let Some(last) = ids(&events).pop() {
                        cursor = last;
                    }
                    got.extend(ids(&events));
                }
                Step::Resume | Step::ResumeBefore => {
                    if matches!(step, Step::ResumeBefore) && got.len() > 1 {
                        got.pop();
                        cursor.clone_from(got.last().unwrap());
                    }
                    drop(stream);
                    stream = self.client.stream_after(&query, Some(&cursor)).await;
                }
            }
        }
        let log = self.client.log().await;
        let expected: Vec<String> = ids(&log[origin..]
            .iter()
            .filter(|event| shown(filter, event, &self.of_b))
            .cloned()
            .collect::<Vec<_>>());
        let rest = stream.events(expected.len() - got.len()).await;
        got.extend(ids(&rest));
        assert_eq!(got, expected, "filter {filter:?}, tiny tail {tiny_tail}");
    }
}

fn origin_after(log: &[Value], cursor: &str) -> usize {
    log.iter().position(|event| event["id"] == cursor).map_or(0, |position| position + 1)
}

#[test]
fn what_a_client_got_is_the_log_for_any_schedule() {
    let runtime = runtime();
    for tiny_tail in [false, true] {
        let service = runtime.block_on(Service::with(|settings| {
            settings.rates = grantex_server::Rates::off();
            if tiny_tail {
                settings.streams.tail_bytes = 1;
            }
        }));
        TestRunner::new(config(520))
            .run(&(steps(), 0..FILTERS.len(), any::<usize>()), |(steps, filter, start)| {
                runtime.block_on(async {
                    let client = service.sandbox().await;
                    let agent = client.agent().await;
                    let mut subject = Subject { client, agent, of_b: Vec::new() };
                    subject.append(2).await;
                    subject.follow(&steps, FILTERS[filter], start, tiny_tail).await;
                });
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn history_flows_into_live_while_events_are_being_written() {
    runtime().block_on(async {
        let service = Service::with(|settings| settings.rates = grantex_server::Rates::off()).await;
        let client = service.sandbox().await;
        let agent = client.agent().await;
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let (client, agent) = (client.clone(), agent.clone());
                tokio::spawn(async move {
                    for _ in 0..25 {
                        client.token(&agent).await;
                    }
                })
            })
            .collect();
        // Readers come in the middle, from the start of the log.
        let readers: Vec<_> = (0..8)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move {
                    client.stream("?since=2020-01-01T00:00:00Z").await.events(200).await
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        let log = client.log().await;
        assert_eq!(log.len(), 200);
        for reader in readers {
            assert_eq!(reader.await.unwrap(), log);
        }
    });
}
