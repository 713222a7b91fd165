//! What a command writes holds for what it read, and what only one can have, one gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use grantex_core::model::{Caller, RefreshToken};
use grantex_core::store::{self, KeptAnswer, MOST_RUNS, Needs, Tx};
use grantex_core::usecase::idempotency::{self, IdempotencyKey};
use grantex_core::usecase::{budgets, consent};
use grantex_core::{Error, Result, StoreError};
use grantex_types::api::authorization::{AuthorizeRequest, ConsentStatus};
use grantex_types::api::budgets::AllocateRequest;
use grantex_types::{Amount, RefreshId, Timestamp};

use super::harness::{Case, Harness, append, grant};

/// The cases about conflicts, by name.
pub const CASES: &[Case] = &[
    ("a command that meets a conflict runs again", a_command_that_meets_a_conflict_runs_again),
    ("a command is not run again for ever", a_command_is_not_run_again_for_ever),
    ("a conflict for good is not tried again", a_conflict_for_good_is_not_tried_again),
    ("an address has one developer", an_address_has_one_developer),
    ("a secret has one key", a_secret_has_one_key),
    ("a grant has one budget", a_grant_has_one_budget),
    ("a stale balance is not written", a_stale_balance_is_not_written),
    ("a grant has one current refresh token", a_grant_has_one_current_refresh_token),
    ("a request is decided once", a_request_is_decided_once),
    (
        "only the kept answer that was read is replaced",
        only_the_kept_answer_that_was_read_is_replaced,
    ),
    ("twins with one idempotency key act once", twins_with_one_idempotency_key_act_once),
];

const AGAIN: StoreError = StoreError::Conflict { may_retry: true };

fn a_command_that_meets_a_conflict_runs_again(harness: Harness) {
    let (developer, _) = harness.developer();
    let (id, runs) = (developer.developer_id, Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&runs);
    let event = harness.write(move |tx| {
        let event = append(tx, id, 1)?;
        match counted.fetch_add(1, Ordering::SeqCst) {
            0 => Err(AGAIN.into()),
            _ => Ok(event),
        }
    });
    assert_eq!(event.unwrap().position, 1, "what the first run did was undone");
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    harness.append(id, 1);
    let recorded = harness.recorded.events.lock().len();
    assert!((1..=2).contains(&recorded), "each event once, the last one soon");
}

fn a_command_is_not_run_again_for_ever(harness: Harness) {
    assert_eq!(runs_of(&harness, AGAIN), MOST_RUNS);
}

fn a_conflict_for_good_is_not_tried_again(harness: Harness) {
    assert_eq!(runs_of(&harness, StoreError::Conflict { may_retry: false }), 1);
}

/// How often a command runs that always fails like this, and that it then fails like this.
fn runs_of(harness: &Harness, error: StoreError) -> u32 {
    let (developer, _) = harness.developer();
    let (id, runs) = (developer.developer_id, Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&runs);
    let failed = harness.write(move |tx| {
        counted.fetch_add(1, Ordering::SeqCst);
        append(tx, id, 1)?;
        Err::<(), _>(error.clone().into())
    });
    assert!(is_conflict(&failed), "{failed:?}");
    assert_eq!(harness.read(move |store| Ok(store.log_bounds(id)?)).head, 0);
    runs.load(Ordering::SeqCst)
}

fn is_conflict<T>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(Error::Store(StoreError::Conflict { .. })))
}

/// The work succeeds once, and its twin meets a conflict and changes nothing.
fn once_only(harness: &Harness, work: impl Fn(&mut dyn Tx) -> Result<()> + Clone + Send + 'static) {
    harness.write(work.clone()).unwrap();
    let twin = harness.write(move |tx| work(tx));
    assert!(is_conflict(&twin), "{twin:?}");
}

fn an_address_has_one_developer(harness: Harness) {
    let (developer, _) = harness.developer();
    once_only(&harness, move |tx| {
        let mut developer = developer.clone();
        developer.developer_id = grantex_types::DeveloperId::from_parts(1, tx.random());
        developer.email = Some("one@example.com".into());
        Ok(tx.insert_developer(&developer)?)
    });
}

fn a_secret_has_one_key(harness: Harness) {
    let ((_, caller), (_, other)) = (harness.developer(), harness.developer());
    let stolen = harness.write(move |tx| {
        let mut key = tx.key(caller.developer_id, caller.key_id)?.unwrap();
        key.developer_id = other.developer_id;
        key.id = grantex_types::KeyId::from_parts(1, tx.random());
        Ok(tx.insert_key(&key)?)
    });
    assert!(
        matches!(stolen, Err(Error::Store(StoreError::Conflict { may_retry: false }))),
        "{stolen:?}"
    );
}

