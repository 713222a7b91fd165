//! What a start finds in its data folder: all that the last release wrote there, or what is missing
//! from it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use reqwest::Method;
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Client, Server, grantex, output};

/// Longer than the events of a fixture are old.
const FOR_EVER: &[&str] = &["--retention-age", "36500d"];

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), &target).unwrap();
            fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

/// A data folder that a release wrote, with what would have run out by today as if it were just
/// written.
fn fixture(name: &str) -> (TempDir, Value) {
    let folder = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    copy_folder(&from, folder.path());
    let expected = folder.path().join("expected.json");
    let text = fs::read_to_string(&expected).unwrap();
    fs::remove_file(expected).unwrap();
    let database = Connection::open(folder.path().join("grantex.db")).unwrap();
    let now = "CAST(1000 * unixepoch('subsec') AS INTEGER)";
    let hour = 3_600_000;
    database
        .execute_batch(&format!(
            "UPDATE auth_requests SET created_at = {now}, expires_at = {now} + {hour}, decided_at = {now} WHERE status = 1;
             UPDATE kept_answers SET created_at = {now};"
        ))
        .unwrap();
    (folder, serde_json::from_str(&text).unwrap())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

async fn find_everything(server: &Server, expected: &Value) {
    for developer in expected["developers"].as_array().unwrap() {
        let client = Client {
            http: reqwest::Client::new(),
            base: server.base.clone(),
            key: text(&developer["apiKey"]),
        };
        assert_eq!(client.get("/v1/me").await.unwrap().1["developerId"], developer["developerId"]);
        let revoked = Client { key: text(&developer["revokedApiKey"]), ..client.clone() };
        assert_eq!(revoked.get("/v1/me").await.unwrap().0, 401);
        assert_eq!(
            Value::Array(client.log().await),
            developer["events"],
            "every event, in order, byte for byte"
        );
        for agent in developer["agents"].as_array().unwrap() {
            let (status, _) = client.get(&format!("/v1/agents/{}", text(agent))).await.unwrap();
            assert_eq!(status, 200);
        }
        for (grant, status) in developer["grants"].as_object().unwrap() {
            let found = client.get(&format!("/v1/grants/{grant}")).await.unwrap().1;
            assert_eq!(found["status"], *status, "{grant}");
        }
        for (tokens, is_valid) in [("inForce", true), ("notInForce", false)] {
            for (grant, token) in developer[tokens].as_object().unwrap() {
                let verdict =
                    client.post("/v1/tokens/verify", &json!({"token": token})).await.unwrap().1;
                assert_eq!(verdict["valid"], is_valid, "{grant}");
            }
        }
        for (grant, balance) in developer["balances"].as_object().unwrap() {
            let found = client.get(&format!("/v1/budget/balance/{grant}")).await.unwrap().1;
            assert_eq!(found["remainingBudget"], balance["remaining"], "{grant}");
            let debits = client.get(&format!("/v1/budget/transactions/{grant}")).await.unwrap().1;
            assert_eq!(debits["total"], balance["debits"], "{grant}");
        }
        let once = &developer["once"];
        let request = client
            .http
            .request(Method::POST, format!("{}{}", client.base, text(&once["path"])))
            .bearer_auth(&client.key)
            .header("Idempotency-Key", text(&once["key"]))
            .json(&once["body"]);
        let again: Value =
            serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
        assert_eq!(again, once["answer"], "done once");
        let refresh = &developer["refresh"];
        let body = json!({"agentId": refresh["agentId"], "refreshToken": refresh["refreshToken"]});
        let (status, token) = client.post("/v1/token/refresh", &body).await.unwrap();
        assert_eq!((status, &token["grantId"]), (201, &refresh["grantId"]), "{token}");
        let (status, token) = client.post("/v1/token", &developer["code"]).await.unwrap();
        assert_eq!(status, 201, "{token}");
        assert_eq!(client.log().await.len(), developer["events"].as_array().unwrap().len() + 3);
    }
}

#[tokio::test]
async fn a_folder_of_0_1_0_opens_with_everything_in_it() {
    let (folder, expected) = fixture("data-0.1.0");
    let base = text(&expected["base"]);
    let arguments = [FOR_EVER, &["--public-url", &base]].concat();
    let mut server = Server::start(folder.path(), &arguments);
    find_everything(&server, &expected).await;
    // Their checksums come while it runs.
    let left = || -> i64 {
        let database = Connection::open(folder.path().join("grantex.db")).unwrap();
        database
            .query_row("SELECT count(*) FROM events WHERE checksum IS NULL", [], |row| row.get(0))
            .unwrap()
    };
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while left() > 0 {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    server.process.signal("-TERM");
    assert!(server.process.wait());
    let again = Server::start(folder.path(), &arguments);
    let client = Client {
        http: reqwest::Client::new(),
        base: again.base.clone(),
        key: text(&expected["developers"][0]["apiKey"]),
    };
    assert!(client.log().await.len() > 20);
}

/// A folder with a token in force, whose service has ended.
async fn stopped(folder: &Path) -> (Client, String, Value) {
    let mut server = Server::start(folder, &["--public-url", "http://same.example"]);
    let client = server.sandbox().await;
    let agent = client.agent().await;
    let token = client.token(&agent).await;
    server.process.signal("-TERM");
    assert!(server.process.wait());
    (client, agent, token)
}

#[track_caller]
fn refused(folder: &Path, words: &[&str]) {
    let end = output(&["serve", "--listen", "127.0.0.1:0", "--data-dir", folder.to_str().unwrap()]);
    let message = String::from_utf8_lossy(&end.stderr).into_owned();
    assert!(!end.status.success(), "{message}");
    for word in words {
        assert!(message.contains(word), "{word}: {message}");
    }
}

#[tokio::test]
async fn keys_that_are_missing_or_others_are_not_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (client, agent, token) = stopped(folder.path()).await;
    let other = tempfile::tempdir().unwrap();
    stopped(other.path()).await;
    let master = folder.path().join("master.key");
    let kept = fs::read(&master).unwrap();
    let backup = &["backup", "--accept-new-keys"];

    fs::remove_file(&master).unwrap();
    refused(folder.path(), &[&["master.key", "is missing", "refresh tokens"][..], backup].concat());
    assert!(!master.exists(), "none was made");
    fs::copy(other.path().join("master.key"), &master).unwrap();
    refused(folder.path(), &[&["master.key", "is not the key"][..], backup].concat());
    fs::write(&master, &kept).unwrap();

    let keys = folder.path().join("signing-keys");
    let aside = folder.path().join("aside");
    fs::rename(&keys, &aside).unwrap();
    refused(folder.path(), &[&[".pem", "is missing", "grant tokens"][..], backup].concat());
    assert!(!keys.exists(), "none was made");
    // Another key under the same name.
    fs::create_dir(&keys).unwrap();
    let pem = fs::read_dir(&aside).unwrap().next().unwrap().unwrap();
    let theirs = fs::read_dir(other.path().join("signing-keys")).unwrap().next().unwrap().unwrap();
    // The fingerprint of a key is taken at the first start that finds it in use.
    fs::copy(pem.path(), keys.join(pem.file_name())).unwrap();
    Server::start(folder.path(), &["--public-url", "http://same.example"]);
    fs::copy(theirs.path(), keys.join(pem.file_name())).unwrap();
    refused(folder.path(), &[&[".pem", "is not the key"][..], backup].concat());
    fs::remove_dir_all(&keys).unwrap();

    // Expressly, and then for good.
    fs::remove_file(&master).unwrap();
    let accepting = ["--public-url", "http://same.example", "--accept-new-keys"];
    let verify = async |server: &Server| {
        let client = client.at(&server.base);
        let verdict = client
            .post("/v1/tokens/verify", &json!({"token": token["grantToken"]}))
            .await
            .unwrap()
            .1;
        let refresh = json!({"agentId": agent, "refreshToken": token["refreshToken"]});
        (verdict["valid"] == true, client.post("/v1/token/refresh", &refresh).await.unwrap().0)
    };
    let server = Server::start(folder.path(), &accepting);
    server.process.err.wait_for("become invalid");
    assert_eq!(verify(&server).await, (false, 400));
    client.at(&server.base).token(&agent).await;
    drop(server);
    let server = Server::start(folder.path(), &accepting[..2]);
    client.at(&server.base).token(&agent).await;
}

#[tokio::test]
async fn a_key_that_others_can_read_is_refused_with_the_command_that_helps() {
    let folder = tempfile::tempdir().unwrap();
    stopped(folder.path()).await;
    let pem =
        fs::read_dir(folder.path().join("signing-keys")).unwrap().next().unwrap().unwrap().path();
    for file in [folder.path().join("master.key"), pem] {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let command = format!("chmod 600 {}", file.display());
        refused(folder.path(), &[&command, "mode 644"]);
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }
    // What others can only write may be a container's volume: it is said, and no reason to refuse.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o770)).unwrap();
    let server = Server::start(folder.path(), &[]);
    server.process.err.wait_for("chmod go-w");
}

#[tokio::test]
async fn a_file_that_holds_no_key_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    stopped(folder.path()).await;
    let file = folder.path().join("signing-keys/0.pem");
    fs::write(&file, "hi").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    refused(folder.path(), &["signing-keys/0.pem", "no RSA private key", "backup"]);
    fs::remove_file(&file).unwrap();
    Server::start(folder.path(), &[]);
}

