//! State: transactions, isolation of tenants, pages, listeners.

use std::collections::HashSet;
use std::sync::Arc;

use grantex_core::model::{AskedBudget, RefreshToken, Token};
use grantex_core::store::{self, Change, Ended, GrantFilter, KeptAnswer, Page, QueryKind};
use grantex_core::usecase::{agents, consent, developers};
use grantex_core::{Error, StoreError};
use grantex_types::api::agents::{AgentStatus, UpdateAgentRequest};
use grantex_types::api::authorization::{AuthorizeRequest, ConsentStatus, RequestedBudget};
use grantex_types::api::grants::GrantStatus;
use grantex_types::event::IssueMethod;
use grantex_types::{AgentId, Amount, GrantId, RefreshId, Timestamp, TokenId};

use super::harness::{Case, Harness, append, grant};

/// The cases about state, by name.
pub const CASES: &[Case] = &[
    ("a failed command undoes itself alone", a_failed_command_undoes_itself_alone),
    ("a panicking command fails alone", a_panicking_command_fails_alone),
    ("what was answered survives", what_was_answered_survives),
    ("notices are of commits only and in order", notices_are_of_commits_only_and_in_order),
    ("a snapshot does not move", a_snapshot_does_not_move),
    ("tenants are apart", tenants_are_apart),
    ("lists page newest first", lists_page_newest_first),
    ("grants are found by every filter", grants_are_found_by_every_filter),
    ("keys and addresses are found", keys_and_addresses_are_found),
    ("families answers and purges", families_answers_and_purges),
    ("requests know their grant", requests_know_their_grant),
    ("the agents above a grant come nearest first", the_agents_above_a_grant_come_nearest_first),
    ("notices name an agent whose state changed", notices_name_an_agent_whose_state_changed),
];

fn a_failed_command_undoes_itself_alone(harness: Harness) {
    let (developer, _) = harness.developer();
    let id = developer.developer_id;
    // All at once, so that they share commits.
    let commands: Vec<_> = (0..100_u64)
        .map(|n| {
            let store = Arc::clone(&harness.store);
            harness.spawn(async move {
                store::write(store.as_ref(), id, store::Needs::NONE, "test", move |tx| {
                    let event = append(tx, id, n)?;
                    if n % 3 == 0 { Err(Error::bad_request("no")) } else { Ok(event) }
                })
                .await
            })
        })
        .collect();
    let kept: HashSet<_> = commands
        .into_iter()
        .filter_map(|command| harness.block(command).unwrap().ok())
        .map(|event| event.id)
        .collect();
    let log = harness.read(move |store| Ok(store.events(id, 0, 1000, usize::MAX)?));
    assert_eq!(log.len(), 66);
    assert_eq!(log.iter().map(|event| event.id).collect::<HashSet<_>>(), kept);
    assert!(log.iter().enumerate().all(|(n, event)| event.position == n as u64 + 1), "dense");
}

fn a_panicking_command_fails_alone(harness: Harness) {
    let (developer, _) = harness.developer();
    let id = developer.developer_id;
    let failed = harness.write(move |tx| -> grantex_core::Result<()> {
        append(tx, id, 1)?;
        panic!("a defect")
    });
    assert!(matches!(failed, Err(Error::Store(StoreError::Internal(_)))));
    harness.append(id, 1);
    assert_eq!(harness.read(move |store| Ok(store.log_bounds(id)?)).head, 1);
}

fn what_was_answered_survives(harness: Harness) {
    let (developer, caller) = harness.developer();
    let agent = harness.agent(caller);
    let events = harness.append(developer.developer_id, 3);
    let harness = harness.reopen();
    let id = developer.developer_id;
    assert_eq!(harness.read(move |store| Ok(store.events(id, 0, 10, usize::MAX)?)), events);
    let again = harness.read(move |store| agents::get(store, &caller, agent.agent_id));
    assert_eq!(again.name, "Agent");
    // Positions go on where they were.
    assert_eq!(harness.append(id, 1)[0].position, 4);
}

