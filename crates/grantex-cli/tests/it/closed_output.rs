use crate::support::grantex;

#[test]
fn no_command_panics_where_its_output_cannot_be_written() {
    let commands =
        [&["completions", "bash"][..], &["completions", "zsh"], &["completions", "fish"], &["openapi"]];
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
        assert!(ended.code().is_some_and(|code| code <= 2), "{arguments:?} onto a full disk: {ended}");

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = grantex(arguments);
        let ended = command.stdout(writer.try_clone().unwrap()).stderr(writer).status().unwrap();
        assert!(ended.code().is_some_and(|code| code <= 2), "{arguments:?} into a closed pipe: {ended}");
    }
    for arguments in commands {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let failed = grantex(arguments).stdout(full).output().unwrap();
        let told = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert!(!failed.status.success() && told.contains("standard output cannot be written"), "{told}");
    }
}
