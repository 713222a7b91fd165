//! Money and tokens: budgets, their debits, and what a token's end leaves behind.

use std::sync::Arc;

use grantex_core::Error;
use grantex_core::model::{Caller, Token, Transaction};
use grantex_core::store::{self, Change, Page};
use grantex_core::usecase::{budgets, developers};
use grantex_types::api::budgets::{AllocateRequest, Budget, DebitRequest};
use grantex_types::event::IssueMethod;
use grantex_types::{Amount, ErrorCode, GrantId, TokenId};

use super::harness::{Case, Harness, grant};

/// The cases about budgets and tokens, by name.
pub const CASES: &[Case] = &[
    ("a grant has one budget and only its developer sees it", a_grant_has_one_budget),
    ("debits are listed newest first and counted", debits_are_listed_newest_first_and_counted),
    ("debits at the same time never overspend", debits_at_the_same_time_never_overspend),
    ("what a failed debit wrote is gone", what_a_failed_debit_wrote_is_gone),
    ("a revoked token stays and a notice names it", a_revoked_token_stays),
    ("keys are listed with the revoked ones", keys_are_listed_with_the_revoked_ones),
];

const FIRST: Page<grantex_types::BudgetId> = Page { after: None, offset: 0, limit: 10 };

fn amount(units: u64) -> Amount {
    Amount::from_units(units).unwrap()
}

/// A grant with a budget of so many units.
fn budget(harness: &Harness, caller: Caller, units: u64) -> Budget {
    let agent = harness.agent(caller).agent_id;
    harness
        .write(move |tx| {
            let grant = grant(tx, caller.developer_id, agent, None)?;
            let (grant_id, initial_budget) = (grant.id.to_string(), amount(units));
            budgets::allocate(
                tx,
                &caller,
                &AllocateRequest { grant_id, initial_budget, currency: None },
            )
        })
        .unwrap()
}

fn debit(grant: GrantId, units: u64) -> DebitRequest {
    DebitRequest {
        grant_id: grant.to_string(),
        amount: amount(units),
        description: None,
        metadata: None,
    }
}

fn a_grant_has_one_budget(harness: Harness) {
    let ((_, caller), (_, stranger)) = (harness.developer(), harness.developer());
    let first = budget(&harness, caller, 100);
    harness.turn_clock(1000);
    let second = budget(&harness, caller, 200);
    let (grant, copy) = (first.grant_id, first.clone());
    // Not a rule of the use case alone: two writers must not both give a grant its budget.
    assert!(harness.write(move |tx| Ok(tx.insert_budget(&copy)?)).is_err());

    let list = |by: Caller| harness.read(move |store| budgets::list(store, &by, FIRST));
    assert_eq!(list(caller).iter().map(|one| one.id).collect::<Vec<_>>(), [second.id, first.id]);
    let page = Page { after: Some(second.id), ..FIRST };
    let rest = harness.read(move |store| Ok(store.budgets(caller.developer_id, page)?));
    assert_eq!(rest.iter().map(|one| one.id).collect::<Vec<_>>(), [first.id]);
    assert!(list(stranger).is_empty());
    let seen = harness.read(move |store| Ok(store.budget(stranger.developer_id, grant)?));
    assert!(seen.is_none(), "another developer's grant has no budget for this one");
}

fn debits_are_listed_newest_first_and_counted(harness: Harness) {
    let ((_, caller), (_, stranger)) = (harness.developer(), harness.developer());
    let (one, other) = (budget(&harness, caller, 100), budget(&harness, caller, 100));
    let grant = one.grant_id;
    let made: Vec<_> = (1..=4)
        .map(|units| {
            harness.turn_clock(1000);
            harness.write(move |tx| budgets::debit(tx, &caller, &debit(grant, units))).unwrap()
        })
        .collect();
    harness.write(move |tx| budgets::debit(tx, &caller, &debit(other.grant_id, 5))).unwrap();

    let page = |after, offset, limit| {
        let page = Page { after, offset, limit };
        harness.read(move |store| Ok(store.transactions(caller.developer_id, grant, page)?))
    };
    let units = |debits: &[Transaction]| {
        debits.iter().map(|debit| debit.amount.units()).collect::<Vec<_>>()
    };
    assert_eq!(units(&page(None, 0, 10)), [4, 3, 2, 1], "of this grant alone");
    assert_eq!(units(&page(Some(made[2].transaction_id), 0, 1)), [2]);
    assert_eq!(units(&page(None, 1, 2)), [3, 2]);
    let counts = harness.read(move |store| {
        Ok((
            store.transaction_count(caller.developer_id, grant)?,
            store.transaction_count(stranger.developer_id, grant)?,
            store.transactions(
                stranger.developer_id,
                grant,
                Page { after: None, offset: 0, limit: 10 },
            )?,
        ))
    });
    assert!(matches!(counts, (4, 0, debits) if debits.is_empty()));
    let left = harness.read(move |store| budgets::balance(store, &caller, grant));
    assert_eq!((left.remaining_budget, left.initial_budget), (amount(90), amount(100)));
    assert!(left.updated_at > left.created_at);
}

