use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Client, Process, Server, grantex, output};

#[test]
fn a_second_process_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let server = Server::start(folder.path(), &[]);
    let second = output(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data]);
    let message = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success());
    assert!(
        message.contains(&format!("pid {}", server.process.pid()))
            && message.contains("--data-dir"),
        "{message}"
    );

    let other = tempfile::tempdir().unwrap();
    let taken = output(&[
        "serve",
        "--listen",
        &server.address(),
        "--data-dir",
        other.path().to_str().unwrap(),
    ]);
    assert!(String::from_utf8_lossy(&taken.stderr).contains("--listen"), "the port is taken");
}

#[test]
fn a_damaged_database_is_told_at_start() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("grantex.db"), "not a database".repeat(1000)).unwrap();
    let refused = output(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        folder.path().to_str().unwrap(),
    ]);
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && message.contains("damaged") && message.contains("backup"),
        "{message}"
    );
}

#[tokio::test]
async fn flags_win_over_environment_over_file() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let file = folder.path().join("grantex.toml");
    let text = format!(
        "data_dir = {data:?}\nsignup = true\nlisten = \"127.0.0.1:1\"\npublic_url = \"https://file.example\"\ndelegation_depth = 1\n"
    );
    fs::write(&file, text).unwrap();
    let mut command =
        grantex(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--config"]);
    command.arg(&file).env("GRANTEX_PUBLIC_URL", "https://environment.example");
    let process = Process::start(&mut command);
    let line: Value = serde_json::from_str(&process.err.wait_for("\"serving\"")).unwrap();
    assert_eq!(line["base"], "https://environment.example");
    assert!(line["data_dir"].as_str().unwrap().ends_with("data"));
    fs::write(&file, "no_such_option = 1\n").unwrap();
    let refused = output(&["serve", "--config", file.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no_such_option"));
}

#[tokio::test]
async fn tls_by_files() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let server = Server::start(&folder.path().join("data"), &tls);
    assert!(server.base.starts_with("https://"));
    let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let http = reqwest::Client::builder().tls_certs_only([root]).build().unwrap();
    let anonymous = Client { http, base: server.base.clone(), key: String::new() };
    let ready = anonymous.http.get(format!("{}/readyz", server.base)).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    assert_eq!(ready.headers()["strict-transport-security"], "max-age=31536000");
    let half = output(&["serve", "--tls-cert", "x.pem"]);
    assert!(!half.status.success());

    // A client that uses the wrong scheme gets an error with the cause and the remedy.
    let plain = Server::start(&folder.path().join("plain"), &[]);
    let list = |url: &str, roots: &std::path::Path| {
        let mut command = grantex(&["events", "list", "--api-key", "gx_test_x", "--url", url]);
        let failed = command.env("SSL_CERT_FILE", roots).env_remove("SSL_CERT_DIR").output();
        String::from_utf8(failed.unwrap().stderr).unwrap()
    };
    let to_plain = plain.base.replace("http://", "https://");
    let error = list(&to_plain, &certificate);
    let says = format!("answered without TLS: if it does not speak TLS, use {}", plain.base);
    assert!(error.contains(&says), "{error}");
    let error = list(&server.base.replace("https://", "http://"), &certificate);
    let says = format!("something that is not HTTP: if it speaks TLS, use {}", server.base);
    assert!(error.contains(&says), "{error}");
    let missing = folder.path().join("missing.pem");
    for (roots, reason) in [(&missing, "cannot be read"), (&key, "holds no PEM certificate")] {
        let error = list(&server.base, roots);
        let says = format!("SSL_CERT_FILE names {}, which {reason}", roots.display());
        assert!(error.contains(&says), "{error}");
    }
    assert!(list(&server.base, &certificate).contains("401 UNAUTHORIZED"));

    // A certificate that has expired is loaded with a warning; the client names the reason.
    let mut old = rcgen::CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
    old.not_after = rcgen::date_time_ymd(2020, 2, 3);
    let old_key = rcgen::KeyPair::generate().unwrap();
    fs::write(&certificate, old.self_signed(&old_key).unwrap().pem()).unwrap();
    fs::write(&key, old_key.serialize_pem()).unwrap();
    let server = Server::start(&folder.path().join("old"), &tls);
    server.process.err.wait_for("expired on 2020-02-03T00:00:00.000Z");
    let error = list(&server.base, &certificate);
    assert!(error.contains("the server's certificate has expired"), "{error}");
}

#[test]
fn a_mistake_in_the_configuration_file_is_said_with_its_place_and_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("grantex.toml");
    for (text, says) in [
        ("# ours\nsignup = no\n", "grantex.toml: line 2: signup must be true or false ("),
        ("signup_burst = 0\n", "grantex.toml: line 1: signup_burst must be 1 or more; to forbid"),
    ] {
        fs::write(&file, text).unwrap();
        let ended = output(&["serve", "--config", file.to_str().unwrap()]);
        let error = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success() && error.contains(says), "{error}");
    }
    let ended = output(&["serve", "--listen", "127.0.0.1:0", "--signup-burst", "0"]);
    let error = String::from_utf8(ended.stderr).unwrap();
    assert!(error.contains("--signup-burst must be 1 or more"), "{error}");
}

