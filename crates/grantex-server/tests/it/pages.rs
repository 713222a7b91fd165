//! What people read on the pages.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Service, Token};

const URL_SCOPE: &str = "https://api.example/auth/calendar.readonly";

async fn link(client: &Client, agent: &str, extra: Value) -> (String, String) {
    let mut request = json!({"agentId": agent, "principalId": "user-1", "scopes": [URL_SCOPE]});
    request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let id = client.post("/v1/authorize", &request).await.ok(201)["authRequestId"]
        .as_str()
        .unwrap()
        .to_owned();
    (format!("/consent?req={id}"), id)
}

fn field(page: &Answer, name: &str) -> String {
    let (_, rest) = page.text.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

async fn submit(client: &Client, path: &str, cookie: &str, form: &str) -> Answer {
    let request = client.request(Method::POST, path).header("Cookie", cookie);
    let request = request.header("Content-Type", "application/x-www-form-urlencoded");
    client.send(request.body(form.to_owned())).await
}

#[track_caller]
fn says(page: &Answer, texts: &[&str]) {
    for text in texts {
        assert!(page.text.contains(text), "{text:?} is missing in {}", page.text);
    }
}

/// A principal's page in a browser that has its cookie.
struct Page {
    client: Client,
    cookie: String,
}

impl Page {
    async fn open(service: &Service, client: &Client, principal: &str) -> Self {
        let session =
            client.post("/v1/principal-sessions", &json!({"principalId": principal})).await.ok(201);
        let link =
            session["dashboardUrl"].as_str().unwrap().trim_start_matches(&service.base).to_owned();
        let browser = service.anonymous();
        let opened = browser.get(&link).await;
        let cookie = opened.headers["set-cookie"].to_str().unwrap();
        Self { cookie: cookie.split(';').next().unwrap().to_owned(), client: browser }
    }

    async fn get(&self, path: &str) -> Answer {
        self.client
            .send(self.client.request(Method::GET, path).header("Cookie", &self.cookie))
            .await
    }
}

#[tokio::test]
async fn scopes_have_the_names_that_the_developer_gave_them() {
    let service = Service::start().await;
    let (client, other) = (service.live().await, service.live().await);
    let named = json!({"scopes": [
        {"scope": URL_SCOPE, "name": " Read your calendar ", "description": "Titles and times"},
        {"scope": "a", "name": "<b>Do</b> A"},
    ]});
    let answer = client.put("/v1/scopes", &named).await.ok(200);
    assert_eq!(answer["scopes"][1]["name"], "Read your calendar");
    // The same again changes nothing, and says nothing.
    client.put("/v1/scopes", &named).await.ok(200);
    let entries = client.get("/v1/audit/entries").await.ok(200);
    let named = entries["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["action"] == "scope.named");
    let named: Vec<_> = named.map(|entry| (&entry["target"], &entry["details"])).collect();
    assert_eq!(
        named,
        [
            (&json!("a"), &json!({"name": "<b>Do</b> A", "description": ""})),
            (
                &json!(URL_SCOPE),
                &json!({"name": "Read your calendar", "description": "Titles and times"})
            ),
        ]
    );
    assert_eq!(other.get("/v1/scopes").await.ok(200), json!({"scopes": []}));

    let agent = client.agent().await;
    let (path, id) = link(&client, &agent, json!({"scopes": [URL_SCOPE, "a"]})).await;
    let principal = service.anonymous();
    let page = principal.get(&path).await;
    says(
        &page,
        &["<bdi>Read your calendar</bdi>", "Titles and times", URL_SCOPE, "these 2 things"],
    );
    assert!(!page.text.contains("<b>"));
    let shown = principal.get(&format!("/v1/consent/{id}")).await.ok(200);
    assert_eq!(shown["scopeDescriptions"][URL_SCOPE], "Read your calendar");

    let gone = format!("/v1/scopes?scope={}", URL_SCOPE.replace(':', "%3A").replace('/', "%2F"));
    other.delete(&gone).await.refused(404, "NOT_FOUND");
    client.delete(&gone).await.ok(204);
    client.delete(&gone).await.refused(404, "NOT_FOUND");
    client.delete("/v1/scopes").await.refused(400, "BAD_REQUEST");
    says(&principal.get(&path).await, &["<bdi>Use api.example/auth/calendar.readonly</bdi>"]);
    let newest = client.get("/v1/audit/entries?limit=1").await.ok(200)["entries"][0].clone();
    assert_eq!(
        (&newest["action"], &newest["target"]),
        (&json!("scope.name_removed"), &json!(URL_SCOPE))
    );
}

#[tokio::test]
async fn names_of_scopes_are_bounded_and_hide_nothing() {
    let service = Service::start().await;
    let client = service.live().await;
    let put = async |scopes: Value| client.put("/v1/scopes", &json!({"scopes": scopes})).await;
    let (long, longer) = ("é".repeat(101), "é".repeat(301));
    for bad in [
        json!([]),
        json!([{"scope": "a b", "name": "A"}]),
        json!([{"scope": "a", "name": " "}]),
        json!([{"scope": "a", "name": "x\u{202E}y"}]),
        json!([{"scope": "a", "name": "x\ny"}]),
        json!([{"scope": "a", "name": long}]),
        json!([{"scope": "a", "name": "A", "description": longer}]),
        json!([{"scope": "a", "name": "A"}, {"scope": "a", "name": "B"}]),
        (0..101).map(|n| json!({"scope": format!("s{n}"), "name": "S"})).collect(),
    ] {
        put(bad).await.refused(400, "BAD_REQUEST");
    }
    for hundred in 0..5 {
        let scopes =
            (0..100).map(|n| json!({"scope": format!("s{hundred}-{n}"), "name": "S"})).collect();
        put(scopes).await.ok(200);
    }
    put(json!([{"scope": "one-more", "name": "S"}])).await.refused(403, "QUOTA_EXCEEDED");
    put(json!([{"scope": "s0-0", "name": "Another"}])).await.ok(200);
    assert_eq!(client.get("/v1/scopes").await.ok(200)["scopes"].as_array().unwrap().len(), 500);
}

#[tokio::test]
async fn the_consent_page_says_what_follows_from_a_yes() {
    let service = Service::start().await;
    let client = service.live().await;
    let agent = client.agent().await;
    for budget in
        [json!({"initialBudget": 0}), json!({"initialBudget": 1, "currency": "usd"}), json!({})]
    {
        let request =
            json!({"agentId": agent, "principalId": "u", "scopes": ["a"], "budget": budget});
        client.post("/v1/authorize", &request).await.refused(400, "BAD_REQUEST");
    }
    let asked =
        json!({"redirectUri": "https://app.example:8443/cb", "budget": {"initialBudget": "50.5"}});
    let (path, id) = link(&client, &agent, asked).await;
    let browser = service.anonymous();
    let shown = browser.get(&format!("/v1/consent/{id}")).await.ok(200);
    assert_eq!(shown["budget"], json!({"initialBudget": "50.5000", "currency": "USD"}));
    let page = browser.get(&path).await;
    says(
        &page,
        &[
            "up to <strong>50.50 USD</strong>",
            "on to other agents of",
            "<bdi>app.example:8443</bdi>",
        ],
    );

    // The budget is there with the grant.
    let form = format!("req={id}&token={}&decision=approve", field(&page, "token"));
    let done = submit(&browser, "/consent", "", &form).await;
    let target = done.headers["location"].to_str().unwrap();
    let code = target.split("code=").nth(1).unwrap().split('&').next().unwrap();
    says(&browser.get(&path).await, &["has not picked up the access yet", "up to 50.50 USD"]);
    let grant = client.post("/v1/token", &json!({"agentId": agent, "code": code})).await.ok(201);
    let grant = grant["grantId"].as_str().unwrap();
    let balance = client.get(&format!("/v1/budget/balance/{grant}")).await.ok(200);
    assert_eq!(
        (&balance["initialBudget"], &balance["currency"]),
        (&json!("50.5000"), &json!("USD"))
    );
    client.post("/v1/budget/debit", &json!({"grantId": grant, "amount": "0.0625"})).await.ok(200);
    says(
        &browser.get(&path).await,
        &["0.0625 USD used of 50.50 USD", "The access is in force until <time>20"],
    );
}

#[tokio::test]
async fn what_changed_since_it_was_read_is_not_consented_to() {
    let service = Service::start().await;
    let client = service.live().await;
    let agent = client.agent().await;
    let named = |name: &str| {
        let names = json!({"scopes": [{"scope": URL_SCOPE, "name": name}]});
        let client = &client;
        async move { client.put("/v1/scopes", &names).await.ok(200) }
    };
    named("Read your calendar").await;
    let (path, id) = link(&client, &agent, json!({})).await;
    let browser = service.anonymous();
    let read = browser.get(&path).await;
    named("Transfer your money").await;
    let form = |page: &Answer| format!("req={id}&token={}&decision=approve", field(page, "token"));
    let refused = submit(&browser, "/consent", "", &form(&read)).await;
    assert_eq!(refused.status, 403);
    says(&refused, &["Open the consent link again"]);
    let again = browser.get(&path).await;
    says(&again, &["Transfer your money"]);
    assert_eq!(submit(&browser, "/consent", "", &form(&again)).await.status, 200);
}

#[tokio::test]
async fn a_budget_that_was_consented_to_is_all_that_is_spent() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let (agent, helper) = (client.agent().await, client.agent().await);
    let request = json!({"agentId": agent, "principalId": "u", "scopes": ["a:read"],
        "budget": {"initialBudget": 10}});
    let code = client.post("/v1/authorize", &request).await.ok(201)["code"].clone();
    let token = client.post("/v1/token", &json!({"agentId": agent, "code": code})).await;
    let token = Token::read(&token.ok(201));
    let below = client.delegate(&token, &helper).await;
    let further = client.delegate(&below, &agent).await;
    for grant in [&below.grant, &further.grant] {
        let budget = json!({"grantId": grant, "initialBudget": 50_000});
        let answer = client.post("/v1/budget/allocate", &budget).await;
        assert!(answer.refused(403, "FORBIDDEN").contains(&token.grant));
    }
}

#[tokio::test]
async fn a_decided_link_shows_the_decision_for_a_day() {
    let service = Service::start().await;
    let client = service.live().await;
    let agent = client.agent().await;
    let browser = service.anonymous();
    for (decision, title, what, next) in [
        ("approve", "You approved this", "Approved on <time>20", "Go back to the application"),
        ("deny", "You denied this", "Denied on <time>20", "start again in the application"),
    ] {
        let (path, id) = link(&client, &agent, json!({})).await;
        let page = browser.get(&path).await;
        let form = format!("req={id}&token={}&decision={decision}", field(&page, "token"));
        let done = submit(&browser, "/consent", "", &form).await;
        assert_eq!(done.status, 200);
        let again = browser.get(&path).await;
        assert_eq!(again.status, 200);
        says(&again, &[title, what, next, URL_SCOPE]);
        assert!(
            !again.text.contains("gxc_") && !again.text.contains("<form"),
            "the code is shown once"
        );
        // Sending the form again, as a reload does, gives the same answer.
        assert_eq!(submit(&browser, "/consent", "", &form).await.text, done.text);
    }
    let (path, id) = link(&client, &agent, json!({})).await;
    browser.post(&format!("/v1/consent/{id}/approve"), &json!({})).await.ok(200);
    service.clock.advance(601);
    says(&browser.get(&path).await, &["did not pick up the access in time"]);
    service.clock.advance(24 * 3600 - 601);
    let late = browser.get(&path).await;
    assert!(late.status == 410 && !late.text.contains(URL_SCOPE), "{}", late.text);
}

#[tokio::test]
async fn access_is_a_tree_and_revoking_asks_first() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = async |name: &str| {
        let made = client.post("/v1/agents", &json!({"name": name})).await.ok(201);
        made["agentId"].as_str().unwrap().to_owned()
    };
    let (travel, hotel, flight) =
        (agent("Travel").await, agent("Hotel").await, agent("Flight").await);
    client
        .put("/v1/scopes", &json!({"scopes": [{"scope": "book", "name": "Book trips"}]}))
        .await
        .ok(200);
    let top = client.token_for(&travel, "user-1", &["book"], "2h").await;
    let budget = json!({"grantId": top.grant, "initialBudget": 50});
    client.post("/v1/budget/allocate", &budget).await.ok(201);
    client.post("/v1/budget/debit", &json!({"grantId": top.grant, "amount": "12.5"})).await.ok(200);
    let pass_on = async |to: &str, lifetime: &str| {
        let request = json!({"parentGrantToken": top.jwt, "subAgentId": to, "scopes": ["book"], "expiresIn": lifetime});
        client.post("/v1/grants/delegate", &request).await.ok(201)["grantId"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    for _ in 0..2 {
        pass_on(&hotel, "1h").await;
    }
    pass_on(&flight, "1h").await;
    let short = pass_on(&flight, "1m").await;
    let revoked = client.token_for(&travel, "user-1", &["book"], "1h").await;
    client.delete(&format!("/v1/grants/{}", revoked.grant)).await.ok(204);
    let others = client.token_for(&travel, "user-2", &["book"], "1h").await;
    let scopes: Vec<String> = (0..25).map(|n| format!("s{n}")).collect();
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let many = client.token_for(&travel, "user-1", &scopes, "1h").await;
    service.clock.advance(61);

    let principal = Page::open(&service, &client, "user-1").await;
    let page = principal.get("/dashboard").await;
    says(
        &page,
        &[
            "12.50 USD used of 50.00 USD",
            "In force until",
            "Expired on",
            "Revoked on",
            "Book trips",
        ],
    );
    says(
        &page,
        &[
            "Passed on by <bdi>Travel</bdi> on <time>20",
            "Given on <time>20",
            "Access that has ended",
        ],
    );
    assert_eq!(page.text.matches("class=\"below\"").count(), 1);
    for tag in ["ul", "li", "details"] {
        let opened =
            [format!("<{tag}>"), format!("<{tag} ")].map(|text| page.text.matches(&text).count());
        assert_eq!(opened[0] + opened[1], page.text.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    let (in_force, ended) = page.text.split_once("Access that has ended").unwrap();
    assert!(in_force.contains("Expired on"), "what ended below something in force stands there");
    assert!(!in_force.contains("Revoked on") && !ended.contains("In force until"));
    assert!(!page.text.contains(&others.grant));

    says(&page, &["s19", "and 5 more"]);
    assert!(!page.text.contains("s20"), "a page is no longer than people read");

    let ask = |grant: &str| format!("/dashboard/revoke?grant={grant}");
    let question = principal.get(&ask(&top.grant)).await;
    assert_eq!(question.status, 200);
    says(
        &question,
        &[
            "passed on from it, 3 times: to",
            "<bdi>Hotel</bdi></strong> (2 times)",
            "<bdi>Flight</bdi>",
        ],
    );
    says(&question, &["the remaining 37.50 USD can no longer be spent", "Book trips"]);
    says(&question, &["tokens", "cannot be undone"]);
    says(&principal.get(&ask(&many.grant)).await, &["s0", "s24"]);
    assert_eq!(client.get(&format!("/v1/grants/{}", top.grant)).await.ok(200)["status"], "active");
    assert_eq!(principal.get(&ask(&others.grant)).await.status, 404);
    assert_eq!(principal.get(&ask("nonsense")).await.status, 404);
    assert_eq!(service.anonymous().get(&ask(&top.grant)).await.status, 401);
    // What has ended needs no question.
    assert_eq!(principal.get(&ask(&short)).await.headers["location"], "../dashboard");

    let form =
        format!("token={}&grantId={}", field(&question, "token"), field(&question, "grantId"));
    let done = submit(&principal.client, "/dashboard/revoke", &principal.cookie, &form).await;
    assert_eq!(done.headers["location"], "../dashboard");
    client.delete(&format!("/v1/grants/{}", many.grant)).await.ok(204);
    let page = principal.get("/dashboard").await;
    says(&page, &["No agent has access", "Revoked on"]);
    assert!(!page.text.contains("In force until"));
}

#[tokio::test]
async fn all_access_can_be_reached_page_by_page() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let mut grants = std::collections::HashSet::new();
    for _ in 0..203 {
        grants.insert(client.token_for(&agent, "user-1", &["a"], "1h").await.grant);
    }
    let principal = Page::open(&service, &client, "user-1").await;
    let first = principal.get("/dashboard").await;
    let (_, older) = first.text.split_once("href=\"dashboard?after=").unwrap();
    let second =
        principal.get(&format!("/dashboard?after={}", older.split('"').next().unwrap())).await;
    says(&second, &["Back to the newest"]);
    let on = |page: &Answer| {
        grants.iter().filter(|grant| page.text.contains(&format!("?grant={grant}\""))).count()
    };
    assert_eq!((on(&first), on(&second)), (200, 3));
    assert_eq!(principal.get("/dashboard?after=nonsense").await.status, 404);
}

#[tokio::test]
async fn a_page_never_cuts_a_tree_without_a_link_to_the_rest() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let (agent, helper) = (client.agent().await, client.agent().await);
    let old = client.token_for(&agent, "user-1", &["a:read"], "1h").await;
    let top = client.token_for(&agent, "user-1", &["a:read"], "1h").await;
    let further = client.delegate(&top, &helper).await;
    let mut below = std::collections::HashSet::from([further.grant.clone()]);
    for number in 0..229 {
        let parent = if number % 10 == 0 { &further } else { &top };
        below.insert(client.delegate(parent, &helper).await.grant);
    }
    client.delegate(&client.token_for(&agent, "user-2", &["a:read"], "1h").await, &helper).await;

    let principal = Page::open(&service, &client, "user-1").await;
    let first = principal.get("/dashboard").await;
    let shows = |page: &Answer, grant: &str| page.text.contains(&format!("?grant={grant}\""));
    let shown = |page: &Answer| below.iter().filter(|grant| shows(page, grant)).count();
    // Both trees are on the page, and what is passed on has its tree above it.
    assert!(shows(&first, &top.grant) && shows(&first, &old.grant));
    assert_eq!((shown(&first), first.text.matches("class=\"below\"").count()), (20, 1));
    let whole = format!("dashboard?tree={}", top.grant);
    says(&first, &[&format!("href=\"{whole}\">Show 210 more that were passed on</a>")]);
    assert!(!first.text.contains("Show older access"));

    let page = principal.get(&format!("/{whole}")).await;
    says(&page, &["Passed on by", "Back to the newest", "Show older access"]);
    assert!(shows(&page, &top.grant) && !shows(&page, &old.grant));
    let (_, older) = page.text.split_once(&format!("href=\"{whole}&amp;after=")).unwrap();
    let older = older.split('"').next().unwrap();
    let rest = principal.get(&format!("/{whole}&after={older}")).await;
    assert_eq!(shown(&page) + shown(&rest), 230);
    assert!(below.iter().all(|grant| shows(&page, grant) != shows(&rest, grant)));

    // A tree below the top has its page too; what is another principal's has none.
    let page = principal.get(&format!("/dashboard?tree={}", further.grant)).await;
    assert!(shows(&page, &further.grant) && !shows(&page, &top.grant));
    assert_eq!(shown(&page), 24);
    let others = client.token_for(&agent, "user-2", &["a:read"], "1h").await;
    let foreign = principal.get(&format!("/dashboard?tree={}", others.grant)).await;
    assert_eq!(foreign.status, 404);
    says(&foreign, &["<h1>Something went wrong</h1>"]);

    // A form that names a grant of another principal, or none, is answered as what it is.
    let token = field(&first, "token");
    for grant in [others.grant.as_str(), "grnt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA", "nonsense"] {
        let form = format!("token={token}&grantId={grant}");
        let answer = submit(&principal.client, "/dashboard/revoke", &principal.cookie, &form).await;
        assert_eq!(answer.status, 404);
        says(&answer, &["Grant not found."]);
    }
    let path = format!("/v1/grants/{}", others.grant);
    assert_eq!(client.get(&path).await.ok(200)["status"], "active");
}

#[tokio::test]
async fn what_fails_in_a_browser_is_a_page() {
    let service = Service::start().await;
    let browser = service.anonymous();
    let form = "application/x-www-form-urlencoded";
    let send = async |method: Method, path: &str, content_type: &str, body: String| {
        let request = browser.request(method, path).header("Accept", "text/html,*/*");
        browser.send(request.header("Content-Type", content_type).body(body)).await
    };
    for (method, path, content_type, body, status) in [
        (Method::POST, "/consent", form, "x".repeat(5000), 413),
        (Method::POST, "/consent", "application/json", "{}".into(), 415),
        (Method::POST, "/consent", form, "req=x".into(), 400),
        (Method::PUT, "/consent", form, String::new(), 405),
        (Method::GET, "/consent?req=%FF", form, String::new(), 400),
        (Method::GET, "/consent", form, String::new(), 404),
        (Method::DELETE, "/dashboard", form, String::new(), 405),
        (Method::GET, "/dashboard/sign-out", form, String::new(), 405),
        (Method::POST, "/dashboard/revoke", form, String::new(), 401),
        (Method::GET, "/dashboard/", form, String::new(), 404),
    ] {
        let answer = send(method, path, content_type, body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8", "{path}");
        assert!(answer.headers.contains_key("x-request-id"));
        says(&answer, &["<h1>Something went wrong</h1>"]);
        assert!(!answer.text.contains("deserialize"), "{}", answer.text);
        assert_eq!(status == 405, answer.headers.contains_key("allow"), "{path}");
    }
    let foreign = browser.request(Method::POST, "/consent").header("Content-Type", form);
    let foreign = browser.send(foreign.header("Sec-Fetch-Site", "cross-site").body("req=x")).await;
    assert_eq!(foreign.status, 403);
    says(
        &foreign,
        &["This form was sent from another site; open the page again and decide there."],
    );
    // A program that asks for what does not exist still gets JSON.
    browser.get("/dashboard/").await.refused(404, "NOT_FOUND");

    let service = Service::with(|settings| {
        settings.rates.address = grantex_server::Rate { per_second: 0.001, burst: 1 };
    })
    .await;
    let browser = service.anonymous();
    browser.get("/consent").await;
    let limited = browser.get("/consent").await;
    assert_eq!(limited.status, 429);
    assert!(limited.headers.contains_key("retry-after"));
    says(&limited, &["<h1>Something went wrong</h1>", "Too many requests"]);
}