fn notices_are_of_commits_only_and_in_order(harness: Harness) {
    let (developer, caller) = harness.developer();
    let id = developer.developer_id;
    let appended = harness.append(id, 5);
    let _ = harness.write(move |tx| -> grantex_core::Result<()> {
        append(tx, id, 9)?;
        let key = tx.key(id, caller.key_id)?.unwrap();
        tx.revoke_key(&key, Timestamp::EPOCH)?;
        Err(Error::bad_request("no"))
    });
    assert!(harness.recorded.changes.lock().is_empty());
    harness.write(move |tx| developers::revoke_key(tx, &caller, caller.key_id)).unwrap();
    // The listener has the changes before the command is answered.
    assert!(matches!(harness.recorded.changes.lock()[..], [Change::KeyRevoked { key_id, .. }]
            if key_id == caller.key_id));
    // Events after it: the next answer comes after those of the commit before.
    let more = harness.append(id, 2);
    harness.append(id, 1);
    let recorded: Vec<_> =
        harness.recorded.events.lock().iter().map(|(_, event)| event.clone()).take(7).collect();
    assert_eq!(recorded, [appended, more].concat());
}

fn a_snapshot_does_not_move(harness: Harness) {
    let (developer, _) = harness.developer();
    let id = developer.developer_id;
    harness.append(id, 3);
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let store = Arc::clone(&harness.store);
    let reader = harness.spawn(async move {
        store::read(store.as_ref(), id, QueryKind::Point, move |store| {
            let before = store.log_bounds(id)?;
            begun.send(()).unwrap();
            may_go_on.recv().unwrap();
            Ok((before, store.log_bounds(id)?, store.events(id, 0, 10, usize::MAX)?.len()))
        })
        .await
        .unwrap()
    });
    has_begun.recv().unwrap();
    harness.append(id, 3);
    go_on.send(()).unwrap();
    let (before, after, count) = harness.block(reader).unwrap();
    assert_eq!((before, count), (after, 3));
}

fn tenants_are_apart(harness: Harness) {
    let ((one, caller), (two, other)) = (harness.developer(), harness.developer());
    let agent = harness.agent(caller);
    let (id, stranger) = (one.developer_id, two.developer_id);
    harness.append(id, 2);
    let event = harness.append(stranger, 1).remove(0);
    assert_eq!(event.position, 1, "each has a log of its own");
    let grant = harness.write(move |tx| grant(tx, id, agent.agent_id, None)).unwrap();
    harness.read(move |store| {
        assert!(store.agent(stranger, agent.agent_id)?.is_none());
        assert!(store.grant(stranger, grant.id)?.is_none());
        assert!(store.key(stranger, caller.key_id)?.is_none());
        assert!(store.key(stranger, other.key_id)?.is_some());
        assert!(store.position_of(id, event.id)?.is_none());
        let page = Page { after: None, offset: 0, limit: 10 };
        assert!(store.agents(stranger, page)?.is_empty());
        assert!(
            store
                .grants(
                    stranger,
                    &GrantFilter::default(),
                    Page { after: None, offset: 0, limit: 10 }
                )?
                .rows
                .is_empty()
        );
        Ok(())
    });
}

fn lists_page_newest_first(harness: Harness) {
    let (developer, caller) = harness.developer();
    let mut ids: Vec<AgentId> = (0..7)
        .map(|_| {
            harness.turn_clock(1);
            harness.agent(caller).agent_id
        })
        .collect();
    ids.reverse();
    let id = developer.developer_id;
    let page = move |harness: &Harness, after, offset, limit| -> Vec<AgentId> {
        harness
            .read(move |store| Ok(store.agents(id, Page { after, offset, limit })?))
            .iter()
            .map(|agent| agent.agent_id)
            .collect()
    };
    assert_eq!(page(&harness, None, 0, 3), ids[..3]);
    assert_eq!(page(&harness, Some(ids[2]), 0, 3), ids[3..6]);
    assert_eq!(page(&harness, None, 6, 3), ids[6..]);
    let deleted = ids[0];
    harness.write(move |tx| agents::delete(tx, &caller, deleted)).unwrap();
    assert_eq!(page(&harness, None, 0, 10), ids[1..]);
}

