use serde_json::json;

use crate::support::{Service, ids, until};

#[tokio::test]
async fn history_pages_filters_and_finds_by_time() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let first = client.token_for(&agent, "user-1", &["a"], "24h").await;
    service.clock.advance(60);
    let middle = grantex_core::env::Clock::now(service.clock.as_ref());
    let second = client.token_for(&agent, "user-2", &["a"], "24h").await;
    client.delete(&format!("/v1/grants/{}", first.grant)).await.ok(204);
    let log = client.log().await;
    assert_eq!(log.len(), 5);
    let ordered: Vec<String> = ids(&log);
    assert!(ordered.is_sorted(), "ids grow in log order");

    let list = |query: String| {
        let client = client.clone();
        async move {
            ids(client.get(&format!("/v1/events?{query}")).await.ok(200)["events"]
                .as_array()
                .unwrap())
        }
    };
    assert_eq!(list(format!("since={middle}")).await, ordered[2..]);
    assert_eq!(list("since=1999-01-01T00:00:00Z".into()).await, ordered);
    assert_eq!(list("since=2999-01-01T00:00:00%2B01:00".into()).await, Vec::<String>::new());
    assert_eq!(list(format!("after={}", ordered[3])).await, ordered[4..]);
    assert_eq!(list("types=grant.revoked".into()).await, ordered[4..]);
    // Filters test the grant's agent and principal, also where the payload does not name them.
    assert_eq!(
        list("principalId=user-1".into()).await,
        [&ordered[0], &ordered[1], &ordered[4]].map(Clone::clone)
    );
    assert_eq!(list(format!("grantId={}", second.grant)).await, ordered[2..4]);
    assert_eq!(
        list(format!("agentId={agent}&types=token.issued")).await,
        [ordered[1].clone(), ordered[3].clone()]
    );
    // The cursor goes on past what a filter hid.
    let page = client.get("/v1/events?types=grant.revoked&limit=1").await.ok(200);
    assert_eq!(page["nextCursor"], json!(null));
    let page = client.get("/v1/events?limit=2").await.ok(200);
    assert_eq!(page["nextCursor"], ordered[1].as_str());
    assert_eq!(
        service.sandbox().await.log().await,
        Vec::<serde_json::Value>::new(),
        "another tenant sees nothing"
    );
    for bad in [
        "limit=0",
        "limit=1001",
        "since=yesterday",
        "after=x",
        "after=grnt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA",
        "agentId=x",
        "grantId=x",
        "types=,",
        "order=newest",
        "until=tomorrow",
        "before=x",
    ] {
        client.get(&format!("/v1/events?{bad}")).await.refused(400, "BAD_REQUEST");
    }
}

#[tokio::test]
async fn history_is_read_backwards_and_between_places() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    client.token_for(&agent, "user-1", &["a"], "24h").await;
    service.clock.advance(60);
    let middle = grantex_core::env::Clock::now(service.clock.as_ref());
    client.token_for(&agent, "user-2", &["a"], "24h").await;
    service.clock.advance(60);
    client.token_for(&agent, "user-3", &["a"], "24h").await;
    let log = ids(&client.log().await);
    let page = async |query: String| {
        let page = client.get(&format!("/v1/events?{query}")).await.ok(200);
        assert_eq!((&page["oldest"], &page["head"]), (&json!(1), &json!(6)));
        let shown = ids(page["events"].as_array().unwrap());
        let positions: Vec<String> = page["positions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|position| log[usize::try_from(position.as_u64().unwrap()).unwrap() - 1].clone())
            .collect();
        assert_eq!(positions, shown);
        (shown, page["nextCursor"].as_str().map(str::to_owned))
    };
    let backwards: Vec<String> = log.iter().rev().cloned().collect();
    assert_eq!(page("order=desc".into()).await, (backwards.clone(), None));
    assert_eq!(page("order=asc".into()).await, (log.clone(), None));
    for limit in 1..=6 {
        let (mut got, mut place) = (Vec::new(), String::new());
        loop {
            let (shown, next) = page(format!("order=desc&limit={limit}{place}")).await;
            assert!(shown.len() <= limit && !shown.is_empty());
            got.extend(shown);
            let Some(next) = next else { break };
            place = format!("&before={next}");
        }
        assert_eq!(got, backwards);
    }
    // The same part of the log both ways.
    for (query, expected) in [
        (format!("until={middle}"), &log[..2]),
        (format!("since={middle}"), &log[2..]),
        (format!("since={middle}&before={}", log[4]), &log[2..4]),
        (format!("after={}&before={}", log[0], log[3]), &log[1..3]),
        (format!("after={}&before={}", log[0], log[1]), &[]),
        (format!("after={}&before={}", log[3], log[1]), &[]),
        (format!("before={}&until=2000-01-01T00:00:00Z", log[1]), &log[..1]),
        ("until=2999-01-01T00:00:00Z".into(), &log[..]),
        (format!("before={}", log[0]), &[]),
    ] {
        assert_eq!(page(query.clone()).await, (expected.to_vec(), None), "{query}");
        let (mut shown, next) = page(format!("order=desc&{query}")).await;
        shown.reverse();
        assert_eq!((shown, next), (expected.to_vec(), None), "{query}");
    }
    // The cursor goes on past what a filter hid.
    let (shown, next) = page("order=desc&principalId=user-1&limit=1".into()).await;
    assert_eq!((shown, next.as_deref()), (vec![log[1].clone()], Some(log[1].as_str())));
    for query in
        ["before=evt_7ZZZZZZZZZZZZZZZZZZZZZZZZZ".to_owned(), format!("before={}Z", &log[3][..29])]
    {
        client.get(&format!("/v1/events?{query}")).await.refused(410, "EVENT_UNKNOWN");
    }
}

