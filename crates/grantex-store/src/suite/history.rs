//! What ended, what stays of it and for how long.

use grantex_core::model::AgentChangeKind;
use grantex_core::store::{Page, Read, StoreResult, Tx};
use grantex_core::usecase::developers::NewSecret;
use grantex_core::usecase::quotas::Quotas;
use grantex_core::usecase::tokens::{Exchange, Issuance, Signer};
use grantex_core::usecase::{agents, budgets, consent, developers, grants, maintenance, tokens};
use grantex_types::api::agents::{AgentStatus, UpdateAgentRequest};
use grantex_types::api::authorization::AuthorizeRequest;
use grantex_types::api::budgets::{AllocateRequest, DebitRequest};
use grantex_types::event::{IssueMethod, RevokedBy};
use grantex_types::{Amount, Lifetime};

use super::harness::{Case, Harness};

/// The cases about what ended, by name.
pub const CASES: &[Case] = &[
    ("working keys are counted without the revoked", working_keys_are_counted_without_the_revoked),
    ("an agent's ends and returns are kept", an_agents_ends_and_returns_are_kept),
    ("history stays for its age", history_stays_for_its_age),
];

fn working_keys_are_counted_without_the_revoked(harness: Harness) {
    let (developer, caller) = harness.developer();
    let id = developer.developer_id;
    let key = move |harness: &Harness| {
        harness.write(move |tx| {
            let mut hash = [0; 32];
            hash[..16].copy_from_slice(&tx.random().to_le_bytes());
            let secret = NewSecret { hash, prefix: "gx_test_".into() };
            developers::create_key(tx, &caller, "another", secret, &Quotas::default())
        })
    };
    let mut made = Vec::new();
    while let Ok(key) = key(&harness) {
        made.push(key);
    }
    assert_eq!(made.len(), Quotas::default().keys as usize - 1);
    let counted = |most| harness.read(move |store| Ok(store.working_keys(id, most)?));
    assert_eq!((counted(200), counted(5)), (Quotas::default().keys, 5));
    let (first, second) = (made[0].id, made[1].id);
    harness.write(move |tx| developers::revoke_key(tx, &caller, first)).unwrap();
    assert_eq!(counted(200), Quotas::default().keys - 1);
    key(&harness).unwrap();

    // A revoked key is listed until its history is over.
    let purge = |age| {
        harness.turn_clock(10_000);
        harness.write(move |tx| maintenance::purge(tx, age, 100)).unwrap()
    };
    let shown = |key_id| harness.read(move |store| Ok(store.key(id, key_id)?)).is_some();
    assert_eq!((purge(None), purge(Some(Lifetime::from_seconds(60))), shown(first)), (0, 0, true));
    // With the entries of the audit trail from before: those of all keys but the last.
    let entries = u64::from(Quotas::default().keys);
    assert_eq!(
        (purge(Some(Lifetime::from_seconds(20))), shown(first), shown(second)),
        (entries + 1, false, true)
    );
}

fn an_agents_ends_and_returns_are_kept(harness: Harness) {
    let (developer, caller) = harness.developer();
    let id = developer.developer_id;
    let agent = harness.agent(caller).agent_id;
    let mut expected = Vec::new();
    let update = |status, name: Option<&str>| {
        let (description, scopes, name) = (None, None, name.map(str::to_owned));
        let request = UpdateAgentRequest { name, description, scopes, status };
        harness.write(move |tx| agents::update(tx, &caller, agent, request.clone())).unwrap();
    };
    let (suspended, active) = (Some(AgentStatus::Suspended), Some(AgentStatus::Active));
    for (status, kind) in [
        (active, None),
        (suspended, Some(AgentChangeKind::Suspended)),
        (suspended, None),
        (active, Some(AgentChangeKind::Resumed)),
    ] {
        harness.turn_clock(1000);
        update(status, None);
        update(None, Some("Renamed"));
        expected.extend(kind.map(|kind| (kind, harness.read(|store| Ok(store.now())))));
    }
    harness.turn_clock(1000);
    harness.write(move |tx| agents::delete(tx, &caller, agent)).unwrap();
    expected.push((AgentChangeKind::Deleted, harness.read(|store| Ok(store.now()))));

    let changes = |after, limit| {
        harness.read(move |store| {
            Ok(store.agent_changes(id, agent, Page { after, offset: 0, limit })?)
        })
    };
    let all = changes(None, 10);
    expected.reverse();
    assert_eq!(all.iter().map(|change| (change.kind, change.at)).collect::<Vec<_>>(), expected);
    assert_eq!([changes(None, 2), changes(Some(all[1].number), 2)].concat(), all);
    let stranger = harness.developer().0.developer_id;
    let page = Page { after: None, offset: 0, limit: 10 };
    assert!(harness.read(move |store| Ok(store.agent_changes(stranger, agent, page)?)).is_empty());
}

