//! `docs/metrics.md` beside the code and beside what the service and the forwarder show.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::support::{Client, PATIENCE, Process, Server, grantex};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// One row of the document.
struct Documented {
    kind: String,
    labels: BTreeSet<String>,
    appears_later: bool,
}

/// The words between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The rows below a heading of the document.
fn documented(heading: &str) -> BTreeMap<String, Documented> {
    let text = fs::read_to_string(Path::new(ROOT).join("docs/metrics.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let rows = section.lines().filter_map(|line| {
        let [_, name, kind, labels, meaning, _] = line.split('|').collect::<Vec<_>>()[..] else {
            return None;
        };
        // A label's values stand behind a colon.
        let labels = labels.split_once(':').map_or(labels, |(name, _)| name);
        let row = Documented {
            kind: kind.trim().to_owned(),
            labels: quoted(labels).map(str::to_owned).collect(),
            appears_later: meaning.contains("Appears with"),
        };
        Some((quoted(name).next()?.to_owned(), row))
    });
    rows.collect()
}

/// The names of metrics in the sources of these crates.
fn registered(crates: &[&str]) -> BTreeSet<String> {
    /// A cookie.
    const NO_METRIC: &str = "grantex_session";
    let mut folders: Vec<_> =
        crates.iter().map(|name| Path::new(ROOT).join("crates").join(name).join("src")).collect();
    let mut names = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let is_name =
                |text: &&str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let found =
                text.split('"').filter(|text| text.starts_with("grantex_") && is_name(text));
            names.extend(found.filter(|name| *name != NO_METRIC).map(str::to_owned));
        }
    }
    names
}

/// Holds what `/metrics` shows against the rows.
fn compare(shown: &str, rows: &BTreeMap<String, Documented>) {
    let mut types = BTreeMap::new();
    let mut helped = BTreeSet::new();
    for line in shown.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["#", "TYPE", name, kind] => drop(types.insert(name, kind)),
            ["#", "HELP", name, ..] => drop(helped.insert(name)),
            _ => {}
        }
    }
    for (name, kind) in &types {
        let row = rows.get(*name).unwrap_or_else(|| panic!("docs/metrics.md lacks {name}"));
        assert_eq!(*kind, row.kind, "{name}");
        assert!(helped.contains(name), "{name} is not described");
        let endings: &[&str] =
            if *kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        let lines = shown.lines().filter_map(|line| {
            let (start, _) = line.rsplit_once(' ')?;
            let (sample, labels) = start.split_once('{').unwrap_or((start, ""));
            let ending = sample.strip_prefix(name)?;
            (!line.starts_with('#') && endings.contains(&ending)).then_some(labels)
        });
        for labels in lines {
            let names = labels.split("=\"").filter_map(|part| part.rsplit([',', '"']).next());
            let names: BTreeSet<String> = names
                .filter(|name| !name.is_empty() && !["}", "le"].contains(name))
                .map(str::to_owned)
                .collect();
            assert_eq!(names, row.labels, "{name} has other labels: {labels}");
        }
    }
    for (name, row) in rows {
        assert!(row.appears_later || types.contains_key(name.as_str()), "{name} is not shown");
    }
}

async fn metrics(client: &Client, base: &str) -> String {
    client.http.get(format!("{base}/metrics")).send().await.unwrap().text().await.unwrap()
}

#[test]
fn the_list_names_what_the_code_registers() {
    let service: BTreeSet<String> = documented("The service").into_keys().collect();
    assert_eq!(registered(&["grantex-core", "grantex-server", "grantex-store"]), service);
    let forwarder: BTreeSet<String> = documented("The forwarder").into_keys().collect();
    assert_eq!(registered(&["grantex", "grantex-destinations", "grantex-cli"]), forwarder);
}

#[tokio::test]
async fn the_list_names_what_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &["--metrics", "true"]);
    let client = server.sandbox().await;
    compare(&metrics(&client, &server.base).await, &documented("The service"));

    let config = folder.path().join("forward.toml");
    let text = format!(
        "url = {:?}\napi_key = {:?}\nstate_dir = {:?}\nlisten = \"127.0.0.1:0\"\n\
         since = \"2026-01-01T00:00:00Z\"\n\
         [[destination]]\nname = \"audit\"\ntype = \"file\"\npath = {:?}\n",
        server.base,
        client.key,
        folder.path().join("state"),
        folder.path().join("events.ndjson"),
    );
    fs::write(&config, text).unwrap();
    let mut command =
        grantex(&["forward", "--log-format", "json", "--config", config.to_str().unwrap()]);
    let mut forwarder = Process::start(&mut command);
    let line = forwarder.err.wait_for("serving health");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let base = format!("http://{}", line["address"].as_str().unwrap());
    forwarder.err.wait_for("\"forwarding\"");
    let rows = documented("The forwarder");
    let first = metrics(&client, &base).await;
    compare(&first, &rows);
    assert!(
        first.contains("grantex_forward_dead_letters_total{destination=\"audit\"} 0"),
        "{first}"
    );
    let agent = client.agent().await;
    client.token(&agent).await;
    let begun = std::time::Instant::now();
    let last = loop {
        let shown = metrics(&client, &base).await;
        if shown.contains("grantex_forward_events_delivered_total{destination=\"audit\"} 2") {
            break shown;
        }
        assert!(begun.elapsed() < PATIENCE, "{shown}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    compare(&last, &rows);
    forwarder.signal("-TERM");
    assert!(forwarder.wait());
    compare(&metrics(&client, &server.base).await, &documented("The service"));
}
