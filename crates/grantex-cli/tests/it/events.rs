//! Reading the log from the command line when things go wrong.

use serde_json::Value;

use crate::support::{Process, Server, grantex, stdout};

#[tokio::test]
async fn a_tail_says_how_many_events_it_caught_up_with() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &[]);
    let client = server.sandbox().await;
    let agent = client.agent().await;
    client.token(&agent).await;
    let mut command = grantex(&[
        "events",
        "tail",
        "--since",
        "1h",
        "--types",
        "token.issued",
        "--url",
        &server.base,
    ]);
    let tail = Process::start(command.env("GRANTEX_API_KEY", &client.key));
    tail.out.wait_count(1);
    let address = server.address();
    server.process.kill();
    tail.err.wait_for("connection lost");
    // Where the tail does not find it.
    let mut elsewhere = Server::start(folder.path(), &[]);
    for _ in 0..3 {
        client.at(&elsewhere.base).token(&agent).await;
    }
    elsewhere.process.kill();
    let mut server = Server::start_at(&address, folder.path(), &[]);
    tail.err.wait_for("connected again, 3 events caught up");
    assert_eq!(tail.out.all().len(), 4);
    server.process.kill();
    tail.err.wait_count(3);
    let mut command = grantex(&["events", "tail", "--since", "1h", "--url", &server.base]);
    let early = Process::start(command.env("GRANTEX_API_KEY", &client.key));
    early.err.wait_for("not connected");
    let _server = Server::start_at(&address, folder.path(), &[]);
    tail.err.wait_for("connected again, no event was missed");
    early.out.wait_count(8);
    assert_eq!(early.err.all()[1..], ["connected"]);
}

#[tokio::test]
async fn where_an_event_is_damaged_a_command_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let client = server.sandbox().await;
    let agent = client.agent().await;
    for _ in 0..3 {
        client.token(&agent).await;
    }
    let log = client.log().await;
    rusqlite::Connection::open(folder.path().join("grantex.db"))
        .unwrap()
        .execute("UPDATE events SET checksum = checksum + 1 WHERE position IN (3, 4)", [])
        .unwrap();
    let events = |arguments: &[&str]| {
        let mut command = grantex(&["events", "--url", &server.base]);
        command.args(arguments).env("GRANTEX_API_KEY", &client.key);
        command
    };
    // What it printed, and the option that it names.
    let ended = |arguments: &[&str], option: &str| {
        let ended = events(arguments).output().unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success() && told.contains("EVENT_DAMAGED"), "{told}");
        let place = told.split(&format!("use {option} ")).nth(1).expect(&told);
        (String::from_utf8(ended.stdout).unwrap(), place.trim().to_owned())
    };
    let positions = |printed: &str| -> Vec<usize> {
        let read = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        let position = |line| log.iter().position(|event| *event == read(line)).unwrap() + 1;
        printed.lines().map(position).collect()
    };
    let (printed, before) = ended(&["list", "--json"], "--before");
    assert_eq!(positions(&printed), [6, 5]);
    assert_eq!(positions(&stdout(&mut events(&["list", "--json", "--before", &before]))), [2, 1]);
    for command in [&["list", "--oldest", "--json"][..], &["tail", "--json", "--since", "1h"]] {
        let (printed, after) = ended(command, "--after");
        assert_eq!(positions(&printed), [1, 2]);
        let rest = stdout(&mut events(&["list", "--oldest", "--json", "--after", &after]));
        assert_eq!(positions(&rest), [5, 6]);
    }
}
