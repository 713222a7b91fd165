use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Service, Token};

/// A principal with a grant and a session.
struct Principal {
    grant: Token,
    session: Value,
    /// Calls with the session's token.
    client: Client,
}

async fn principal(service: &Service, client: &Client, id: &str) -> Principal {
    let grant = client.token_for(&client.agent().await, id, &["a"], "1h").await;
    let session = open(client, id).await;
    let key = session["sessionToken"].as_str().unwrap().to_owned();
    Principal { grant, session, client: Client { key, ..service.anonymous() } }
}

async fn open(client: &Client, id: &str) -> Value {
    client.post("/v1/principal-sessions", &json!({"principalId": id})).await.ok(201)
}

/// A browser: it keeps the cookie that the page sets.
struct Browser {
    client: Client,
    cookie: String,
}

impl Browser {
    /// Opens a dashboard link: follows its redirect with the cookie.
    async fn open(service: &Service, session: &Value) -> (Self, Answer) {
        let client = service.anonymous();
        let link =
            session["dashboardUrl"].as_str().unwrap().trim_start_matches(&service.base).to_owned();
        let answer = client.get(&link).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        assert_eq!(answer.headers["location"], "dashboard", "the address holds no token");
        let cookie = answer.headers["set-cookie"].to_str().unwrap().to_owned();
        let browser = Self { client, cookie: cookie.split(';').next().unwrap().to_owned() };
        for attribute in ["Path=/dashboard", "HttpOnly", "SameSite=Lax", "Max-Age=3"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        let page = browser.get().await;
        (browser, page)
    }

    async fn get(&self) -> Answer {
        let request = self.client.request(Method::GET, "/dashboard").header("Cookie", &self.cookie);
        self.client.send(request).await
    }

    async fn submit(&self, path: &str, form: &str) -> Answer {
        let request = self.client.request(Method::POST, path).header("Cookie", &self.cookie);
        let request = request
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form.to_owned());
        self.client.send(request).await
    }
}

fn form_token(page: &Answer) -> String {
    let (_, rest) = page.text.split_once("name=\"token\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_principal_sees_and_revokes_their_own_grants() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    client
        .post("/v1/principal-sessions", &json!({"principalId": "nobody"}))
        .await
        .refused(404, "NOT_FOUND");
    let one = principal(&service, &client, "user-1").await;
    let others = principal(&service, &client, "user-2").await;

    let list = one.client.get("/v1/principal/grants").await.ok(200);
    assert_eq!(list["principalId"], "user-1");
    assert_eq!(list["grants"].as_array().unwrap().len(), 1);
    let path = |grant: &Token| format!("/v1/principal/grants/{}", grant.grant);
    one.client.delete(&path(&others.grant)).await.refused(404, "NOT_FOUND");
    one.client.delete(&path(&one.grant)).await.ok(204);
    let last = client.log().await.pop().unwrap();
    assert_eq!(last["data"], json!({"grantId": one.grant.grant, "revokedBy": "principal"}));

    one.client.get("/v1/me").await.refused(401, "UNAUTHORIZED");
    client.get("/v1/principal/grants").await.refused(401, "UNAUTHORIZED");
    service.clock.advance(3601);
    one.client.get("/v1/principal/grants").await.refused(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn the_page_keeps_the_session_in_a_cookie_and_its_forms_are_its_own() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let (one, two) = (
        principal(&service, &client, "user-1").await,
        principal(&service, &client, "user-2").await,
    );
    let (browser, page) = Browser::open(&service, &one.session).await;
    assert!(page.text.contains(&one.grant.grant) && !page.text.contains(&one.client.key));
    let (other, other_page) = Browser::open(&service, &two.session).await;

    // A form on another site has no token, or that of another session; and the browser sends no
    // cookie from there.
    let form = |token: &str| format!("token={token}&grantId={}", one.grant.grant);
    let own = form_token(&page);
    for (browser, token) in [(&browser, "x"), (&browser, &form_token(&other_page)), (&other, &own)]
    {
        assert_eq!(browser.submit("/dashboard/revoke", &form(token)).await.status, 403);
    }
    let stranger =
        Browser { client: service.anonymous(), cookie: "grantex_session=gxs_x.y".into() };
    assert_eq!(stranger.submit("/dashboard/revoke", &form(&own)).await.status, 401);
    assert_eq!(stranger.get().await.status, 401);
    assert_eq!(service.anonymous().get("/dashboard").await.status, 401);

    // A second click finds it done.
    for _ in 0..2 {
        let answer = browser.submit("/dashboard/revoke", &form(&own)).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["location"]),
            (303, &"../dashboard".parse().unwrap())
        );
    }
    let last = client.log().await.pop().unwrap();
    assert_eq!(last["data"], json!({"grantId": one.grant.grant, "revokedBy": "principal"}));

    assert_eq!(browser.submit("/dashboard/sign-out", "token=x").await.status, 403);
    let answer = browser.submit("/dashboard/sign-out", &format!("token={own}")).await;
    assert!(
        answer.status == 200
            && answer.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0")
    );
    assert_eq!(browser.get().await.status, 401);
    one.client.get("/v1/principal/grants").await.refused(401, "UNAUTHORIZED");
    assert_eq!(other.get().await.status, 200, "one session's end is not another's");
}