fn grants_are_found_by_every_filter(harness: Harness) {
    let (developer, caller) = harness.developer();
    let (one, two) = (harness.agent(caller).agent_id, harness.agent(caller).agent_id);
    let id = developer.developer_id;
    let (first, second) = harness
        .write(move |tx| Ok((grant(tx, id, one, None)?, grant(tx, id, two, None)?)))
        .unwrap();
    harness.write(move |tx| Ok(tx.revoke_grant(id, second.id, Timestamp::EPOCH)?)).unwrap();
    let count = |agent_id, status: Option<GrantStatus>, principal: &str| {
        let filter = GrantFilter { agent_id, status, principal_id: Some(principal.to_owned()) };
        harness
            .read(move |store| {
                Ok(store.grants(id, &filter, Page { after: None, offset: 0, limit: 10 })?.rows)
            })
            .len()
    };
    assert_eq!(count(None, None, "user"), 2);
    assert_eq!(count(None, None, "nobody"), 0);
    assert_eq!(count(Some(one), None, "user"), 1);
    assert_eq!(
        (
            count(None, Some(GrantStatus::Active), "user"),
            count(None, Some(GrantStatus::Revoked), "user")
        ),
        (1, 1)
    );
    harness.turn_clock(3_600_000);
    assert_eq!(
        (
            count(None, Some(GrantStatus::Active), "user"),
            count(None, Some(GrantStatus::Expired), "user")
        ),
        (0, 1)
    );
    let shown = harness.read(move |store| Ok((store.grant(id, first.id)?.unwrap(), store.now())));
    assert_eq!(shown.0.status(shown.1), GrantStatus::Expired);
}

fn keys_and_addresses_are_found(harness: Harness) {
    let (developer, caller) = harness.developer();
    let id = developer.developer_id;
    harness.read(move |store| {
        let key = store.key(id, caller.key_id)?.unwrap();
        assert_eq!(store.key_by_hash(&key.hash)?.unwrap().id, key.id);
        assert!(store.key_by_hash(&[7; 32])?.is_none());
        assert!(!store.email_taken("a@b.example")?);
        assert_eq!(store.developer(id)?.unwrap().name, "Test");
        Ok(())
    });
    harness.write(move |tx| developers::revoke_key(tx, &caller, caller.key_id)).unwrap();
    harness.read(move |store| {
        assert!(store.key(id, caller.key_id)?.unwrap().revoked_at.is_some());
        Ok(())
    });
}

fn families_answers_and_purges(harness: Harness) {
    let (developer, caller) = harness.developer();
    let agent = harness.agent(caller).agent_id;
    let id = developer.developer_id;
    let refresh = move |n, grant_id, end| RefreshToken {
        id: RefreshId::from_parts(1, n),
        developer_id: id,
        grant_id,
        expires_at: Timestamp::from_millis(end),
        spent_at: None,
        ended_at: None,
    };
    assert!(!harness.read(|store| Ok(store.holds_derived_secrets()?)));
    harness
        .write(move |tx| {
            let grant = grant(tx, id, agent, None)?;
            let (first, second) = (refresh(1, grant.id, 50), refresh(2, grant.id, 500));
            tx.insert_refresh_token(&first)?;
            tx.spend_refresh_token(&first, Timestamp::from_millis(5))?;
            tx.insert_refresh_token(&second)?;
            let (first, second) = (
                tx.refresh_token(id, first.id)?.unwrap(),
                tx.refresh_token(id, second.id)?.unwrap(),
            );
            assert_eq!((first.spent_at.map(Timestamp::millis), first.ended_at), (Some(5), None));
            assert_eq!((second.spent_at, second.ended_at), (None, None));

            for (n, end) in [(1, 50), (2, 500)] {
                let token = Token {
                    id: TokenId::from_parts(1, n),
                    developer_id: id,
                    grant_id: grant.id,
                    issued_at: Timestamp::from_millis(1),
                    method: Some(IssueMethod::Exchange),
                    expires_at: Timestamp::from_millis(end),
                    revoked_at: None,
                };
                tx.insert_token(&token, "kid")?;
            }
            assert_eq!(tx.signatures_expire_at("kid")?.map(Timestamp::millis), Some(500));
            assert_eq!(tx.key_fingerprint("master.key")?, None);
            tx.put_key_fingerprint("master.key", b"one")?;
            tx.put_key_fingerprint("master.key", b"two")?;
            assert_eq!(tx.key_fingerprint("master.key")?.as_deref(), Some(&b"two"[..]));

            let answer = |n: u8, at| KeptAnswer {
                body_hash: [n; 32],
                outcome: vec![n],
                created_at: Timestamp::from_millis(at),
            };
            tx.keep_answer(id, "route", "key", &answer(1, 10), None)?;
            tx.keep_answer(id, "route", "key", &answer(2, 90), Some(&answer(1, 10)))?;
            tx.keep_answer(id, "other route", "key", &answer(3, 10), None)?;
            assert_eq!(tx.kept_answer(id, "route", "key")?.unwrap().outcome, [2]);
            // One answer, one token, one refresh token are over.
            let history = Some(Timestamp::from_millis(60));
            let ended =
                Ended { answers: Timestamp::from_millis(60), requests: Timestamp::EPOCH, history };
            assert_eq!(tx.purge(&ended, 2)?, 2, "in slices");
            assert_eq!(tx.purge(&ended, 2)?, 1);
            assert!(
                tx.kept_answer(id, "other route", "key")?.is_none()
                    && tx.kept_answer(id, "route", "key")?.is_some()
            );
            assert!(
                tx.token(id, TokenId::from_parts(1, 1))?.is_none()
                    && tx.token(id, TokenId::from_parts(1, 2))?.is_some()
            );
            Ok(())
        })
        .unwrap();
    assert!(harness.read(|store| Ok(store.holds_derived_secrets()?)));
    let needed = |at| harness.read(move |store| Ok(store.kids_needed(Timestamp::from_millis(at))?));
    assert_eq!(needed(499), ["kid"]);
    assert!(needed(500).is_empty());
    harness.write(|tx| Ok(tx.forget_signing_key("kid")?)).unwrap();
    assert!(needed(0).is_empty());
}

