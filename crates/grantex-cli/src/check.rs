//! `grantex check`

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::Args;
use grantex_core::env::Clock as _;
use grantex_server::SystemClock;
use grantex_store::sqlite::{self, Found, Problem};
use serde_json::json;

use crate::{CommandError, print};

/// What a service writes while its database is read stays in its write-ahead log: enough for some
/// minutes at full speed, and too little to fill a disk.
pub(crate) const DEFAULT_LARGEST_WAL: u64 = 4 << 30;

/// Check everything in a data directory, and report what is damaged or missing
///
/// It checks each page of the database, each event's checksum and position, budgets against their
/// debits, grants against the grants they were delegated from, the key files against their
/// fingerprints in the database, and the database's sequence against its mark. It changes nothing,
/// and the service may run meanwhile. It exits with 1 if anything is damaged or missing.
#[derive(Args)]
#[command(after_help = "Examples:
  grantex check                                       the data directory of the service here
  grantex check --data-dir ./backups/2026-03-01       a backup
  grantex check --data-dir ./grantex-data --json | jq '.problems[].place'")]
pub(crate) struct Check {
    /// The data directory to check
    #[arg(long, env = "GRANTEX_DATA_DIR", default_value = "./grantex-data", value_name = "FOLDER")]
    data_dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Skip a table's pages if the service's write-ahead log grows beyond this many bytes
    /// meanwhile; 0 for no limit
    #[arg(long, env = "GRANTEX_MAX_WAL", value_name = "BYTES", default_value_t = DEFAULT_LARGEST_WAL)]
    max_wal: u64,
}

pub(crate) fn run(check: &Check) -> Result<(), CommandError> {
    let problems = look(&check.data_dir, check.max_wal, check.json)?;
    if check.json {
        let problems: Vec<_> = problems
            .iter()
            .map(|Problem { kind, place, detail }| json!({ "kind": kind, "place": place, "detail": detail }))
            .collect();
        let report = json!({ "dataDir": check.data_dir, "problems": problems });
        serde_json::to_string_pretty(&report)?.lines().for_each(print::report);
    }
    match problems.len() {
        0 => {
            print::note(format_args!(
                "nothing is damaged or missing in {}",
                check.data_dir.display()
            ));
            Ok(())
        }
        1 => Err("1 item is damaged or missing; restore it from a backup".into()),
        count => {
            Err(format!("{count} items are damaged or missing; restore them from a backup").into())
        }
    }
}

/// Checks everything, shows progress on a terminal, and prints each problem unless `is_quiet`.
pub(crate) fn look(
    data_dir: &Path,
    max_wal: u64,
    is_quiet: bool,
) -> Result<Vec<Problem>, CommandError> {
    let mut report = Report { is_quiet, ..Report::default() };
    let keys = |store: &dyn grantex_core::store::Read| {
        let wrong = grantex_server::wrong_keys(store, &grantex_server::KeyFolder::new(data_dir));
        let wrong = wrong.unwrap_or_else(|error| vec![error.to_string()]);
        let place = data_dir.display().to_string();
        wrong
            .into_iter()
            .map(|detail| Problem { kind: "key", place: place.clone(), detail })
            .collect()
    };
    sqlite::check(data_dir, SystemClock.now(), max_wal, &mut |found| report.add(found), keys)?;
    report.clear();
    Ok(report.problems)
}

#[derive(Default)]
struct Report {
    is_quiet: bool,
    problems: Vec<Problem>,
    /// What it checks now, for a terminal.
    looking: Option<String>,
}

impl Report {
    fn add(&mut self, found: Found) {
        match found {
            Found::Looking(what) => self.progress(what, None),
            Found::Rows(rows) => {
                if let Some(what) = self.looking.take() {
                    self.progress(what, Some(rows));
                }
            }
            Found::Problem(problem) => {
                self.clear();
                if !self.is_quiet {
                    print::report(format_args!(
                        "{}  {}  {}",
                        problem.kind, problem.place, problem.detail
                    ));
                }
                self.problems.push(problem);
            }
        }
    }

    /// One line that is overwritten, on a terminal only.
    fn progress(&mut self, what: String, rows: Option<u64>) {
        if std::io::stderr().is_terminal() {
            let rows = rows.map_or(String::new(), |rows| format!(": {rows}"));
            print::over(format_args!("checking {what}{rows} …"));
            self.looking = Some(what);
        }
    }

    /// Removes the line.
    fn clear(&self) {
        if self.looking.is_some() {
            print::over("");
        }
    }
}