fn budget(harness: &Harness, caller: Caller) -> grantex_types::api::budgets::Budget {
    let agent = harness.agent(caller).agent_id;
    harness
        .write(move |tx| {
            let grant = grant(tx, caller.developer_id, agent, None)?;
            let request = AllocateRequest {
                grant_id: grant.id.to_string(),
                initial_budget: Amount::from_units(100).unwrap(),
                ..AllocateRequest::default()
            };
            budgets::allocate(tx, &caller, &request)
        })
        .unwrap()
}

fn a_grant_has_one_budget(harness: Harness) {
    let (_, caller) = harness.developer();
    let budget = budget(&harness, caller);
    let second = harness.write(move |tx| {
        let mut second = budget.clone();
        second.id = grantex_types::BudgetId::from_parts(1, tx.random());
        Ok(tx.insert_budget(&second)?)
    });
    assert!(is_conflict(&second), "{second:?}");
}

fn a_stale_balance_is_not_written(harness: Harness) {
    let (_, caller) = harness.developer();
    let budget = budget(&harness, caller);
    let left = Amount::from_units(40).unwrap();
    let grant = budget.grant_id;
    once_only(&harness, move |tx| {
        let now = tx.now();
        Ok(tx.set_remaining(&budget, left, now)?)
    });
    let balance = harness.read(move |store| budgets::balance(store, &caller, grant));
    assert_eq!(balance.remaining_budget, left);
}

fn a_grant_has_one_current_refresh_token(harness: Harness) {
    let (developer, caller) = harness.developer();
    let (id, agent) = (developer.developer_id, harness.agent(caller).agent_id);
    let grant = harness.write(move |tx| grant(tx, id, agent, None)).unwrap();
    let token = move |number| RefreshToken {
        id: RefreshId::from_parts(1, number),
        developer_id: id,
        grant_id: grant.id,
        expires_at: grant.expires_at,
        spent_at: None,
        ended_at: None,
    };
    harness.write(move |tx| Ok(tx.insert_refresh_token(&token(1))?)).unwrap();
    let second = harness.write(move |tx| Ok(tx.insert_refresh_token(&token(2))?));
    assert!(is_conflict(&second), "{second:?}");
    once_only(&harness, move |tx| Ok(tx.spend_refresh_token(&token(1), Timestamp::EPOCH)?));
    harness.write(move |tx| Ok(tx.insert_refresh_token(&token(2))?)).unwrap();
}

fn a_request_is_decided_once(harness: Harness) {
    let (_, caller) = harness.developer();
    let agent_id = harness.agent(caller).agent_id.to_string();
    let mut request = harness
        .write(move |tx| {
            let request = AuthorizeRequest {
                agent_id: agent_id.clone(),
                principal_id: "user".into(),
                scopes: vec!["a".into()],
                ..AuthorizeRequest::default()
            };
            consent::authorize(tx, &caller, request)
        })
        .unwrap();
    let was = std::mem::replace(&mut request.status, ConsentStatus::Exchanged);
    once_only(&harness, move |tx| Ok(tx.update_auth_request(&request, was)?));
}

fn only_the_kept_answer_that_was_read_is_replaced(harness: Harness) {
    let (developer, _) = harness.developer();
    let id = developer.developer_id;
    let answer = |at| KeptAnswer {
        body_hash: [1; 32],
        outcome: vec![1],
        created_at: Timestamp::from_millis(at),
    };
    once_only(&harness, move |tx| Ok(tx.keep_answer(id, "route", "key", &answer(1), None)?));
    once_only(&harness, move |tx| {
        Ok(tx.keep_answer(id, "route", "key", &answer(2), Some(&answer(1)))?)
    });
    let kept = harness.read(move |store| Ok(store.kept_answer(id, "route", "key")?));
    assert_eq!(kept.unwrap().created_at, Timestamp::from_millis(2));
}

fn twins_with_one_idempotency_key_act_once(harness: Harness) {
    const TWINS: usize = 50;
    let (developer, _) = harness.developer();
    let id = developer.developer_id;
    let twins: Vec<_> = (0..TWINS)
        .map(|_| {
            let store = Arc::clone(&harness.store);
            harness.spawn(async move {
                let key =
                    IdempotencyKey { route: "POST /test", key: "twin".into(), body_hash: [7; 32] };
                let needs = Needs::NONE.and(idempotency::need(Some(&key)));
                store::write(store.as_ref(), id, needs, "test", move |tx| {
                    idempotency::once(tx, id, Some(&key), |tx| Ok(append(tx, id, 1)?.position))
                })
                .await
            })
        })
        .collect();
    for twin in twins {
        assert_eq!(harness.block(twin).unwrap().unwrap(), 1);
    }
    assert_eq!(harness.read(move |store| Ok(store.log_bounds(id)?)).head, 1);
}