fn debits_at_the_same_time_never_overspend(harness: Harness) {
    const CLIENTS: u64 = 200;
    const UNITS: u64 = 7;
    let (_, caller) = harness.developer();
    let grant = budget(&harness, caller, 1000).grant_id;
    let debits: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let store = Arc::clone(&harness.store);
            harness.spawn(async move {
                let work =
                    move |tx: &mut dyn store::Tx| budgets::debit(tx, &caller, &debit(grant, UNITS));
                store::write(store.as_ref(), caller.developer_id, store::Needs::NONE, "test", work)
                    .await
            })
        })
        .collect();
    let (mut taken, mut refused) = (Vec::new(), 0);
    for debit in debits {
        match harness.block(debit).unwrap() {
            Ok(done) => taken.push(done.remaining.units()),
            Err(Error::Refused { code: ErrorCode::InsufficientBudget, .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    taken.sort_unstable_by(|one, other| other.cmp(one));
    let one_after_the_other: Vec<_> = (1..=1000 / UNITS).map(|n| 1000 - n * UNITS).collect();
    assert_eq!(taken, one_after_the_other, "each debit saw the one before");
    assert_eq!(taken.len() + refused, usize::try_from(CLIENTS).unwrap());
    let left = harness.read(move |store| {
        Ok((
            budgets::balance(store, &caller, grant)?.remaining_budget,
            store.transaction_count(caller.developer_id, grant)?,
        ))
    });
    assert_eq!(left, (amount(1000 % UNITS), 1000 / UNITS));
}

fn what_a_failed_debit_wrote_is_gone(harness: Harness) {
    let (_, caller) = harness.developer();
    let grant = budget(&harness, caller, 100).grant_id;
    let failed = harness.write(move |tx| {
        budgets::debit(tx, &caller, &debit(grant, 100))?;
        Err::<(), _>(Error::bad_request("no"))
    });
    assert!(failed.is_err());
    let (budget, count, head) = harness.read(move |store| {
        Ok((
            budgets::balance(store, &caller, grant)?,
            store.transaction_count(caller.developer_id, grant)?,
            store.log_bounds(caller.developer_id)?.head,
        ))
    });
    assert_eq!((budget.remaining_budget, count, head), (amount(100), 0, 0), "its events too");
}

fn a_revoked_token_stays(harness: Harness) {
    let ((_, caller), (_, stranger)) = (harness.developer(), harness.developer());
    let (developer_id, agent) = (caller.developer_id, harness.agent(caller).agent_id);
    let token_id = harness
        .write(move |tx| {
            let (now, grant) = (tx.now(), grant(tx, developer_id, agent, None)?);
            let id = TokenId::from_parts(now.millis(), tx.random());
            let token = Token {
                id,
                developer_id,
                grant_id: grant.id,
                issued_at: now,
                method: Some(IssueMethod::Exchange),
                expires_at: grant.expires_at,
                revoked_at: None,
            };
            tx.insert_token(&token, "kid")?;
            Ok(id)
        })
        .unwrap();
    harness.recorded.changes.lock().clear();
    let at = harness
        .write(move |tx| {
            let now = tx.now();
            tx.revoke_token(developer_id, token_id, now)?;
            Ok(now)
        })
        .unwrap();
    let found = |developer| harness.read(move |store| Ok(store.token(developer, token_id)?));
    assert_eq!(found(developer_id).unwrap().revoked_at, Some(at));
    assert!(found(stranger.developer_id).is_none());
    let recorded = std::mem::take(&mut *harness.recorded.changes.lock());
    assert!(
        matches!(recorded[..], [Change::TokenRevoked { developer_id: of, token_id: id }]
            if of == developer_id && id == token_id),
        "{recorded:?}"
    );
}

fn keys_are_listed_with_the_revoked_ones(harness: Harness) {
    let ((_, caller), (_, stranger)) = (harness.developer(), harness.developer());
    harness.turn_clock(1000);
    let secret = developers::NewSecret { hash: [7; 32], prefix: "gx_test_".into() };
    let rotated =
        harness.write(move |tx| developers::rotate_key(tx, &caller, secret.clone())).unwrap();
    let page = |limit| Page { after: None, offset: 0, limit };
    let list = |by: Caller, limit| {
        let keys = harness.read(move |store| Ok(store.keys(by.developer_id, page(limit))?));
        keys.into_iter().map(|key| (key.id, key.revoked_at.is_some())).collect::<Vec<_>>()
    };
    assert_eq!(list(caller, 10), [(rotated.id, false), (caller.key_id, true)]);
    assert_eq!(list(caller, 1), [(rotated.id, false)]);
    assert_eq!(list(stranger, 10), [(stranger.key_id, false)]);
    let working = harness.read(move |store| Ok(store.working_keys(caller.developer_id, 10)?));
    assert_eq!(working, 1);
}
