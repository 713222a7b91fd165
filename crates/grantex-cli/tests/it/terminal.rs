//! What a person sees on a terminal.

use std::fs::File;
use std::io::Read as _;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::json;

use crate::support::{Server, grantex};

/// What a command shows on a terminal of this width, line by line.
fn on_a_terminal(columns: u16, arguments: &[&str], key: &str) -> Vec<String> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let terminal = openpt(flags).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).unwrap();
    let other_end = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let mut command = grantex(arguments);
    command.env("GRANTEX_API_KEY", key).env("NO_COLOR", "1").env("TZ", "UTC0");
    let mut process = command.stdin(Stdio::null()).stdout(other_end).spawn().unwrap();
    // The command holds the other end too.
    drop(command);
    let mut shown = Vec::new();
    // Its end is an error, once nobody has the other end any more.
    let _ = File::from(terminal).read_to_end(&mut shown);
    assert!(process.wait().unwrap().success());
    String::from_utf8(shown).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn lines_have_names_and_fit_the_width() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let client = server.sandbox().await;
    let mut agents = Vec::new();
    for name in ["Travel agent", "Hotel finder"] {
        let (_, made) = client.post("/v1/agents", &json!({"name": name})).await.unwrap();
        agents.push(made["agentId"].as_str().unwrap().to_owned());
    }
    let token = client.token(&agents[0]).await;
    let budget = json!({"grantId": token["grantId"], "initialBudget": 100});
    assert_eq!(client.post("/v1/budget/allocate", &budget).await.unwrap().0, 201);
    let debit = json!({"grantId": token["grantId"], "amount": "84.50"});
    assert_eq!(client.post("/v1/budget/debit", &debit).await.unwrap().0, 200);
    let delegated =
        json!({"parentGrantToken": token["grantToken"], "subAgentId": agents[1], "scopes": ["a"]});
    assert_eq!(client.post("/v1/grants/delegate", &delegated).await.unwrap().0, 201);

    let list = |columns| {
        let arguments = ["events", "list", "--oldest", "--url", &server.base];
        on_a_terminal(columns, &arguments, &client.key)
    };
    let wide = list(160);
    let log = client.log().await;
    assert_eq!(wide.len(), log.len());
    for (line, event) in wide.iter().zip(&log) {
        let id = event["id"].as_str().unwrap();
        assert!(line.ends_with(id) && line.contains(event["type"].as_str().unwrap()), "{line}");
        let time = event["createdAt"].as_str().unwrap()[..19].replace('T', " ");
        assert!(line.starts_with(&time), "{line}");
    }
    for (line, sentence) in wide.iter().zip([
        "user-1 allowed Travel agent a",
        "Travel agent for user-1: by exchange",
        "crossed 50 %: 15.5 of 100 left: Travel agent for user-1",
        "crossed 80 %: 15.5 of 100 left: Travel agent for user-1",
        "Travel agent passed a on to Hotel finder",
    ]) {
        assert!(line.contains(&format!("  {sentence}  ")), "{line}");
    }
    for columns in [100, 80, 60, 50, 40, 30] {
        let narrow = list(columns);
        assert_eq!(narrow.len(), wide.len());
        for (line, event) in narrow.iter().zip(&log) {
            assert!(line.chars().count() <= columns.into(), "{columns}: {line}");
            let id = event["id"].as_str().unwrap();
            assert!(line.ends_with(&format!("…{}", &id[id.len() - 6..])), "{columns}: {line}");
        }
    }

    // What stands at the end of a line finds its event.
    let show = |id: &str| {
        let arguments = ["events", "show", id, "--json", "--url", &server.base];
        grantex(&arguments).env("GRANTEX_API_KEY", &client.key).output().unwrap()
    };
    let line = list(40).pop().unwrap();
    let found = show(line.rsplit(' ').next().unwrap());
    let event = log.last().unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&found.stdout).unwrap(), *event);
    let lower = event["id"].as_str().unwrap()[20..].to_lowercase();
    assert_eq!(show(&lower).stdout, found.stdout);
    for (id, says) in [("ZZZZZZ", "no id of the newest 10000"), ("x y", "is not an event id")] {
        let failed = show(id);
        let error = String::from_utf8(failed.stderr).unwrap();
        assert!(!failed.status.success() && error.contains(says), "{error}");
    }
}
