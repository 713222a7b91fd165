//! `grantex backup`

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use grantex_server::{MASTER_KEY_FILE, SIGNING_KEYS_FOLDER};
use grantex_store::sqlite;

use crate::check::{self, DEFAULT_LARGEST_WAL};
use crate::{CommandError, print};

/// Make a consistent copy of a data directory while the service runs
///
/// The copy holds the database as it was at one instant, and the keys. It is a data directory
/// itself. The command checks everything in it as `grantex check` does, and exits with 1 if
/// anything is damaged. To restore it, serve a copy of it. It holds secrets, like the original.
#[derive(Args)]
#[command(after_help = "Examples:
  grantex backup --data-dir ./grantex-data --to ./backups/$(date +%F)
  cp -a ./backups/2026-03-01 ./restored && grantex serve --data-dir ./restored   restore")]
pub(crate) struct Backup {
    /// The data directory to copy
    #[arg(long, env = "GRANTEX_DATA_DIR", default_value = "./grantex-data", value_name = "FOLDER")]
    data_dir: PathBuf,
    /// The folder to create; it must not exist
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// Stop with an error if the service's write-ahead log grows beyond this many bytes meanwhile;
    /// 0 for no limit
    #[arg(long, env = "GRANTEX_MAX_WAL", value_name = "BYTES", default_value_t = DEFAULT_LARGEST_WAL)]
    max_wal: u64,
}

pub(crate) fn run(backup: &Backup) -> Result<(), CommandError> {
    let target = &backup.to;
    if target.exists() {
        return Err(format!("{} exists already; choose a new folder", target.display()).into());
    }
    // Made beside the target and renamed at the end: a folder with that name is always whole.
    let name = target.file_name().ok_or("--to must name a folder")?.to_string_lossy();
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent)?;
    let unfinished = parent.join(format!(".{name}.unfinished"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    fs::DirBuilder::new().mode(0o700).create(&unfinished)?;
    print::note("copying the database …");
    let copied =
        sqlite::backup(&backup.data_dir, &unfinished.join(sqlite::FILE_NAME), backup.max_wal)
            .map_err(CommandError::from)
            // The keys after the database: whatever it names is there then.
            .and_then(|()| copy_keys(&backup.data_dir, &unfinished));
    if let Err(failure) = copied {
        fs::remove_dir_all(&unfinished)?;
        return Err(failure);
    }
    fs::rename(&unfinished, target)?;
    fs::File::open(parent)?.sync_all()?;
    let bytes = fs::metadata(target.join(sqlite::FILE_NAME))?.len();
    let problems = check::look(target, 0, false)?;
    if problems.is_empty() {
        print::line(format_args!("{} ({bytes} bytes, checked)", target.display()));
        return Ok(());
    }
    Err(format!(
        "the copy {} is complete, but {} items in it are damaged or missing, as in the original; \
         keep an older backup",
        target.display(),
        problems.len()
    )
    .into())
}

fn copy_keys(from: &Path, to: &Path) -> Result<(), CommandError> {
    copy(&from.join(MASTER_KEY_FILE), &to.join(MASTER_KEY_FILE))?;
    let folder = to.join(SIGNING_KEYS_FOLDER);
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    for entry in fs::read_dir(from.join(SIGNING_KEYS_FOLDER))? {
        let entry = entry?;
        copy(&entry.path(), &folder.join(entry.file_name()))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), CommandError> {
    // `fs::copy` keeps the permissions, and these files are their owner's alone.
    fs::copy(from, to).map_err(|error| format!("{}: {error}", from.display()))?;
    Ok(fs::File::open(to)?.sync_all()?)
}
