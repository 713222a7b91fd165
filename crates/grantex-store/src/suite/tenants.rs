//! What belongs to a developer as a tenant: its audit trail, its principals' sessions, its
//! suspension.

use grantex_core::model::{Actor, ActorKind, Caller, ScopeName};
use grantex_core::store::{Change, Page, Tx};
use grantex_core::usecase::audit::{self, Action};
use grantex_core::usecase::{agents, developers, operators, sessions};
use grantex_types::{Lifetime, SessionId, Timestamp};

use super::harness::{Case, Harness, grant};

/// The cases about tenants, by name.
pub const CASES: &[Case] = &[
    ("the audit trail is per developer and bounded", the_audit_trail_is_per_developer_and_bounded),
    ("sessions are listed ended and purged", sessions_are_listed_ended_and_purged),
    ("a session ends once", a_session_ends_once),
    ("a suspension is in a notice, and ends", a_suspension_is_in_a_notice_and_ends),
    ("names of scopes are their developer's", names_of_scopes_are_their_developers),
    (
        "what a developer has is counted where it changes",
        what_a_developer_has_is_counted_where_it_changes,
    ),
];

fn the_audit_trail_is_per_developer_and_bounded(harness: Harness) {
    let ((one, caller), (two, other)) = (harness.developer(), harness.developer());
    let id = one.developer_id;
    for n in 1..=5_u64 {
        harness.turn_clock(1000);
        harness
            .write(move |tx| {
                let (by, name) = (Actor::api_key(caller.key_id), n.to_string());
                audit::note(
                    tx,
                    id,
                    by,
                    Action::KeyRevoked,
                    &caller.key_id.to_string(),
                    &[("name", &name)],
                )
            })
            .unwrap();
    }
    let page = |after, limit| {
        harness.read(move |store| audit::list(store, &caller, Page { after, offset: 0, limit }))
    };
    let newest = page(None, 3);
    let names: Vec<_> = newest.iter().map(|entry| entry.details["name"].clone()).collect();
    assert_eq!(names, ["5", "4", "3"]);
    assert_eq!(
        newest[0].actor,
        Actor { kind: ActorKind::ApiKey, id: Some(caller.key_id.to_string()) }
    );
    assert_eq!(
        (newest[0].action.as_str(), newest[0].target.clone()),
        ("key.revoked", caller.key_id.to_string())
    );
    let rest = page(Some(newest[2].id), 10);
    assert_eq!(
        rest.last().map(|entry| (entry.actor.kind, entry.action.as_str())),
        Some((ActorKind::System, "key.created"))
    );
    assert_eq!(rest.len(), 3, "two notes, and the first key's");

    let before = newest[1].created_at;
    assert_eq!(
        harness.write(move |tx| Ok(tx.purge_audit(before, 4)?)).unwrap(),
        4,
        "the oldest, of both"
    );
    assert_eq!(harness.write(move |tx| Ok(tx.purge_audit(before, 4)?)).unwrap(), 1);
    assert_eq!(page(None, 10).len(), 2);
    let stranger = harness
        .read(move |store| audit::list(store, &other, Page { after: None, offset: 0, limit: 10 }));
    assert!(stranger.is_empty() && two.developer_id == other.developer_id);
}

