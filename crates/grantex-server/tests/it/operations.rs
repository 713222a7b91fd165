use std::sync::Arc;
use std::time::Duration;

use grantex_core::Error;
use grantex_core::store::{self, Scope};
use grantex_server::{SystemClock, SystemRng};
use grantex_store::sqlite::{Environment, SqliteStore};
use reqwest::{Method, Url};
use serde_json::json;

use crate::support::{METRICS, Service};

#[tokio::test]
async fn health_and_headers() {
    let service = Service::start().await;
    let anybody = service.anonymous();
    for path in ["/health", "/healthz", "/readyz"] {
        let answer = anybody.get(path).await;
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(answer.headers[name], value);
        }
        assert!(answer.headers.contains_key("x-request-id"));
        assert_eq!(answer.ok(200)["status"], "healthy");
    }
    let discovery = anybody.get("/.well-known/oauth-authorization-server").await.ok(200);
    assert_eq!(discovery["issuer"], service.base);
    assert_eq!(anybody.get("/asyncapi.yaml").await.status, 200);
}

#[tokio::test]
async fn browsers_get_a_page_at_the_base_and_every_link_on_it_works() {
    let service = Service::start().await;
    let anybody = service.anonymous();
    let refused = anybody.get("/").await;
    assert_eq!(refused.headers["vary"], "accept");
    refused.refused(404, "NOT_FOUND");
    let request = anybody
        .request(Method::GET, "/")
        .header("Accept", "text/html,application/xml;q=0.9,*/*;q=0.8");
    let page = anybody.send(request).await;
    assert_eq!(page.status, 200);
    assert!(
        page.headers["content-security-policy"].to_str().unwrap().contains("default-src 'none'")
    );
    let links: Vec<&str> =
        page.text.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(links.len() > 5 && page.text.contains(env!("CARGO_PKG_VERSION")), "{}", page.text);
    for link in links {
        let answer = anybody.get(link).await;
        assert!([200, 401].contains(&answer.status.as_u16()), "{link}: {}", answer.status);
    }
}

#[tokio::test]
async fn cors_is_for_those_on_the_list() {
    let service =
        Service::with(|settings| settings.cors_origins = vec!["https://app.example".into()]).await;
    let client = service.anonymous();
    let preflight = |origin: &'static str| {
        let request = client
            .request(Method::OPTIONS, "/v1/events/stream")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "GET")
            .header("Access-Control-Request-Headers", "authorization,last-event-id");
        client.send(request)
    };
    let allowed = preflight("https://app.example").await;
    assert_eq!(allowed.headers["access-control-allow-origin"], "https://app.example");
    let headers = allowed.headers["access-control-allow-headers"].to_str().unwrap().to_lowercase();
    for name in ["content-type", "authorization", "idempotency-key", "last-event-id"] {
        assert!(headers.contains(name), "{name}");
    }
    assert!(
        !preflight("https://evil.example")
            .await
            .headers
            .contains_key("access-control-allow-origin")
    );
    // Errors can be read by the page too.
    let request = client.request(Method::GET, "/v1/me").header("Origin", "https://app.example");
    let refused = client.send(request).await;
    assert_eq!(refused.headers["access-control-allow-origin"], "https://app.example");
    refused.refused(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn origins_are_compared_as_browsers_send_them() {
    let written = [" HTTPS://App.Example:443/ ", "http://localhost:80"].map(str::to_owned).to_vec();
    let service = Service::with(|settings| settings.cors_origins = written).await;
    for sent in ["https://app.example", "http://localhost"] {
        let request = service.anonymous().request(Method::GET, "/healthz").header("Origin", sent);
        let answer = service.anonymous().send(request).await;
        assert_eq!(answer.headers["access-control-allow-origin"], sent);
    }
}

#[tokio::test]
async fn a_public_base_with_a_path_is_in_all_that_leads_back() {
    let public = "https://example.com/auth";
    let mut service = Service::start().await;
    service.restart_as(public).await;
    let anybody = service.anonymous();
    for path in
        ["/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server/auth"]
    {
        let discovery = anybody.get(path).await.ok(200);
        assert_eq!(discovery["issuer"], public);
        assert_eq!(discovery["jwks_uri"], format!("{public}/.well-known/jwks.json"));
    }
    anybody.get("/.well-known/oauth-authorization-server/other").await.refused(404, "NOT_FOUND");
    let client = service.live().await;
    let agent = client.agent().await;
    let body = json!({"agentId": agent, "principalId": "u", "scopes": ["a"]});
    let asked = client.post("/v1/authorize", &body).await.ok(201);
    let link = Url::parse(asked["consentUrl"].as_str().unwrap()).unwrap();
    assert_eq!(link.path(), "/auth/consent");
    // The proxy in front takes the path away; a browser resolves what the page says against what it
    // sees.
    let page = anybody.get(&format!("/consent?{}", link.query().unwrap())).await;
    assert_eq!(
        link.join(attribute(&page.text, "action")).unwrap().as_str(),
        format!("{public}/consent")
    );
}

/// An attribute's value, where it stands first.
fn attribute<'t>(html: &'t str, name: &str) -> &'t str {
    let (_, rest) = html.split_once(&format!("{name}=\"")).unwrap();
    rest.split_once('"').unwrap().0
}

#[tokio::test]
async fn the_host_header_changes_nothing_that_is_given_out() {
    let service = Service::start().await;
    let client = service.live().await;
    let agent = client.agent().await;
    let body = json!({"agentId": agent, "principalId": "u", "scopes": ["a"]});
    let request =
        client.request(Method::POST, "/v1/authorize").header("Host", "evil.example").json(&body);
    let asked = client.send(request).await.ok(201);
    assert!(asked["consentUrl"].as_str().unwrap().starts_with(&service.base));
}

#[tokio::test]
async fn a_slow_command_is_counted_by_its_use_case() {
    let metrics = &*METRICS;
    let folder = tempfile::tempdir().unwrap();
    let listener = Arc::new(());
    let environment =
        Environment { clock: Arc::new(SystemClock), rng: Arc::new(SystemRng), listener };
    let store = SqliteStore::open(folder.path(), &environment).unwrap();
    for (name, millis, fails) in [("quick", 0, false), ("undone", 60, true), ("slow", 60, false)] {
        let outcome = store::write(&store, Scope::Global, store::Needs::NONE, name, move |_| {
            std::thread::sleep(Duration::from_millis(millis));
            if fails { Err(Error::bad_request("no")) } else { Ok(()) }
        });
        assert_eq!(outcome.await.is_err(), fails);
    }
    let text = metrics.render();
    let counted: Vec<&str> =
        text.lines().filter(|line| line.starts_with("grantex_slow_commands_total")).collect();
    assert!(counted.contains(&"grantex_slow_commands_total{use_case=\"slow\"} 1"), "{counted:?}");
    assert!(!counted.iter().any(|line| line.contains("undone")), "what is undone is not counted");
}
