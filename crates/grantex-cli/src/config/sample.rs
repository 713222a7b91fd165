//! `docs/grantex.toml` beside the options: it has each of them once, and its defaults are what the
//! service takes.

use std::collections::BTreeMap;

use clap::{Args as _, Command};

use super::Options;

const SAMPLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/grantex.toml"));

/// The lines `#name = value`, or those with a space before the name; each without its `#`.
fn lines(is_example: bool) -> Vec<(&'static str, &'static str)> {
    let start = if is_example { "# " } else { "#" };
    let assignments = SAMPLE.lines().filter_map(|line| line.strip_prefix(start)?.split_once(" = "));
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    assignments.filter(|(name, _)| is_name(name)).collect()
}

fn parse(lines: &[(&str, &str)]) -> Options {
    let lines: Vec<String> =
        lines.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    toml::from_str(&lines.join("\n")).unwrap()
}

#[test]
fn the_sample_has_every_option_once() {
    let mut counts = BTreeMap::new();
    for (name, _) in [lines(false), lines(true)].concat() {
        *counts.entry(name.to_owned()).or_insert(0) += 1;
    }
    let command = Options::augment_args(Command::new("serve"));
    let options: BTreeMap<String, i32> =
        command.get_arguments().map(|option| (option.get_id().to_string(), 1)).collect();
    assert_eq!(counts, options);
    parse(&lines(true));
}

#[test]
fn the_sample_s_defaults_are_the_service_s_and_the_help_s() {
    let defaults = lines(false);
    let described = |options: &Options| {
        let listen = options.listen().to_string();
        let kept =
            (options.data_dir(), options.log().to_owned(), format!("{:?}", options.log_format()));
        (
            options.metrics_listen.is_none(),
            kept,
            format!("{:#?}", options.settings(&listen).unwrap()),
            listen,
        )
    };
    assert_eq!(described(&parse(&defaults)), described(&Options::default()));

    let command = Options::augment_args(Command::new("serve"));
    for (name, value) in defaults {
        let option = command.get_arguments().find(|option| option.get_id() == name).unwrap();
        let help = option.get_help().unwrap().to_string();
        let (_, said) = help
            .rsplit_once("[default: ")
            .unwrap_or_else(|| panic!("{name} has no default in its help"));
        let said = said.split([';', ']']).next().unwrap();
        assert_eq!(said, value.trim_matches('"'), "{name}");
    }
}