fn history_stays_for_its_age(harness: Harness) {
    let (developer, caller) = harness.developer();
    let id = developer.developer_id;
    let agent = harness.agent(caller).agent_id;
    let ask = move |tx: &mut dyn Tx| {
        let request = AuthorizeRequest {
            agent_id: agent.to_string(),
            principal_id: "user".into(),
            scopes: vec!["a".into()],
            expires_in: Some("1h".into()),
            ..AuthorizeRequest::default()
        };
        consent::authorize(tx, &caller, request)
    };
    let (asked, unused, issued) = harness
        .write(move |tx| {
            let (asked, unused) = (ask(tx)?, ask(tx)?);
            let exchange = Exchange {
                auth_request_id: asked.id,
                agent_id: agent.to_string(),
                challenge: None,
            };
            let lifetime = Lifetime::from_seconds(3600);
            let signer = Signer { issuer: "https://x".into(), kid: "kid".into(), lifetime };
            let Issuance::Issued(issued) =
                tokens::exchange(tx, &caller, &exchange, &signer, &Quotas::OFF)?
            else {
                unreachable!("the code is good");
            };
            let (grant, text) = (issued.claims.grnt, issued.claims.grnt.to_string());
            let amount = |units| Amount::from_units(units).unwrap();
            let request = AllocateRequest {
                grant_id: text.clone(),
                initial_budget: amount(1000),
                currency: None,
            };
            budgets::allocate(tx, &caller, &request)?;
            for _ in 0..10 {
                let debit = DebitRequest {
                    grant_id: text.clone(),
                    amount: amount(1),
                    description: None,
                    metadata: None,
                };
                budgets::debit(tx, &caller, &debit)?;
            }
            grants::revoke(tx, id, grant, RevokedBy::Developer)?;
            Ok((asked, unused, issued))
        })
        .unwrap();
    let (grant, token) = (issued.claims.grnt, issued.claims.jti);
    let debits = move |store: &dyn Read| -> StoreResult<usize> {
        Ok(store.transactions(id, grant, Page { after: None, offset: 0, limit: 100 })?.len())
    };
    let maintain = |days: Option<u32>| {
        let age = days.map(|days| Lifetime::from_seconds(days * 24 * 3600));
        let mut slices = 0;
        while harness
            .write(move |tx| {
                Ok(maintenance::purge(tx, age, 4)? + maintenance::tend_grants(tx, id, age, 4)?)
            })
            .unwrap()
            > 0
        {
            slices += 1;
            let counted = harness
                .read(move |store| Ok((store.transaction_count(id, grant)?, debits(store)?)));
            assert_eq!(counted.0, counted.1 as u64, "the kept counter goes with the rows");
        }
        slices
    };
    harness.turn_clock(100 * 24 * 3_600_000);
    for days in [None, Some(101)] {
        maintain(days);
        harness.read(move |store| {
            let request = store.auth_request(asked.id)?.unwrap();
            assert_eq!((request.grant_id, request.decided_at.is_some()), (Some(grant), true));
            let token = store.token(id, token)?.unwrap();
            assert_eq!(
                (token.method, token.issued_at),
                (Some(IssueMethod::Exchange), request.created_at)
            );
            assert!(store.grant(id, grant)?.unwrap().revoked_at.is_some());
            assert_eq!(debits(store)?, 10);
            assert!(store.auth_request(unused.id)?.is_none(), "it became no grant");
            Ok(())
        });
    }
    assert!(maintain(Some(99)) >= 3, "in slices");
    harness.read(move |store| {
        assert!(store.auth_request(asked.id)?.is_none() && store.token(id, token)?.is_none());
        assert!(store.grant(id, grant)?.is_none() && store.budget(id, grant)?.is_none());
        assert_eq!(debits(store)?, 0);
        Ok(())
    });
}