/// A mistake in the files is said with the file and the reason, at the start and at a reload; after
/// a reload that failed the certificate before stays in force, and no success is logged for it.
#[tokio::test]
async fn mistakes_in_the_tls_files_name_the_file_and_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let mut authority = rcgen::CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority = authority.self_signed(&authority_key).unwrap();
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, text) in [
        ("chain.pem", made.cert.pem()),
        ("key.pem", made.signing_key.serialize_pem()),
        ("other-key.pem", other.signing_key.serialize_pem()),
        ("authority.pem", authority.pem()),
        ("authority-key.pem", authority_key.serialize_pem()),
        ("encrypted.pem", encrypted.into()),
        ("garbage.pem", garbage.into()),
        ("empty.pem", String::new()),
    ] {
        fs::write(path(name), text).unwrap();
    }
    for (chain, key, file, reason) in [
        ("empty.pem", "key.pem", "empty.pem", "holds no PEM certificate"),
        ("key.pem", "chain.pem", "key.pem", "holds no PEM certificate"),
        ("garbage.pem", "key.pem", "garbage.pem", "is not an X.509 certificate"),
        ("none.pem", "key.pem", "none.pem", "No such file"),
        ("chain.pem", "empty.pem", "empty.pem", "holds no PEM private key"),
        ("chain.pem", "encrypted.pem", "encrypted.pem", "is encrypted"),
        (
            "chain.pem",
            "other-key.pem",
            "other-key.pem",
            "does not belong to the first certificate in",
        ),
    ] {
        let data = path("data");
        let failed = output(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            &data,
            "--tls-cert",
            &path(chain),
            "--tls-key",
            &path(key),
        ]);
        let said = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert!(
            !failed.status.success() && said.contains(&path(file)) && said.contains(reason),
            "{said}"
        );
    }

    let data = folder.path().join("data");
    let files = ["--tls-cert", &path("authority.pem"), "--tls-key", &path("authority-key.pem")];
    let mut server = Server::start(&data, &files);
    server.process.err.wait_for("the server's certificate is a CA certificate");
    fs::write(path("authority.pem"), "").unwrap();
    server.process.signal("-HUP");
    let failed = server.process.err.wait_for("the TLS files were not reloaded");
    assert!(
        failed.contains("authority.pem") && failed.contains("holds no PEM certificate"),
        "{failed}"
    );
    server.process.err.wait_for("signing keys reloaded");
    assert!(!server.process.err.all().join("\n").contains("certificate reloaded"));
    fs::write(path("authority.pem"), authority.pem()).unwrap();
    server.process.signal("-HUP");
    server.process.err.wait_for("TLS certificate reloaded");
    server.process.signal("-TERM");
    assert!(server.process.wait());
}

