use std::collections::HashSet;

use serde_json::Value;

use crate::support::{Process, Server, grantex, output, stdout};

#[test]
fn every_command_has_help_with_an_example() {
    for command in [
        &[][..],
        &["dev"],
        &["serve"],
        &["events"],
        &["events", "tail"],
        &["events", "list"],
        &["events", "show"],
        &["keys"],
        &["scopes"],
        &["scopes", "set"],
        &["scopes", "list"],
        &["scopes", "remove"],
        &["keys", "bootstrap"],
        &["developers"],
        &["developers", "list"],
        &["developers", "show"],
        &["developers", "suspend"],
        &["developers", "resume"],
        &["backup"],
        &["check"],
        &["completions"],
    ] {
        let help = stdout(grantex(command).arg("--help"));
        assert!(help.contains("Example") && help.contains("grantex"), "{command:?}: {help}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(&mut grantex(&["completions", shell])).contains("grantex"));
    }
    assert!(stdout(&mut grantex(&["--version"])).starts_with("grantex "));
    let document: Value = serde_json::from_str(&stdout(&mut grantex(&["openapi"]))).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
}

#[test]
fn dev_with_demo_shows_all_five_types_and_keeps_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let run = || {
        let mut process = Process::start(&mut grantex(&[
            "dev",
            "--demo",
            "--rate",
            "50",
            "--json",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            data,
        ]));
        let key = process.err.wait_for("export GRANTEX_API_KEY=gx_test_");
        process.err.wait_for("curl -N");
        process.out.wait_for("budget.exhausted");
        process.out.wait_for("grant.revoked");
        let types: HashSet<String> = process
            .out
            .all()
            .iter()
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["type"].as_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(types.len(), 5, "{types:?}");
        process.signal("-INT");
        assert!(process.wait(), "{:#?}", process.err.all());
        assert!(
            process.out.all().iter().all(|line| !line.contains('\u{1b}')),
            "no colours but on a terminal"
        );
        let shown = stdout(&mut grantex(&["dev", "--show-key", "--data-dir", data]));
        assert_eq!(shown.lines().nth(1), Some(key.trim()), "{shown}");
        assert!(shown.starts_with("export GRANTEX_BASE_URL=http://127.0.0.1:"), "{shown}");
        key
    };
    assert_eq!(run(), run());
    let elsewhere = tempfile::tempdir().unwrap();
    let refused = output(&["dev", "--show-key", "--data-dir", elsewhere.path().to_str().unwrap()]);
    assert!(
        !refused.status.success()
            && String::from_utf8_lossy(&refused.stderr).contains("--data-dir")
    );
}

#[test]
fn scopes_get_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let made = stdout(&mut grantex(&["keys", "--json", "--url", &server.base, "signup", "Acme"]));
    let key = serde_json::from_str::<Value>(&made).unwrap()["apiKey"].as_str().unwrap().to_owned();
    let scopes = |arguments: &[&str]| {
        let mut command = grantex(&["scopes", "--url", &server.base]);
        command.args(arguments).env("GRANTEX_API_KEY", &key);
        command
    };
    let url = "https://api.example/auth/calendar";
    stdout(&mut scopes(&["set", url, "Read your calendar", "--description", "Titles and times"]));
    let file = folder.path().join("scopes.json");
    let names: Vec<_> =
        (0..150).map(|n| serde_json::json!({"scope": format!("s{n}"), "name": "S"})).collect();
    std::fs::write(&file, serde_json::json!({"scopes": names}).to_string()).unwrap();
    stdout(&mut scopes(&["set", "--file", file.to_str().unwrap()]));
    let list = stdout(&mut scopes(&["list"]));
    assert_eq!(list.lines().count(), 151);
    assert!(list.contains(&format!("{url}  Read your calendar  Titles and times")), "{list}");
    stdout(&mut scopes(&["remove", url]));
    let json: Value = serde_json::from_str(&stdout(&mut scopes(&["list", "--json"]))).unwrap();
    assert_eq!(json["scopes"].as_array().unwrap().len(), 150);
    // All of a file is checked before anything is sent.
    let mut names = names;
    names.rotate_left(1);
    names[0]["name"] = "Another".into();
    names[130]["name"] = "\u{301}".into();
    std::fs::write(&file, serde_json::json!({"scopes": names}).to_string()).unwrap();
    let failed = scopes(&["set", "--file", file.to_str().unwrap()]).output().unwrap();
    let error = String::from_utf8_lossy(&failed.stderr);
    assert!(error.contains("line 1: scope \"s131\": name must have"), "{error}");
    let after = serde_json::from_str::<Value>(&stdout(&mut scopes(&["list", "--json"]))).unwrap();
    assert_eq!(after, json);
    for (wrong, told) in [
        (&["remove", url][..], "name of this scope"),
        (&["set", url], "<NAME>"),
        (&["set", url, " "], "name must not be empty"),
        (&["set", "--file", "/none"], "/none cannot be read"),
    ] {
        let failed = scopes(wrong).output().unwrap();
        let error = String::from_utf8_lossy(&failed.stderr);
        assert!(!failed.status.success() && error.contains(told), "{error}");
    }
}