#[tokio::test]
async fn one_event_is_found_by_its_id_by_its_developer() {
    let mut service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    for _ in 0..3 {
        client.token(&agent).await;
    }
    let log = client.log().await;
    for (event, position) in log.iter().zip(1..) {
        let shown =
            client.get(&format!("/v1/events/{}", event["id"].as_str().unwrap())).await.ok(200);
        assert_eq!(shown, json!({"position": position, "event": event}));
    }
    let id = log[4]["id"].as_str().unwrap();
    for unknown in
        ["evt_00000000000000000000000000", "evt_7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "x", &id[4..]]
    {
        client.get(&format!("/v1/events/{unknown}")).await.refused(404, "NOT_FOUND");
    }
    let stranger = service.sandbox().await;
    stranger.get(&format!("/v1/events/{id}")).await.refused(404, "NOT_FOUND");
    service.anonymous().get(&format!("/v1/events/{id}")).await.refused(401, "UNAUTHORIZED");

    service.settings_mut().retention.count = 2;
    service.restart().await;
    until("the log is trimmed", || async { client.log().await.len() == 2 }).await;
    client.get(&format!("/v1/events/{id}")).await.ok(200);
    for gone in &log[..4] {
        let answer = client.get(&format!("/v1/events/{}", gone["id"].as_str().unwrap())).await;
        assert_eq!(answer.body["oldestEventId"], *id);
        answer.refused(410, "EVENTS_EXPIRED");
    }
    // Whoever reads backwards comes to the end of what is retained.
    let gone = log[2]["id"].as_str().unwrap();
    let page = client.get(&format!("/v1/events?order=desc&before={gone}")).await.ok(200);
    assert_eq!(
        page,
        json!({"events": [], "positions": [], "nextCursor": null, "oldest": 5, "head": 6})
    );
}

#[tokio::test]
async fn a_parameter_that_a_list_does_not_know_is_refused_with_the_nearest_name() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let grant = client.budget("10").await;
    let session =
        client.post("/v1/principal-sessions", &json!({"principalId": "user-1"})).await.ok(201);
    let mut principal = service.anonymous();
    principal.key = session["sessionToken"].as_str().unwrap().to_owned();
    let transactions = format!("/v1/budget/transactions/{grant}");
    for (path, query, nearest) in [
        ("/v1/events", "type=grant.revoked", "types"),
        ("/v1/events", "limit=1&Since=2020-01-01T00:00:00Z", "since"),
        ("/v1/events", "grant_id=x", "grantId"),
        ("/v1/grants", "principal=user-1", "principalId"),
        ("/v1/grants", "stats=active", "status"),
        ("/v1/agents", "pagesize=1", "pageSize"),
        ("/v1/keys", "lmit=1", "limit"),
        ("/v1/audit/entries", "afte=x", "after"),
        ("/v1/principal-sessions", "principalid=x", "principalId"),
        ("/v1/budget/allocations", "pages=1", "page"),
        (transactions.as_str(), "%70%61ges=1", "page"),
        ("/v1/principal/grants", "pag=1", "page"),
    ] {
        let caller = if path == "/v1/principal/grants" { &principal } else { &client };
        let told = caller.get(&format!("{path}?{query}")).await.refused(400, "BAD_REQUEST");
        assert!(told.contains(&format!("did you mean {nearest}?")), "{path}?{query}: {told}");
    }
    // Nothing is near to these; the names that there are help more.
    for query in ["=1", "x=1", "colour=blue"] {
        let told = client.get(&format!("/v1/keys?{query}")).await.refused(400, "BAD_REQUEST");
        assert!(
            told.contains("(known: limit") && !told.contains("did you mean"),
            "{query}: {told}"
        );
    }
    for query in ["principalId=%ff", "principalId=%C3", "types=%ED%A0%80"] {
        let told = client.get(&format!("/v1/events?{query}")).await.refused(400, "BAD_REQUEST");
        assert!(told.contains("UTF-8"), "{query}: {told}");
    }
    assert_eq!(
        client.get("/v1/events?principalId=%C3%A9+%C3%A9&").await.ok(200)["events"],
        json!([])
    );
}

