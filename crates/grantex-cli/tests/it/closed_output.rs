use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use crate::support::{PATIENCE, Server, grantex};

#[test]
fn no_command_panics_where_its_output_cannot_be_written() {
    let commands = [
        &["completions", "bash"][..],
        &["completions", "zsh"],
        &["completions", "fish"],
        &["openapi"],
    ];
    let more = [
        &["--help"][..],
        &["serve", "--help"],
        &["--version"],
        &["keys", "list"],
        &["backup", "--to", "/proc/no"],
    ];
    for arguments in commands.iter().chain(&more) {
        let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = grantex(arguments);
        let ended = command.stdout(full()).stderr(full()).status().unwrap();
        assert!(
            ended.code().is_some_and(|code| code <= 2),
            "{arguments:?} onto a full disk: {ended}"
        );

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = grantex(arguments);
        let ended = command.stdout(writer.try_clone().unwrap()).stderr(writer).status().unwrap();
        assert!(
            ended.code().is_some_and(|code| code <= 2),
            "{arguments:?} into a closed pipe: {ended}"
        );
    }
    for arguments in commands {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let failed = grantex(arguments).stdout(full).output().unwrap();
        let told = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert!(
            !failed.status.success() && told.contains("cannot write to standard output"),
            "{told}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarder_whose_only_output_is_gone_ends() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let client = server.sandbox().await;
    let agent = client.agent().await;
    client.token(&agent).await;
    for path in ["-", "/dev/stdout"] {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("forward.toml");
        let text = format!(
            "url = {:?}\napi_key = {:?}\nstate_dir = \"{}\"\nsince = \"2026-01-01T00:00:00Z\"\n[[destination]]\nname = \"out\"\ntype = \"file\"\npath = {path:?}\n",
            client.base,
            client.key,
            folder.path().join("state").display()
        );
        std::fs::write(&config, text).unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = grantex(&["forward", "--config", config.to_str().unwrap()]);
        let mut daemon = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        drop(command);
        let mut lines = BufReader::new(reader).lines();
        let ids: HashSet<String> = (0..2).map(|_| lines.next().unwrap().unwrap()).collect();
        assert_eq!(ids.len(), 2, "each once");
        drop(lines);
        client.token(&agent).await;
        let ended = tokio::task::spawn_blocking(move || {
            let status = daemon.wait().unwrap();
            let mut told = String::new();
            daemon.stderr.unwrap().read_to_string(&mut told).unwrap();
            (status, told)
        });
        let (status, told) = tokio::time::timeout(PATIENCE, ended).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(141), "{told}");
        assert!(told.contains("this pipe has no reader any more"), "{told}");
    }
}