fn requests_know_their_grant(harness: Harness) {
    let stranger = harness.developer().0.developer_id;
    let (_, caller) = harness.developer();
    let agent = harness.agent(caller).agent_id.to_string();
    harness
        .write(move |tx| {
            let request = AuthorizeRequest {
                agent_id: agent.clone(),
                principal_id: "user".into(),
                scopes: vec!["a".into()],
                budget: Some(RequestedBudget {
                    initial_budget: Amount::MAX,
                    currency: Some("EUR".into()),
                }),
                ..AuthorizeRequest::default()
            };
            let mut request = consent::authorize(tx, &caller, request)?;
            assert_eq!(tx.auth_request(request.id)?.unwrap().grant_id, None);
            request.status = ConsentStatus::Exchanged;
            request.grant_id = Some(GrantId::from_parts(1, 1));
            tx.update_auth_request(&request, ConsentStatus::Approved)?;
            let stored = tx.auth_request(request.id)?.unwrap();
            assert_eq!((stored.status, stored.grant_id), (request.status, request.grant_id));
            let of = |developer| tx.request_of_grant(developer, GrantId::from_parts(1, 1));
            assert_eq!(of(caller.developer_id)?.map(|found| found.id), Some(request.id));
            assert!(of(stranger)?.is_none());
            assert_eq!(
                stored.budget,
                Some(AskedBudget { initial_budget: Amount::MAX, currency: "EUR".into() })
            );
            Ok(())
        })
        .unwrap();
}

fn the_agents_above_a_grant_come_nearest_first(harness: Harness) {
    let (developer, caller) = harness.developer();
    let (stranger, _) = harness.developer();
    let (id, stranger) = (developer.developer_id, stranger.developer_id);
    let agents: Vec<AgentId> = (0..11).map(|_| harness.agent(caller).agent_id).collect();
    harness
        .write(move |tx| {
            let mut above: Vec<AgentId> = Vec::new();
            let mut parent = None;
            for agent in agents.iter().copied() {
                let below = grant(tx, id, agent, parent.as_ref())?;
                assert_eq!(tx.agents_above(id, below.id)?, above);
                assert!(tx.agents_above(stranger, below.id)?.is_empty());
                above.insert(0, agent);
                parent = Some(below);
            }
            Ok(())
        })
        .unwrap();
}

fn notices_name_an_agent_whose_state_changed(harness: Harness) {
    let (_, caller) = harness.developer();
    let id = harness.agent(caller).agent_id;
    harness.recorded.changes.lock().clear();
    let recorded = || {
        let changes = std::mem::take(&mut *harness.recorded.changes.lock());
        changes
            .iter()
            .filter(
                |change| matches!(change, Change::AgentChanged { agent_id, .. } if *agent_id == id),
            )
            .count()
    };
    for status in [AgentStatus::Suspended, AgentStatus::Active] {
        let change = UpdateAgentRequest { status: Some(status), ..UpdateAgentRequest::default() };
        harness.write(move |tx| agents::update(tx, &caller, id, change.clone())).unwrap();
        assert_eq!(recorded(), 1, "{status:?}");
    }
    harness.write(move |tx| agents::delete(tx, &caller, id)).unwrap();
    assert_eq!(recorded(), 1);
}