#[tokio::test]
async fn times_never_go_back_even_if_the_clock_does() {
    let mut service = Service::start().await;
    service.clock.advance(3600);
    let client = service.sandbox().await;
    let agent = client.agent().await;
    client.token(&agent).await;
    // A new clock, an hour behind the log.
    let behind = Service::start().await;
    service.clock = behind.clock.clone();
    service.restart().await;
    client.token(&agent).await;
    let log = client.log().await;
    let times: Vec<&str> = log.iter().map(|event| event["createdAt"].as_str().unwrap()).collect();
    assert!(times.is_sorted() && ids(&log).is_sorted());
    let ready = service.anonymous().get("/readyz").await.ok(503);
    assert!(ready["reasons"][0].as_str().unwrap().contains("behind"));
}

#[tokio::test]
async fn old_events_are_trimmed_and_stale_cursors_are_told() {
    let mut service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    for _ in 0..5 {
        client.token(&agent).await;
    }
    let log = ids(&client.log().await);
    service.settings_mut().retention.count = 4;
    service.restart().await;
    until("the log is trimmed", || async { client.log().await.len() == 4 }).await;
    assert_eq!(ids(&client.log().await), log[6..]);

    let at = |cursor: String| {
        let client = client.clone();
        async move { client.get(&format!("/v1/events?after={cursor}")).await }
    };
    // Whoever has the last trimmed event has missed nothing.
    assert_eq!(at(log[5].clone()).await.ok(200)["events"].as_array().unwrap().len(), 4);
    for gone in [log[4].as_str(), log[0].as_str(), "evt_00000000000000000000000000"] {
        let answer = at(gone.to_owned()).await;
        assert_eq!(answer.body["oldestEventId"], log[6].as_str());
        answer.refused(410, "EVENTS_EXPIRED");
        let request =
            client.request(reqwest::Method::GET, "/v1/events/stream").header("Last-Event-ID", gone);
        client.send(request).await.refused(410, "EVENTS_EXPIRED");
    }
    for unknown in ["evt_7ZZZZZZZZZZZZZZZZZZZZZZZZZ".to_owned(), format!("{}Z", &log[7][..29])] {
        let before = client.get(&format!("/v1/events?before={unknown}")).await;
        for answer in [at(unknown).await, before] {
            assert_eq!(answer.body["oldestEventId"], log[6].as_str());
            answer.refused(410, "EVENT_UNKNOWN");
        }
    }
    for parameter in ["after", "before"] {
        let answer = client.get(&format!("/v1/events?{parameter}={}", &log[7][..20])).await;
        let message = answer.refused(400, "BAD_REQUEST");
        let example = format!("{parameter}: expected an id such as evt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA");
        assert!(message.starts_with(&example), "{message}");
    }
    // A time before the log starts at its oldest event.
    let since = client.get("/v1/events?since=2020-01-01T00:00:00Z").await.ok(200);
    assert_eq!(ids(since["events"].as_array().unwrap()), log[6..]);
    // Another developer's event is unknown here, and there is no oldest one in an empty log.
    let stranger = service.sandbox().await;
    let answer = stranger.get(&format!("/v1/events?after={}", log[7])).await;
    assert!(answer.body.get("oldestEventId").is_none());
    answer.refused(410, "EVENT_UNKNOWN");
}

#[tokio::test]
async fn by_age_everything_but_the_newest_goes() {
    let mut service = Service::start().await;
    let client = service.sandbox().await;
    client.token(&client.agent().await).await;
    let log = ids(&client.log().await);
    service.clock.advance(40 * 24 * 3600);
    service.restart().await;
    until("the log is trimmed", || async { client.log().await.len() == 1 }).await;
    assert_eq!(ids(&client.log().await), log[1..]);
}