fn sessions_are_listed_ended_and_purged(harness: Harness) {
    let ((one, caller), (_, other)) = (harness.developer(), harness.developer());
    let id = one.developer_id;
    let open = |by: Caller, principal: &str, seconds| {
        harness.turn_clock(1);
        let principal = principal.to_owned();
        harness
            .write(move |tx| {
                sessions::open(tx, &by, principal.clone(), Lifetime::from_seconds(seconds))
            })
            .unwrap()
    };
    let first = open(caller, "user-1", 10);
    let rest =
        [open(caller, "user-2", 3600), open(caller, "user-1", 3600), open(other, "user-1", 3600)];
    let list = |principal: Option<&'static str>| {
        let page = Page { after: None, offset: 0, limit: 10 };
        let sessions = harness.read(move |store| sessions::list(store, &caller, principal, page));
        sessions.into_iter().map(|session| session.session_id).collect::<Vec<_>>()
    };
    assert_eq!(list(None), [rest[1].session_id, rest[0].session_id, first.session_id]);
    assert_eq!(list(Some("user-1")), [rest[1].session_id, first.session_id]);
    let works = |developer, session: SessionId| {
        harness.read(move |store| Ok(sessions::working(store, developer, session).is_ok()))
    };
    assert!(works(id, first.session_id) && !works(other.developer_id, first.session_id));

    harness.turn_clock(10_000);
    assert!(!works(id, first.session_id) && works(id, rest[0].session_id));
    assert_eq!(list(Some("user-1")), [rest[1].session_id]);
    let now = Timestamp::from_millis(harness.clock.0.load(std::sync::atomic::Ordering::SeqCst));
    assert_eq!(harness.write(move |tx| Ok(tx.purge_sessions(now, 10)?)).unwrap(), 1);
    assert!(!harness.write(move |tx| sessions::end_some(tx, &caller, "user-1")).unwrap());
    assert_eq!(list(None), [rest[0].session_id]);
    assert!(
        works(other.developer_id, rest[2].session_id),
        "another developer's principal is another"
    );
    harness.write(move |tx| developers::revoke_key(tx, &caller, caller.key_id)).unwrap();
    assert!(!works(id, rest[0].session_id));
}

fn a_session_ends_once(harness: Harness) {
    let ((_, caller), (_, other)) = (harness.developer(), harness.developer());
    let lifetime = Lifetime::from_seconds(60);
    let session =
        harness.write(move |tx| sessions::open(tx, &caller, "user".into(), lifetime)).unwrap();
    let (id, mine, theirs) = (session.session_id, caller.developer_id, other.developer_id);
    let end = |of| harness.write(move |tx| Ok(tx.delete_session(of, id)?)).unwrap();
    assert!(!end(theirs), "it is another developer's");
    assert!(harness.read(move |store| Ok(store.session(mine, id)?)).is_some());
    assert!(end(mine) && !end(mine));
    assert!(harness.read(move |store| Ok(store.session(mine, id)?)).is_none());
}

fn a_suspension_is_in_a_notice_and_ends(harness: Harness) {
    let ((one, caller), (two, _)) = (harness.developer(), harness.developer());
    let id = one.developer_id;
    let suspended = || {
        harness.read(move |store| {
            let key = store.key(id, caller.key_id)?.unwrap();
            assert_eq!(store.key_by_hash(&key.hash)?.unwrap().is_suspended, key.is_suspended);
            assert!(store.tenant(two.developer_id)?.unwrap().suspended_at.is_none());
            assert_eq!(store.tenant(id)?.unwrap().suspended_at.is_some(), key.is_suspended);
            Ok(key.is_suspended)
        })
    };
    harness.write(move |tx| operators::suspend(tx, id, Actor::operator("uid 0"), None)).unwrap();
    assert!(suspended());
    assert!(
        matches!(harness.recorded.changes.lock()[..], [Change::DeveloperSuspended(it)] if it == id)
    );
    harness.write(move |tx| operators::resume(tx, id, Actor::operator("uid 0"), None)).unwrap();
    assert!(!suspended());
    let all =
        harness.read(|store| operators::list(store, Page { after: None, offset: 0, limit: 10 }));
    assert_eq!(all.len(), 2);
}