#[test]
fn keys_through_their_life() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let keys = |key: &str, arguments: &[&str]| {
        let mut command = grantex(&["keys", "--json", "--url", &server.base]);
        command.args(arguments).env("GRANTEX_API_KEY", key);
        command
    };
    let read = |mut command: std::process::Command| -> Value {
        serde_json::from_str(&stdout(&mut command)).unwrap()
    };
    let made = read(keys("", &["signup", "Acme", "--email", "a@b.example", "--sandbox"]));
    let key = made["apiKey"].as_str().unwrap();
    assert!(key.starts_with("gx_test_"));
    let second = read(keys(key, &["create", "ci"]));
    assert_eq!(read(keys(key, &["list"]))["keys"].as_array().unwrap().len(), 2);
    stdout(&mut keys(key, &["revoke", second["keyId"].as_str().unwrap()]));
    let failed = keys(second["apiKey"].as_str().unwrap(), &["list"]).output().unwrap();
    let message = String::from_utf8_lossy(&failed.stderr).into_owned();
    let told = "the service refused the API key: it is wrong or was revoked; check GRANTEX_API_KEY";
    assert!(!failed.status.success() && message.contains(told), "{message}");
    assert!(message.contains("[401 UNAUTHORIZED, request "), "{message}");
    let own = read(keys(key, &["list"]))["keys"][1]["keyId"].as_str().unwrap().to_owned();
    let refused = keys(key, &["revoke", &own]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("add --yes"));
    let people = |arguments: &[&str]| {
        let mut command = grantex(&["keys", "--url", &server.base]);
        stdout(command.args(arguments).env("GRANTEX_API_KEY", key))
    };
    let list = people(&["list"]);
    let states: Vec<&str> =
        list.lines().filter_map(|line| line.split_whitespace().nth(3)).collect();
    assert_eq!(states, ["STATE", "revoked", "active"], "{list}");
    let third = read(keys(key, &["create", "third"]))["keyId"].as_str().unwrap().to_owned();
    assert_eq!(people(&["revoke", &third]), format!("revoked {third}\n"));
    let rotated = read(keys(key, &["rotate"]));
    assert_ne!(rotated["apiKey"], key);

    let nowhere = output(&["keys", "list", "--url", "http://127.0.0.1:9", "--api-key", "x"]);
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("is the service running"));
    let without = output(&["keys", "list"]);
    assert!(String::from_utf8_lossy(&without.stderr).contains("GRANTEX_API_KEY"));
}

