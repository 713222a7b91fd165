//! What operators set, and how the process takes it.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

use reqwest::Client;
use serde_json::Value;

use crate::support::{PATIENCE, Process, Server, grantex, output};

fn told(arguments: &[&str]) -> String {
    let ended = output(arguments);
    assert!(!ended.status.success(), "{arguments:?}");
    String::from_utf8(ended.stderr).unwrap()
}

/// The variables that a command's help names.
fn variables(command: &str) -> Vec<String> {
    let help = String::from_utf8(output(&[command, "--help"]).stdout).unwrap();
    let named = help.split("[env: ").skip(1).filter_map(|rest| rest.split_once('='));
    named.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn an_empty_environment_variable_is_an_unset_one() {
    let folder = tempfile::tempdir().unwrap();
    let serve = variables("serve");
    assert!(serve.len() > 20, "{serve:?}");
    let mut command = grantex(&["serve"]);
    command.current_dir(folder.path());
    for name in &serve {
        command.env(name, "");
    }
    // One of them has to have a value: the default port may be taken.
    command.env("GRANTEX_LISTEN", "127.0.0.1:0");
    Process::start(&mut command).err.wait_for("\"serving\"");
    assert!(folder.path().join("grantex-data").is_dir());

    for (arguments, says) in [
        (&["events", "list"][..], "no API key"),
        (&["forward", "status"], "forward.toml"),
        (&["keys", "rotate-signing", "--data-dir", "/nowhere"], "/nowhere"),
    ] {
        let mut command = grantex(arguments);
        for name in [
            "GRANTEX_API_KEY",
            "GRANTEX_BASE_URL",
            "GRANTEX_FORWARD_CONFIG",
            "GRANTEX_DATA_DIR",
            "GRANTEX_LOG",
            "GRANTEX_LOG_FORMAT",
        ] {
            command.env(name, "");
        }
        let ended = command.current_dir(folder.path()).output().unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success() && told.contains(says), "{arguments:?}: {told}");
    }
}

#[test]
fn an_origin_that_no_browser_sends_is_refused_with_the_one_that_it_does() {
    let refused = told(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--cors-origins",
        "https://a.example,b.example",
    ]);
    assert!(
        refused.contains("--cors-origins") && refused.contains("https://b.example"),
        "{refused}"
    );
    let refused =
        told(&["serve", "--listen", "127.0.0.1:0", "--cors-origins", "https://a.example/app"]);
    assert!(refused.contains("\"https://a.example\""), "{refused}");
}

#[tokio::test]
async fn a_name_is_listened_on_and_stands_in_links() {
    let folder = tempfile::tempdir().unwrap();
    let extra = [
        "--metrics-listen",
        "localhost:0",
        "--cors-origins",
        " HTTPS://App.Example:443/ ",
        "--signup",
        "off",
    ];
    let server = Server::start_at("localhost:0", folder.path(), &extra);
    let line: Value = serde_json::from_str(&server.process.err.wait_for("\"serving\"")).unwrap();
    let port = server.address().rsplit(':').next().unwrap().to_owned();
    assert_eq!(line["base"], format!("http://localhost:{port}"));
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = Client::new();
    let url = format!("http://localhost:{port}/healthz");
    let answer = client.get(&url).header("Origin", "https://app.example").send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://app.example");
    let signup = client
        .post(format!("http://localhost:{port}/v1/signup"))
        .json(&serde_json::json!({"name": "x"}));
    assert_eq!(signup.send().await.unwrap().status(), 403);
    let refused = told(&["serve", "--listen", "localhost"]);
    assert!(refused.contains("localhost:8080"), "{refused}");
}

#[test]
fn log_lines_have_colours_where_other_output_has() {
    let folder = tempfile::tempdir().unwrap();
    for (variables, has_colours) in [
        (&[("CLICOLOR_FORCE", "1")][..], true),
        (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
        (&[], false),
    ] {
        let mut command =
            grantex(&["serve", "--listen", "127.0.0.1:0", "--log-format", "text", "--data-dir"]);
        command
            .arg(folder.path())
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE")
            .envs(variables.iter().copied());
        let line = Process::start(&mut command).err.wait_for("serving");
        assert_eq!(line.contains('\u{1b}'), has_colours, "{line:?}");
    }
}

#[test]
fn a_service_whose_log_cannot_be_written_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let listening = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command =
        grantex(&["serve", "--log", "trace", "--listen", &listening.to_string(), "--data-dir"]);
    let mut child =
        command.arg(folder.path()).stdout(full.try_clone().unwrap()).stderr(full).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while answer(listening).is_none_or(|answer| !answer.contains(" 200 OK")) {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "it serves");
    }
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}

fn answer(address: std::net::SocketAddr) -> Option<String> {
    let mut socket = std::net::TcpStream::connect(address).ok()?;
    socket
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn a_hangup_ends_dev_and_not_a_service() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = grantex(&["dev", "--listen", "127.0.0.1:0", "--data-dir"]);
    let mut dev = Process::start(command.arg(folder.path().join("dev")));
    dev.err.wait_for("Events appear here");
    dev.signal("-HUP");
    assert!(dev.wait());

    let mut server = Server::start(&folder.path().join("serve"), &[]);
    server.process.signal("-HUP");
    server.process.err.wait_for("signing keys reloaded");
    server.process.signal("-TERM");
    assert!(server.process.wait());
}

/// As in a container: without a handler the system would throw the signal away.
#[test]
fn a_signal_ends_the_first_process_while_it_starts() {
    let alone = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args(["--pid", "--fork", "--kill-child"])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    if !alone(&["true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: this user may not make a namespace of processes");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let binary = env!("CARGO_BIN_EXE_grantex");
    // The second waits for a service that is not there: it never comes to hear signals itself.
    for arguments in [
        &[binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", data][..],
        &[binary, "events", "tail", "--api-key", "gx_test_x", "--url", "http://127.0.0.1:1"],
    ] {
        let mut outer = alone(arguments).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let inner = loop {
            assert!(Instant::now() < deadline, "it starts");
            if let Some(inner) = first_that_handles_signals(outer.id(), binary) {
                break inner;
            }
        };
        assert!(Command::new("kill").arg(inner).status().unwrap().success());
        while outer.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "{arguments:?} outlives SIGTERM");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// The child of a process, once it is this program and has a handler for SIGTERM.
fn first_that_handles_signals(parent: u32, binary: &str) -> Option<String> {
    const SIGTERM: u32 = 15;
    let child = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let child = child.split_whitespace().next()?.to_owned();
    let command = std::fs::read_to_string(format!("/proc/{child}/cmdline")).ok()?;
    let status = std::fs::read_to_string(format!("/proc/{child}/status")).ok()?;
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
    let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
    (command.starts_with(binary) && caught >> (SIGTERM - 1) & 1 == 1).then_some(child)
}