fn names_of_scopes_are_their_developers(harness: Harness) {
    let ((one, _), (two, _)) = (harness.developer(), harness.developer());
    let (id, other) = (one.developer_id, two.developer_id);
    let put = |developer, scope: &str, name: &str| {
        let (scope, name) = (scope.to_owned(), name.to_owned());
        let put = move |tx: &mut dyn Tx| {
            let updated_at = tx.now();
            let name = ScopeName {
                scope: scope.clone(),
                name: name.clone(),
                description: String::new(),
                updated_at,
            };
            Ok(tx.put_scope_name(developer, &name)?)
        };
        harness.write(put).unwrap();
    };
    for (developer, scope, name) in
        [(id, "b", "B"), (id, "a", "A"), (other, "a", "other"), (id, "b", "again")]
    {
        put(developer, scope, name);
    }
    let names = |developer, limit| {
        let names = harness.read(move |store| Ok(store.scope_names(developer, limit)?));
        names.into_iter().map(|name| (name.scope, name.name)).collect::<Vec<_>>()
    };
    let pair = |scope: &str, name: &str| (scope.to_owned(), name.to_owned());
    assert_eq!(names(id, 10), [pair("a", "A"), pair("b", "again")]);
    assert_eq!(names(id, 1), [pair("a", "A")]);
    let of = |developer| harness.read(move |store| Ok(store.scope_name(developer, "b")?));
    assert!(of(id).unwrap().name == "again" && of(other).is_none());

    // Its bytes count: they gather, and get to the developer's row with 64 KiB.
    let before = harness.read(move |store| Ok(store.usage(id)?.bytes));
    for n in 0..200 {
        put(id, &format!("long-{n}"), &"n".repeat(400));
    }
    let after = harness.read(move |store| Ok(store.usage(id)?.bytes));
    assert!(after - before >= 64 << 10, "{before} {after}");
    let delete =
        |developer| harness.write(move |tx| Ok(tx.delete_scope_name(developer, "a")?)).unwrap();
    assert!(delete(id) && !delete(id));
    assert!(harness.read(move |store| Ok(store.usage(id)?.bytes)) < after);
    assert_eq!(names(other, 10), [pair("a", "other")], "another developer's stays");
}

fn what_a_developer_has_is_counted_where_it_changes(harness: Harness) {
    let ((one, caller), (two, _)) = (harness.developer(), harness.developer());
    let id = one.developer_id;
    let usage = |developer| harness.read(move |store| Ok(store.usage(developer)?));
    let agent = harness.agent(caller).agent_id;
    let other = harness.agent(caller).agent_id;
    let (first, second, third) = harness
        .write(move |tx| {
            let first = grant(tx, id, agent, None)?;
            Ok((first.clone(), grant(tx, id, other, Some(&first))?, grant(tx, id, agent, None)?))
        })
        .unwrap();
    assert_eq!((usage(id).agents, usage(id).grants), (2, 3));
    // A command that fails counts nothing.
    let failed = harness.write(move |tx| {
        grant(tx, id, agent, None)?;
        Err::<(), _>(grantex_core::Error::bad_request("no"))
    });
    assert!(failed.is_err() && usage(id).grants == 3);
    for _ in 0..2 {
        let now = first.issued_at;
        harness.write(move |tx| Ok(tx.revoke_grant(id, second.id, now)?)).unwrap();
        assert_eq!(usage(id).grants, 2, "once, however often");
    }
    harness.turn_clock(3_600_000);
    let now = first.expires_at;
    assert_eq!(harness.write(move |tx| Ok(tx.lapse(id, now, 10)?)).unwrap(), 2);
    harness.write(move |tx| Ok(tx.revoke_grant(id, third.id, now)?)).unwrap();
    assert_eq!(usage(id).grants, 0, "one that lapsed is not counted twice");
    harness.write(move |tx| agents::delete(tx, &caller, other)).unwrap();
    assert_eq!(usage(id).agents, 1);

    let before = usage(id).bytes;
    let events = harness.append(id, 10);
    let size: u64 = events.iter().map(|event| event.envelope.len() as u64 + 200).sum();
    assert_eq!(usage(id).bytes - before, size);
    harness.write(move |tx| Ok(tx.trim(id, 4, 100)?)).unwrap();
    let trimmed: u64 = events[..4].iter().map(|event| event.envelope.len() as u64 + 200).sum();
    assert_eq!(usage(id).bytes - before, size - trimmed);
    // What comes without an event gathers, and gets there with 64 KiB.
    harness
        .write(move |tx| {
            for n in 0..400_u64 {
                let by = Actor::api_key(caller.key_id);
                audit::note(tx, id, by, Action::KeyRevoked, "key", &[("n", &n.to_string())])?;
            }
            Ok(())
        })
        .unwrap();
    assert!(usage(id).bytes - before > size - trimmed + (64 << 10));
    assert_eq!(usage(two.developer_id).agents, 0);
}
