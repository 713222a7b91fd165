//! `grantex forward` as people meet it: what it prints, refuses and survives.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use serde_json::Value;

use crate::support::{Client, Process, Server, grantex, output};

/// Text that moves a cursor, begins a command, adds a line and turns the direction.
const HOSTILE: &str = "\u{1b}[2K\u{9b}31m\u{7}ok\u{202e}evil\u{2066}\r";
/// What may reach a terminal of it.
const ESCAPED: &str = r"\u001b[2K\u009b31m\u0007ok\u202eevil\u2066";

#[track_caller]
fn is_harmless(output: &[u8]) {
    let text = String::from_utf8_lossy(output);
    let harmful = text
        .chars()
        .find(|c| *c != '\n' && (c.is_control() || HOSTILE.contains(*c) && !c.is_ascii()));
    assert_eq!(harmful, None, "{text:?}");
}

fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// A receiver that takes everything until it is told to refuse, and then says why.
async fn receiver() -> (String, Arc<AtomicBool>) {
    let refuses = Arc::new(AtomicBool::new(false));
    let told = refuses.clone();
    let answer = move || async move {
        let is_refusing = told.load(Ordering::SeqCst);
        if is_refusing { (StatusCode::UNPROCESSABLE_ENTITY, HOSTILE) } else { (StatusCode::OK, "") }
    };
    (serve(Router::new().fallback(any(answer))).await, refuses)
}

struct Forward {
    folder: tempfile::TempDir,
}

impl Forward {
    fn new(base: &str, key: &str, rest: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let text = format!(
            "url = {base:?}\napi_key = {key:?}\nstate_dir = \"{}\"\nsince = \"2026-01-01T00:00:00Z\"\nstop_limit_ms = 1000\n{rest}",
            state.display()
        );
        fs::write(folder.path().join("forward.toml"), text).unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let config = self.path().join("forward.toml");
        output(&[&["forward", "--config", config.to_str().unwrap()], arguments].concat())
    }

    fn start(&self, arguments: &[&str]) -> Process {
        let config = self.path().join("forward.toml");
        Process::start(&mut grantex(
            &[&["forward", "--config", config.to_str().unwrap()], arguments].concat(),
        ))
    }