#[tokio::test]
async fn bootstrap_where_signup_is_off_and_signing_keys_rotate() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let mistyped = folder.path().join("mistyped");
    for wrong in [data, mistyped.to_str().unwrap()] {
        let refused = output(&["keys", "bootstrap", "Acme", "--data-dir", wrong]);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && told.contains(wrong) && told.contains("--create"),
            "{told}"
        );
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "nothing is made");
    let made = stdout(&mut grantex(&[
        "keys",
        "bootstrap",
        "Acme",
        "--sandbox",
        "--json",
        "--create",
        "--data-dir",
        data,
    ]));
    let made: Value = serde_json::from_str(&made).unwrap();
    let server = Server::start(folder.path(), &["--signup", "false"]);
    let client = crate::support::Client {
        http: reqwest::Client::new(),
        base: server.base.clone(),
        key: made["apiKey"].as_str().unwrap().to_owned(),
    };
    assert_eq!(client.get("/v1/me").await.unwrap().0, 200);
    assert_eq!(client.post("/v1/signup", &serde_json::json!({"name": "x"})).await.unwrap().0, 403);

    let agent = client.agent().await;
    let old = client.token(&agent).await;
    let kid =
        stdout(&mut grantex(&["keys", "rotate-signing", "--data-dir", data])).trim().to_owned();
    server.process.signal("-HUP");
    server.process.err.wait_for(&kid);
    let new = client.token(&agent).await;
    let keys = client.get("/.well-known/jwks.json").await.unwrap().1;
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    for token in [old, new] {
        let verdict = client
            .post("/v1/tokens/verify", &serde_json::json!({"token": token["grantToken"]}))
            .await
            .unwrap()
            .1;
        assert_eq!(verdict["valid"], true);
    }
}

#[tokio::test]
async fn the_tail_resumes_after_the_service_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &[]);
    let client = server.sandbox().await;
    let agent = client.agent().await;
    client.token(&agent).await;
    let mut command = grantex(&[
        "events",
        "tail",
        "--json",
        "--since",
        "2020-01-01T00:00:00Z",
        "--url",
        &server.base,
    ]);
    let tail = Process::start(command.env("GRANTEX_API_KEY", &client.key));
    tail.out.wait_count(2);
    let address = server.address();
    server.process.kill();
    tail.err.wait_for("reconnecting");
    let server = Server::start_at(&address, folder.path(), &[]);
    client.token(&agent).await;
    tail.out.wait_count(4);
    client.token(&agent).await;
    let lines = tail.out.wait_count(6);
    let log: Vec<String> =
        client.log().await.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    let got: Vec<String> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(got, log);

    let list = |arguments: &[&str]| {
        let mut command = grantex(&["events", "list", "--url", &server.base]);
        stdout(command.args(arguments).env("GRANTEX_API_KEY", &client.key))
    };
    let ids = |arguments: &[&str]| -> Vec<String> {
        let read = |line: &str| {
            serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned()
        };
        list(arguments).lines().map(read).collect()
    };
    let backwards: Vec<String> = log.iter().rev().cloned().collect();
    assert_eq!(ids(&["--json"]), backwards);
    assert_eq!(ids(&["--json", "--oldest"]), log);
    assert_eq!(ids(&["--json", "--limit", "2"]), backwards[..2]);
    assert_eq!(
        ids(&["--json", "--before", &log[3], "--after", &log[0]]),
        [&log[2], &log[1]].map(Clone::clone)
    );
    assert_eq!(ids(&["--json", "--since", "5m", "--oldest"]), log);
    assert_eq!(ids(&["--json", "--until", "5m"]), Vec::<String>::new());
    let show = |arguments: &[&str]| {
        let mut command = grantex(&["events", "show", "--url", &server.base]);
        command.args(arguments).env("GRANTEX_API_KEY", &client.key).output().unwrap()
    };
    let shown = show(&[&log[1], "--json"]).stdout;
    assert_eq!(serde_json::from_slice::<Value>(&shown).unwrap()["id"], log[1].as_str());
    let shown = String::from_utf8(show(&[&log[0]]).stdout).unwrap();
    assert!(
        shown.starts_with("user-1 allowed Agent a\nposition 1 of the log\n{\n  \"id\": "),
        "{shown}"
    );
    for (id, told) in [
        ("evt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA", "event not found"),
        ("evt_…X0Y1ZA", "no id of the newest"),
        ("grnt_1", "is not an event id: give the whole id, 30 characters such as evt_"),
        ("evt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZAA", "is not an event id"),
    ] {
        let refused = show(&[id]);
        assert!(
            !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains(told),
            "{id}"
        );
    }
    assert_eq!(list(&["--limit", "4"]).lines().count(), 4);
    assert_eq!(list(&["--types", "token.issued"]).lines().count(), 3);
    assert_eq!(list(&["--after", &log[3]]).lines().count(), 2);
    let wrong = output(&["events", "tail", "--types", "nope", "--api-key", "x"]);
    assert!(
        String::from_utf8_lossy(&wrong.stderr).contains("grant.created"),
        "it names the types there are"
    );
    // A key that does not work ends the tail; there is nothing to wait for.
    let mut command = grantex(&["events", "tail", "--url", &server.base, "--api-key", "gx_live_x"]);
    assert!(!command.output().unwrap().status.success());
}