#[tokio::test]
async fn the_cookie_is_secure_where_the_service_is() {
    let mut service = Service::start().await;
    let client = service.sandbox().await;
    principal(&service, &client, "user-1").await;
    service.restart_as("https://auth.example/grantex").await;
    let session = open(&client, "user-1").await;
    let link = session["dashboardUrl"].as_str().unwrap();
    let query = link.strip_prefix("https://auth.example/grantex").unwrap();
    let answer = service.anonymous().get(query).await;
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("; Secure") && cookie.contains("Path=/grantex/dashboard;"), "{cookie}");
}

#[tokio::test]
async fn sessions_end_with_their_key_and_when_either_side_ends_them() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let one = principal(&service, &client, "user-1").await;
    let (second, third, others) = (
        open(&client, "user-1").await,
        open(&client, "user-1").await,
        principal(&service, &client, "user-2").await,
    );
    let works = async |session: &Value| {
        let key = session["sessionToken"].as_str().unwrap().to_owned();
        let answer = Client { key, ..service.anonymous() }.get("/v1/principal/grants").await;
        assert!(answer.status == 200 || answer.body["code"] == "UNAUTHORIZED", "{}", answer.text);
        answer.status == 200
    };
    let list = client.get("/v1/principal-sessions?principalId=user-1&limit=2").await.ok(200);
    let ids: Vec<_> =
        list["sessions"].as_array().unwrap().iter().map(|session| &session["sessionId"]).collect();
    assert_eq!(ids, [&third["sessionId"], &second["sessionId"]]);
    assert_eq!(
        client.get("/v1/principal-sessions").await.ok(200)["sessions"].as_array().unwrap().len(),
        4
    );

    // The developer ends one; another developer cannot.
    let path = format!("/v1/principal-sessions/{}", one.session["sessionId"].as_str().unwrap());
    service.sandbox().await.delete(&path).await.refused(404, "NOT_FOUND");
    assert!(works(&one.session).await);
    client.delete(&path).await.ok(204);
    assert!(!works(&one.session).await);
    client.delete(&path).await.refused(404, "NOT_FOUND");

    // The principal signs out.
    let key = second["sessionToken"].as_str().unwrap().to_owned();
    let signed_out = Client { key, ..service.anonymous() };
    signed_out.delete("/v1/principal/session").await.ok(204);
    signed_out.delete("/v1/principal/session").await.refused(401, "UNAUTHORIZED");

    // All of a principal's at once.
    assert!(works(&third).await);
    for _ in 0..2 {
        client.delete("/v1/principal-sessions?principalId=user-1").await.ok(204);
    }
    assert!(!works(&third).await && works(&others.session).await);
    client.delete("/v1/principal-sessions").await.refused(400, "BAD_REQUEST");

    let trail = client.get("/v1/audit/entries?limit=3").await.ok(200);
    let entries = trail["entries"].as_array().unwrap();
    assert!(entries.iter().all(|entry| entry["action"] == "session.ended"));
    assert_eq!(
        (&entries[0]["target"], &entries[0]["details"]),
        (&json!("user-1"), &json!({"sessions": "1"}))
    );
    assert_eq!(entries[1]["actor"], json!({"kind": "principal", "id": "user-1"}));
    assert_eq!(entries[2]["target"], one.session["sessionId"]);

    // The key goes, and the session with it.
    let second_key = client.post("/v1/keys", &json!({"name": "second"})).await.ok(201);
    client.post("/v1/keys/rotate", &json!({})).await.ok(200);
    assert!(!works(&others.session).await);
    let client = Client { key: second_key["apiKey"].as_str().unwrap().to_owned(), ..client };
    let session = open(&client, "user-2").await;
    assert!(works(&session).await);
    client.delete(&format!("/v1/keys/{}", second_key["keyId"].as_str().unwrap())).await.ok(204);
    assert!(!works(&session).await);
}