    /// The first line of `status`, once it is as it should be.
    #[track_caller]
    fn wait_for(&self, what: impl Fn(&Value) -> bool) -> Value {
        let begun = std::time::Instant::now();
        loop {
            let status = self.run(&["status", "--json"]);
            let first = String::from_utf8_lossy(&status.stdout)
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned();
            let line: Value = serde_json::from_str(&first).unwrap_or_default();
            if what(&line) {
                return line;
            }
            assert!(begun.elapsed() < crate::support::PATIENCE, "{line} {}", shown(&status));
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

async fn service() -> (tempfile::TempDir, Server, Client) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let client = server.sandbox().await;
    (data, server, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_a_service_reaches_the_terminal_raw() {
    let body =
        serde_json::json!({"message": HOSTILE, "code": "FORBIDDEN", "requestId": "r"}).to_string();
    let refuse = move || async move { (StatusCode::FORBIDDEN, body) };
    let base = serve(Router::new().fallback(any(refuse))).await;
    let forward =
        Forward::new(&base, "k", "[[destination]]\nname = \"a\"\ntype = \"file\"\npath = \"-\"\n");
    for failed in [
        output(&["keys", "list", "--api-key", "k", "--url", &base]),
        output(&["events", "tail", "--api-key", "k", "--url", &base]),
        output(&["events", "list", "--api-key", "k", "--url", &base]),
        forward.run(&["check"]),
        forward.run(&["check", "--json"]),
        forward.run(&["--log-format", "text"]),
        forward.run(&["--log-format", "json"]),
    ] {
        assert!(!failed.status.success());
        assert!(shown(&failed).contains(r"ok\u202eevil\u2066"), "{}", shown(&failed));
        is_harmless(&failed.stdout);
        is_harmless(&failed.stderr);
    }
    let lines = forward.run(&["check", "--json"]).stdout;
    let told = |line: &str| {
        serde_json::from_str::<Value>(line).unwrap()["message"].as_str().unwrap().to_owned()
    };
    let told: Vec<String> = String::from_utf8(lines).unwrap().lines().map(told).collect();
    assert!(told.iter().any(|message| message.contains(HOSTILE)), "JSON says what came: {told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_a_receiver_reaches_the_terminal_raw() {
    let (_data, _server, client) = service().await;
    let (base, refuses) = receiver().await;
    let destination =
        format!("[[destination]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"{base}\"\n");
    let forward = Forward::new(&client.base, &client.key, &destination);
    let agent = client.agent().await;
    client.token(&agent).await;
    let mut daemon = forward.start(&["--log-format", "text"]);
    forward.wait_for(|status| status["delivered"] == 2);
    refuses.store(true, Ordering::SeqCst);
    client.token(&agent).await;
    forward.wait_for(|status| status["deadLetters"] == 2);
    daemon.signal("-TERM");
    assert!(daemon.wait());
    let status = shown(&forward.run(&["status"]));
    assert!(status.contains("(stored as a dead letter)"), "{status}");
    is_harmless(daemon.err.all().join("\n").as_bytes());
    for arguments in [&["status"][..], &["dead-letters", "list"], &["dead-letters", "show", "1"]] {
        let printed = forward.run(arguments);
        assert!(shown(&printed).contains(ESCAPED), "{}", shown(&printed));
        is_harmless(&printed.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_a_url_is_printed_or_logged() {
    let (_data, _server, client) = service().await;
    let (base, refuses) = receiver().await;
    let url = format!("{}/hook?token=hush", base.replace("http://", "http://alice:hush@"));
    let destinations = format!(
        "[[destination]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"{url}\"\n\
         [[destination]]\nname = \"gone\"\ntype = \"webhook\"\nurl = \"http://alice:hush@127.0.0.1:9/?token=hush\"\n"
    );
    let forward = Forward::new(&client.base, &client.key, &destinations);
    let agent = client.agent().await;
    client.token(&agent).await;
    let checked = forward.run(&["check"]);
    assert!(
        shown(&checked).contains("http://***@127.0.0.1") && shown(&checked).contains("/hook?***")
    );
    let mut daemon = forward.start(&["--log", "trace"]);
    forward.wait_for(|status| status["retries"].as_u64() > Some(0) || status["delivered"] == 2);
    refuses.store(true, Ordering::SeqCst);
    client.token(&agent).await;
    daemon.err.wait_for("hook");
    daemon.signal("-TERM");
    daemon.wait();
    for text in [shown(&checked), daemon.err.all().join("\n"), shown(&forward.run(&["status"]))] {
        assert!(!text.contains("hush"), "{text}");
    }
    for command in [&["keys", "list"][..], &["events", "tail"]] {
        for url in
            ["http://alice:hush@127.0.0.1:9", "http://127.0.0.1:9?token=hush", "alice:hush@host"]
        {
            let failed = output(&[command, &["--api-key", "k", "--url", url]].concat());
            let text = shown(&failed);
            assert!(
                !failed.status.success() && text.contains("base URL") && !text.contains("hush"),
                "{text}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_refuses_what_a_start_refuses() {
    let (_data, _server, client) = service().await;
    let file = "[[destination]]\nname = \"a\"\ntype = \"file\"\npath = \"events.ndjson\"\n";
    for (wrong, line) in [
        ("types = [\"grant.removed\"]\n", "line 6: types: unknown event type"),
        ("agent_id = 5\n", "line 6: agent_id: invalid type"),
        ("listen = \"nowhere\"\n", "line 6: listen: "),
    ] {
        let forward = Forward::new(&client.base, &client.key, &format!("{wrong}{file}"));
        for arguments in [&["check"][..], &[], &["status"], &["dead-letters", "list"]] {
            let refused = forward.run(arguments);
            assert!(
                !refused.status.success() && shown(&refused).contains(line),
                "{}",
                shown(&refused)
            );
        }
    }
    let forward = Forward::new(&client.base, &client.key, file);
    let config = forward.path().join("forward.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("2026-01-01T00:00:00Z", "yesterday")).unwrap();
    for arguments in [&["check"][..], &[]] {
        let refused = shown(&forward.run(arguments));
        assert!(refused.contains("line 4: since: \"yesterday\""), "{refused}");
    }
    fs::write(&config, text).unwrap();
    for arguments in [&["--log", "a=b=c", "check"][..], &["--log", "a=b=c"]] {
        let refused = shown(&forward.run(arguments));
        assert!(refused.contains("the log filter"), "{refused}");
    }
    fs::write(forward.path().join("state"), "no folder").unwrap();
    for arguments in [&["check"][..], &[]] {
        let refused = forward.run(arguments);
        assert!(
            !refused.status.success() && shown(&refused).contains("state"),
            "{}",
            shown(&refused)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_that_disappears_is_said_and_nothing_more_is_delivered() {
    let (_data, _server, client) = service().await;
    let lines = tempfile::tempdir().unwrap();
    let path = lines.path().join("events.ndjson");
    let rest = format!(
        "listen = \"127.0.0.1:0\"\n[[destination]]\nname = \"a\"\ntype = \"file\"\npath = \"{}\"\nretry_cap_ms = 500\n",
        path.display()
    );
    let forward = Forward::new(&client.base, &client.key, &rest);
    let agent = client.agent().await;
    client.token(&agent).await;
    let mut daemon = forward.start(&["--log-format", "json"]);
    let line: Value = serde_json::from_str(&daemon.err.wait_for("serving health")).unwrap();
    let watched = client.at(&format!("http://{}", line["address"].as_str().unwrap()));
    forward.wait_for(|status| status["delivered"] == 2);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    for name in ["forward.db", "forward.db-wal", "lock"] {
        let mode =
            fs::metadata(forward.path().join("state").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }

    let (state, aside) = (forward.path().join("state"), forward.path().join("aside"));
    fs::rename(&state, &aside).unwrap();
    daemon.err.wait_for("was removed or replaced");
    client.token(&agent).await;
    assert_eq!(watched.get("/healthz").await.unwrap().0, 503);
    let (code, ready) = watched.get("/readyz").await.unwrap();
    assert!(code == 503 && ready["error"].as_str().unwrap().contains("state folder"), "{ready}");
    let status = forward.run(&["status"]);
    assert!(
        !status.status.success() && shown(&status).contains("the folder was removed"),
        "{}",
        shown(&status)
    );
    // Another folder in its place is not it.
    fs::create_dir(&state).unwrap();
    assert_eq!(watched.get("/healthz").await.unwrap().0, 503);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);

    fs::remove_dir(&state).unwrap();
    fs::rename(&aside, &state).unwrap();
    let status =
        forward.wait_for(|status| status["delivered"] == 4 && status["state"] == "running");
    assert!(status["recoveredAt"].is_string() && status["lastError"].is_string(), "{status}");
    assert!(shown(&forward.run(&["status"])).contains("(recovered "));
    assert_eq!(watched.get("/healthz").await.unwrap().0, 200);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 4);
    daemon.signal("-TERM");
    assert!(daemon.wait());
}

/// Until something was accepted a refusal may be another server's; the operator knows better.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sets_aside_what_is_refused_from_the_first_event_on() {
    let (_data, server, client) = service().await;
    let agent = client.agent().await;
    client.token(&agent).await;
    let (hook, refuses) = receiver().await;
    refuses.store(true, Ordering::SeqCst);
    let destination =
        format!("[[destination]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"{hook}\"\n");
    let forward = Forward::new(&server.base, &client.key, &destination);
    let _running = forward.start(&[]);
    let failing = forward.wait_for(|status| status["state"] == "failing");
    assert_eq!(failing["deadLetters"], 0, "{failing}");
    let nobody = forward.run(&["dead-letters", "set-aside", "hok"]);
    assert!(!nobody.status.success() && shown(&nobody).contains("\"hok\""), "{}", shown(&nobody));
    for command in [&["list"][..], &["retry", "--all"], &["drop", "--all"], &["set-aside"]] {
        let name = if command[0] == "set-aside" { &["hok"][..] } else { &["--destination", "hok"] };
        let unknown = forward.run(&[&["dead-letters"], command, name].concat());
        let known = "there is no destination \"hok\"; the destinations are \"hook\"";
        assert!(
            !unknown.status.success() && shown(&unknown).contains(known),
            "{}",
            shown(&unknown)
        );
    }
    let done = forward.run(&["dead-letters", "set-aside", "hook"]);
    assert!(done.status.success(), "{}", shown(&done));
    forward.wait_for(|status| status["deadLetters"] == 2);
    let again = forward.run(&["dead-letters", "retry", "--all"]);
    assert!(!again.status.success(), "{}", shown(&again));
    assert!(shown(&again).contains("2 dead letters were refused again"), "{}", shown(&again));
}

/// The new pipeline sends the batch in flight first, and reports while it waits for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_is_reported_while_the_destination_is_still_down() {
    let (_data, server, client) = service().await;
    let agent = client.agent().await;
    client.token(&agent).await;
    let down = |text: &'static str| {
        let answer = move || async move { (StatusCode::SERVICE_UNAVAILABLE, text) };
        serve(Router::new().fallback(any(answer)))
    };
    let (before, after) = (down("before").await, down("after").await);
    let hook =
        format!("[[destination]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"{before}\"\n");
    let forward = Forward::new(&server.base, &client.key, &hook);
    let mut daemon = forward.start(&["--log-format", "text"]);
    forward.wait_for(|status| status["state"] == "retrying");
    let config = forward.path().join("forward.toml");
    let file = "[[destination]]\nname = \"audit\"\ntype = \"file\"\npath = \"/dev/null\"\n";
    let text = fs::read_to_string(&config).unwrap().replace(&before, &after);
    fs::write(&config, format!("types = []\nca_file = \"/no/such\"\n{text}{file}")).unwrap();
    daemon.signal("-HUP");
    daemon.err.wait_for("the previous configuration is still used");
    fs::write(&config, format!("types = [\"token.issued\"]\n{text}{file}")).unwrap();
    daemon.signal("-HUP");
    daemon.err.wait_for("types: the change takes effect only after a restart");
    daemon.err.wait_for("reloading: stopping hook, at most 1 s");
    daemon.err.wait_for("configuration reloaded: added audit; changed hook");
    forward.wait_for(|status| {
        let error = status["lastError"].as_str().unwrap_or_default();
        status["state"] == "retrying" && error.contains("after")
    });
    daemon.signal("-TERM");
    assert!(daemon.wait());
}

/// What a destination was retrying with the configuration before is over with the new one, also in
/// the metrics.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_ends_what_was_retried() {
    let (_data, server, client) = service().await;
    let agent = client.agent().await;
    client.token(&agent).await;
    let (good, _) = receiver().await;
    let down = StatusCode::SERVICE_UNAVAILABLE;
    let bad = serve(Router::new().fallback(any(move || async move { down }))).await;
    let rest = format!(
        "listen = \"127.0.0.1:0\"\n[[destination]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"{bad}\"\n"
    );
    let forward = Forward::new(&server.base, &client.key, &rest);
    let mut daemon = forward.start(&["--log-format", "json"]);
    let line: Value = serde_json::from_str(&daemon.err.wait_for("serving health")).unwrap();
    let address = format!("http://{}/metrics", line["address"].as_str().unwrap());
    let shows = async |lines: &[&str]| {
        let begun = std::time::Instant::now();
        loop {
            let metrics = client.http.get(&address).send().await.unwrap().text().await.unwrap();
            let is_shown =
                |line: &&str| metrics.contains(&line.replace("{}", "{destination=\"hook\"}"));
            if lines.iter().all(is_shown) {
                return;
            }
            assert!(begun.elapsed() < crate::support::PATIENCE, "{lines:?}: {metrics}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    shows(&["grantex_forward_retrying{} 1", "grantex_forward_dead_letters_total{} 0"]).await;
    let config = forward.path().join("forward.toml");
    fs::write(&config, fs::read_to_string(&config).unwrap().replace(&bad, &good)).unwrap();
    daemon.signal("-HUP");
    shows(&["grantex_forward_events_delivered_total{} 2", "grantex_forward_retrying{} 0"]).await;
    shows(&["grantex_forward_failing{} 0", "grantex_forward_up{} 1"]).await;
    forward.wait_for(|status| status["state"] == "running" && status["behind"] == 0);
    daemon.signal("-TERM");
    assert!(daemon.wait());
}

/// The service's certificate comes from an authority that only `ca_file` names.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_a_private_authority_is_reached_with_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
    fs::write(path("ca.pem"), authority_pem).unwrap();
    fs::write(path("chain.pem"), own.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    fs::write(path("key.pem"), key.serialize_pem()).unwrap();
    let data = folder.path().join("data");
    let server =
        Server::start(&data, &["--tls-cert", &path("chain.pem"), "--tls-key", &path("key.pem")]);

    let signup = || grantex(&["keys", "signup", "Acme", "--url", &server.base]);
    let unknown = shown(&signup().output().unwrap());
    assert!(unknown.contains("comes from an authority that is not trusted here"), "{unknown}");
    let known = signup().env("SSL_CERT_FILE", path("ca.pem")).output().unwrap();
    let said = shown(&known);
    let api_key = said.split_whitespace().find(|word| word.starts_with("gx_live_")).unwrap();

    let audit =
        format!("[[destination]]\nname = \"a\"\ntype = \"file\"\npath = {:?}\n", path("a.ndjson"));
    let without = Forward::new(&server.base, api_key, &audit).run(&["check"]);
    assert!(
        !without.status.success() && shown(&without).contains("ca_file"),
        "{}",
        shown(&without)
    );
    let named = format!("ca_file = {:?}\n{audit}", path("ca.pem"));
    let checked = Forward::new(&server.base, api_key, &named).run(&["check"]);
    assert!(checked.status.success(), "{}", shown(&checked));
    let wrong = format!("ca_file = {:?}\n{audit}", path("key.pem"));
    let refused = Forward::new(&server.base, api_key, &wrong).run(&["check"]);
    let said = shown(&refused);
    assert!(
        said.contains("line 6: ca_file: ") && said.contains("key.pem holds no certificate"),
        "{said}"
    );
}

/// A service that was restored from a backup does not know what came after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_a_restore_moved_back_is_said_in_the_log_and_the_status() {
    let (data, mut server, client) = service().await;
    let agent = client.agent().await;
    client.token(&agent).await;
    let backup = data.path().join("backup");
    let made = output(&[
        "backup",
        "--data-dir",
        data.path().to_str().unwrap(),
        "--to",
        backup.to_str().unwrap(),
    ]);
    assert!(made.status.success(), "{}", shown(&made));
    client.token(&agent).await;
    let file = data.path().join("events.ndjson");
    let audit = format!("[[destination]]\nname = \"audit\"\ntype = \"file\"\npath = {file:?}\n");
    let forward = Forward::new(&client.base, &client.key, &audit);
    let mut running = forward.start(&[]);
    forward.wait_for(|status| status["delivered"] == 4);
    running.signal("-TERM");
    assert!(running.wait());
    server.process.signal("-TERM");
    assert!(server.process.wait());

    let restored = Server::start(&backup, &[]);
    let config = forward.path().join("forward.toml");
    let text = fs::read_to_string(&config).unwrap().replace(&server.base, &restored.base);
    fs::write(&config, &text).unwrap();
    let refused = forward.run(&["--log-format", "text"]);
    assert!(!refused.status.success() && shown(&refused).contains("restored from an older copy"));
    fs::write(&config, format!("{text}on_lost_position = \"continue\"\n")).unwrap();
    let running = forward.start(&["--log-format", "text"]);
    running.err.wait_for("what was delivered before arrives again");
    let status = forward.wait_for(|status| status["delivered"] == 2);
    let reason = status["lastGap"]["reason"].as_str().unwrap();
    assert!(status["gaps"] == 1 && reason.contains("arrives again"), "{status}");
    assert!(status["lastGap"]["after"].is_string(), "{status}");
    let table = shown(&forward.run(&["status"]));
    assert!(table.contains("1 gap at ") && table.contains("arrives again"), "{table}");
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_says_where_an_event_is_damaged() {
    let (data, mut server, client) = service().await;
    let agent = client.agent().await;
    client.token(&agent).await;
    client.token(&agent).await;
    server.process.signal("-TERM");
    assert!(server.process.wait());
    rusqlite::Connection::open(data.path().join("grantex.db"))
        .unwrap()
        .execute("UPDATE events SET envelope = CAST('{}' AS BLOB) WHERE position = 3", [])
        .unwrap();
    let server = Server::start(data.path(), &[]);

    let target = ["--url", server.base.as_str(), "--api-key", client.key.as_str()];
    let tail = output(
        &[&["events", "tail", "--json", "--since", "2026-01-01T00:00:00Z"], &target[..]].concat(),
    );
    assert_eq!(String::from_utf8_lossy(&tail.stdout).lines().count(), 2, "{}", shown(&tail));
    let said = |text: &str| text.contains("position 3") && text.contains("after evt_");
    assert!(!tail.status.success() && said(&shown(&tail)), "{}", shown(&tail));

    let audit = "[[destination]]\nname = \"audit\"\ntype = \"file\"\npath = \"-\"\n";
    let forward = Forward::new(&server.base, &client.key, audit);
    let running = forward.start(&["--log-format", "text"]);
    let failing =
        forward.wait_for(|status| status["state"] == "failing" && status["delivered"] == 2);
    assert!(said(failing["lastError"].as_str().unwrap()), "{failing}");
    running.err.wait_for("manual action required");
}