#[tokio::test]
async fn a_backup_is_a_data_directory() {
    let folder = tempfile::tempdir().unwrap();
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let server = Server::start(&data, &["--public-url", "http://same.example"]);
    let client = server.sandbox().await;
    let agent = client.agent().await;
    let token = client.token(&agent).await;
    let backup = || {
        let mut command = grantex(&[
            "backup",
            "--data-dir",
            data.to_str().unwrap(),
            "--to",
            copy.to_str().unwrap(),
        ]);
        command.output().unwrap()
    };
    assert!(backup().status.success());
    assert!(!backup().status.success(), "an existing folder is not overwritten");
    client.token(&agent).await;

    // The drill of docs/security.md: what is served is a copy, and the backup stays as it is.
    let (database, restored_data) = (copy.join("grantex.db"), folder.path().join("restored"));
    let before = fs::read(&database).unwrap();
    let copied = Command::new("cp").arg("-a").args([&copy, &restored_data]).status().unwrap();
    assert!(copied.success());
    assert!(output(&["check", "--data-dir", restored_data.to_str().unwrap()]).status.success());
    let restored_server = Server::start(&restored_data, &["--public-url", "http://same.example"]);
    let restored = client.at(&restored_server.base);
    let log = client.log().await;
    assert_eq!(restored.log().await[..], log[..2]);
    // Keys came along: what was signed and derived before is good there.
    let verdict =
        restored.post("/v1/tokens/verify", &json!({"token": token["grantToken"]})).await.unwrap().1;
    assert_eq!(verdict["valid"], true);
    let refresh = json!({"agentId": agent, "refreshToken": token["refreshToken"]});
    assert_eq!(restored.post("/v1/token/refresh", &refresh).await.unwrap().0, 201);
    assert_eq!(fs::read(&database).unwrap(), before);
    assert!(!copy.join("grantex.db-wal").exists(), "nobody opened the backup");
}

#[tokio::test]
async fn nothing_secret_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &["--log", "trace"]);
    let client = server.sandbox().await;
    let agent = client.agent().await;
    let token = client.token(&agent).await;
    let refresh = json!({"agentId": agent, "refreshToken": token["refreshToken"]});
    client.post("/v1/token/refresh", &refresh).await.unwrap();
    let ticket = client.post("/v1/events/tickets", &json!({})).await.unwrap().1["ticket"]
        .as_str()
        .unwrap()
        .to_owned();
    let session =
        client.post("/v1/principal-sessions", &json!({"principalId": "user-1"})).await.unwrap().1;
    let anonymous = client.http.clone();
    let mut stream = anonymous
        .get(format!("{}/v1/events/stream?ticket={ticket}", server.base))
        .send()
        .await
        .unwrap();
    stream.chunk().await.unwrap();
    anonymous.get(session["dashboardUrl"].as_str().unwrap()).send().await.unwrap();
    drop(stream);
    server.process.signal("-TERM");
    assert!(server.process.wait());
    let log = server.process.err.all().join("\n");
    assert!(log.contains("/v1/events/stream"), "there is a log to look at");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    for secret in [
        client.key.clone(),
        ticket,
        text(&session["sessionToken"]),
        text(&token["refreshToken"]),
        text(&token["grantToken"]),
    ] {
        assert!(!log.contains(&secret[..secret.len().min(40)]), "{secret}");
    }
    // And the files are their owner's alone.
    let modes = Command::new("find")
        .arg(folder.path())
        .args(["-type", "f", "-perm", "/077"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&modes.stdout), "");
}

#[tokio::test]
async fn metrics_are_where_they_were_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("a"), &["--metrics", "true"]);
    let client = server.sandbox().await;
    let agent = client.agent().await;
    let mut stream = client
        .http
        .get(format!("{}/v1/events/stream", server.base))
        .bearer_auth(&client.key)
        .send()
        .await
        .unwrap();
    stream.chunk().await.unwrap();
    client.token(&agent).await;
    stream.chunk().await.unwrap();
    let text = client
        .http
        .get(format!("{}/metrics", server.base))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    for name in [
        "grantex_events_appended_total 2",
        "grantex_streams_open{transport=\"sse\"} 1",
        "grantex_events_delivered_total{transport=\"sse\"} ",
        "grantex_delivery_lag_seconds_count",
        "grantex_commit_batch_commands_count",
        "grantex_commit_seconds_count",
        "grantex_http_request_seconds_count{method=\"POST\",route=\"/v1/token\",status=\"201\"} 1",
    ] {
        assert!(text.contains(name), "{name}\n{text}");
    }
    assert!(!text.contains(&client.key));

    let server = Server::start(&folder.path().join("b"), &["--metrics-listen", "127.0.0.1:0"]);
    let status = client.http.get(format!("{}/metrics", server.base)).send().await.unwrap().status();
    assert_eq!(status, 404);
    let line: Value =
        serde_json::from_str(&server.process.err.wait_for("\"serving metrics\"")).unwrap();
    let url = |path: &str| format!("http://{}{path}", line["address"].as_str().unwrap());
    let text = client.http.get(url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(text.contains("grantex_http_request_seconds_count"), "{text}");
    assert_eq!(client.http.get(url("/v1/me")).send().await.unwrap().status(), 404, "metrics only");
}