#[tokio::test]
async fn what_a_kill_and_a_lost_write_ahead_log_took_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &[]);
    let client = server.sandbox().await;
    let agent = client.agent().await;
    client.token(&agent).await;
    let events = client.log().await.len();
    let mark = folder.path().join("grantex.mark");
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while !fs::read_to_string(&mark).unwrap().contains(&format!("\"events\":{events},")) {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    server.process.kill();
    fs::remove_file(folder.path().join("grantex.db-wal")).unwrap();
    refused(folder.path(), &["2 events are missing", "grantex.db-wal", "--accept-loss", "backup"]);
    refused(folder.path(), &["2 events are missing"]);
    let mut accepting =
        grantex(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir"]);
    accepting.arg(folder.path()).env("GRANTEX_ACCEPT_LOSS", "true");
    let process = crate::support::Process::start(&mut accepting);
    process.err.wait_for("\"serving\"");
    drop(process);
    Server::start(folder.path(), &[]);
}

#[tokio::test]
async fn an_orderly_stop_leaves_files_that_can_be_copied() {
    let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (client, agent, token) = stopped(folder.path()).await;
    fs::copy(folder.path().join("grantex.db"), copy.path().join("grantex.db")).unwrap();
    fs::copy(folder.path().join("master.key"), copy.path().join("master.key")).unwrap();
    copy_folder(&folder.path().join("signing-keys"), &copy.path().join("signing-keys"));
    let server = Server::start(copy.path(), &["--public-url", "http://same.example"]);
    let client = client.at(&server.base);
    assert_eq!(client.log().await.len(), 2);
    let refresh = json!({"agentId": agent, "refreshToken": token["refreshToken"]});
    assert_eq!(client.post("/v1/token/refresh", &refresh).await.unwrap().0, 201);
}

/// Needs root: the service runs as a user of its own, and its operator rotates with sudo.
#[tokio::test]
async fn a_key_made_by_root_belongs_to_the_folders_owner() {
    use std::os::unix::fs::MetadataExt as _;
    const NOBODY: u32 = 65534;
    let folder = tempfile::tempdir().unwrap();
    stopped(folder.path()).await;
    let keys = folder.path().join("signing-keys");
    if std::os::unix::fs::chown(&keys, Some(NOBODY), Some(NOBODY)).is_err() {
        return;
    }
    let made = output(&["keys", "rotate-signing", "--data-dir", folder.path().to_str().unwrap()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let kid = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    assert_eq!(fs::metadata(keys.join(format!("{kid}.pem"))).unwrap().uid(), NOBODY);
}

/// What `grantex check` finds, as kinds and the whole of each.
#[track_caller]
fn check(folder: &Path) -> Vec<(String, String)> {
    let end = output(&["check", "--json", "--data-dir", folder.to_str().unwrap()]);
    let report: Value = serde_json::from_slice(&end.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&end.stderr)));
    let problems = report["problems"].as_array().unwrap();
    assert_eq!(end.status.success(), problems.is_empty(), "{report}");
    problems.iter().map(|problem| (text(&problem["kind"]), problem.to_string())).collect()
}

/// The kind of a problem, words of its text, and what makes it.
const DAMAGE: [(&str, &str, &str); 10] = [
    (
        "event",
        "position 3 is damaged",
        "UPDATE events SET envelope = CAST(replace(envelope, 'user-1', 'user-9') AS BLOB), checksum = checksum + 1 WHERE position = 3",
    ),
    ("event", "position 5 is missing", "DELETE FROM events WHERE position = 5"),
    (
        "log",
        "outside the log",
        "INSERT INTO events SELECT developer_id, 999, id, created_at, kind, grant_id, agent_id, principal_id, envelope, checksum FROM events WHERE position = 1",
    ),
    ("budget", "the debits add up to", "UPDATE transactions SET amount = amount + 1"),
    ("budget", "debits exist", "UPDATE budgets SET debits = debits + 1"),
    (
        "grant",
        "is missing",
        "PRAGMA foreign_keys = OFF; DELETE FROM grants WHERE parent_id IS NULL",
    ),
    (
        "grant",
        "ends after",
        "UPDATE grants SET expires_at = expires_at + 100000000 WHERE parent_id IS NOT NULL AND revoked_at IS NULL",
    ),
    (
        "grant",
        "has scopes that",
        "UPDATE grants SET scopes = '[\"zzz\"]' WHERE parent_id IS NOT NULL AND revoked_at IS NULL",
    ),
    ("grant", "a cascade would miss it", "DELETE FROM grant_ancestry"),
    ("row", "is missing", "PRAGMA foreign_keys = OFF; DELETE FROM developers"),
];

#[tokio::test]
async fn a_check_finds_each_damaged_or_missing_item() {
    let (folder, expected) = fixture("data-0.1.0");
    let end = output(&["check", "--data-dir", folder.path().to_str().unwrap()]);
    assert!(
        !end.status.success() && String::from_utf8_lossy(&end.stderr).contains("older version")
    );
    let base = text(&expected["base"]);
    let server = Server::start(folder.path(), &[FOR_EVER, &["--public-url", &base]].concat());
    find_everything(&server, &expected).await;
    assert_eq!(check(folder.path()), [], "beside the running service");

    for (kind, words, change) in DAMAGE {
        let copy = tempfile::tempdir().unwrap();
        let target = copy.path().join("data");
        let backed_up = output(&[
            "backup",
            "--data-dir",
            folder.path().to_str().unwrap(),
            "--to",
            target.to_str().unwrap(),
        ]);
        assert!(backed_up.status.success(), "{}", String::from_utf8_lossy(&backed_up.stderr));
        assert_eq!(check(&target), [], "a backup");
        Connection::open(target.join("grantex.db")).unwrap().execute_batch(change).unwrap();
        let found = check(&target);
        assert!(
            found.iter().any(|(found, all)| found == kind && all.contains(words)),
            "{kind} {words}: {found:#?}"
        );
    }

    let copy = tempfile::tempdir().unwrap();
    let target = copy.path().join("data");
    output(&[
        "backup",
        "--data-dir",
        folder.path().to_str().unwrap(),
        "--to",
        target.to_str().unwrap(),
    ]);
    fs::remove_file(target.join("master.key")).unwrap();
    fs::remove_dir_all(target.join("signing-keys")).unwrap();
    let found = check(&target);
    assert!(found.iter().filter(|(kind, _)| kind == "key").count() >= 3, "{found:#?}");
    // A backup of what is damaged says so.
    let again = copy.path().join("again");
    Connection::open(target.join("grantex.db"))
        .unwrap()
        .execute("UPDATE events SET checksum = checksum + 1 WHERE position = 3", [])
        .unwrap();
    fs::write(target.join("master.key"), [1; 32]).unwrap();
    fs::create_dir(target.join("signing-keys")).unwrap();
    let end = output(&[
        "backup",
        "--data-dir",
        target.to_str().unwrap(),
        "--to",
        again.to_str().unwrap(),
    ]);
    let said = String::from_utf8_lossy(&[end.stdout, end.stderr].concat()).into_owned();
    assert!(
        !end.status.success()
            && said.contains("position 3 is damaged")
            && said.contains("older backup"),
        "{said}"
    );
    // Its exit code is its answer, also where nobody reads the rest.
    for form in [&["check"][..], &["check", "--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let arguments = [form, &["--data-dir", target.to_str().unwrap()]].concat();
        assert_eq!(
            grantex(&arguments).stdout(writer).status().unwrap().code(),
            Some(1),
            "{form:?}"
        );
    }
    // A page of it, as a bad sector would leave it.
    let mut bytes = fs::read(target.join("grantex.db")).unwrap();
    let middle = bytes.len() / 8192 * 4096;
    bytes[middle..middle + 4096].fill(0xAB);
    fs::write(target.join("grantex.db"), bytes).unwrap();
    assert!(check(&target).iter().any(|(kind, _)| kind == "page"));
    fs::write(target.join("grantex.db"), []).unwrap();
    assert!(
        matches!(&check(&target)[..], [(kind, all)] if kind == "loss" && all.contains("missing or \
            empty"))
    );
    let nothing = output(&["check", "--data-dir", copy.path().to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("--data-dir"));
}