#[tokio::test]
async fn operators_suspend_and_resume_while_the_service_runs() {
    let folder = tempfile::tempdir().unwrap();
    // Longer than a socket's address.
    let data = folder.path().join("a-long-name-".repeat(12));
    let command = |arguments: &[&str]| {
        let mut command = grantex(&["developers"]);
        command.args(arguments).arg("--data-dir").arg(&data);
        command
    };
    let without = command(&["list"]).output().unwrap();
    assert!(String::from_utf8_lossy(&without.stderr).contains("no service is running"));
    assert_eq!(without.stdout, b"", "no heading before an error");

    let server = Server::start(&data, &[]);
    let client = server.sandbox().await;
    let (_, me) = client.get("/v1/me").await.unwrap();
    let id = me["developerId"].as_str().unwrap();
    assert!(stdout(&mut command(&["list"])).contains(id));
    let list: Value = serde_json::from_str(&stdout(&mut command(&["list", "--json"]))).unwrap();
    assert_eq!(list["developers"][0]["developerId"], id);

    let shown = stdout(&mut command(&["suspend", id, "--reason", "leaked key"]));
    assert!(shown.contains("suspended since"), "{shown}");
    let (status, refused) = client.get("/v1/me").await.unwrap();
    assert_eq!((status, refused["code"].as_str()), (403, Some("DEVELOPER_SUSPENDED")));
    let shown: Value =
        serde_json::from_str(&stdout(&mut command(&["resume", id, "--json"]))).unwrap();
    assert_eq!((&shown["developerId"], &shown["suspendedAt"]), (&me["developerId"], &Value::Null));
    assert_eq!(client.get("/v1/me").await.unwrap().0, 200);

    let wrong = command(&["show", "dev_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA"]).output().unwrap();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("developer not found"));
}

#[tokio::test]
async fn mistakes_are_said_in_the_words_of_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let client = server.sandbox().await;
    for (wrong, told) in [
        (&["--limit", "0"][..], "0 is not in 1.."),
        (&["--since", "5m", "--until", "1h"], "which is not before --until"),
        (&["--after", "nope"], "expected an id such as evt_"),
        (&["--after", "evt_7ZZZZZZZZZZZZZZZZZZZZZZZZZ"], "correct --after"),
    ] {
        let mut command = grantex(&["events", "list", "--url", &server.base]);
        let refused = command.args(wrong).env("GRANTEX_API_KEY", &client.key).output().unwrap();
        let message = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && message.contains(told), "{message}");
        assert!(!message.contains("Last-Event-ID"), "{message}");
    }
    let mut command = grantex(&["events", "show"]);
    let usage = command.env("GRANTEX_API_KEY", "k").env("GRANTEX_BASE_URL", "http://x");
    let usage = String::from_utf8(usage.output().unwrap().stderr).unwrap();
    assert!(usage.contains("\nUsage: grantex events show [OPTIONS] <ID>\n"), "{usage}");
    let nested =
        output(&["events", "list", "--api-key", "k", "--url", &format!("{}/v1", server.base)]);
    let message = String::from_utf8_lossy(&nested.stderr).into_owned();
    assert!(message.contains("the base URL must not end in /v1"), "{message}");
}
