//! `grantex-mock [VECTORS]`: serves the cases of a folder until its standard input ends.

use std::io::Write as _;
use std::process::ExitCode;

/// Prints the base URL on one line. Exits with the process that started it, so that no test leaves
/// it behind.
#[tokio::main]
async fn main() -> ExitCode {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "vectors".into());
    let base = match grantex_mock::server::start(std::path::Path::new(&folder)).await {
        Ok(base) => base,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {folder}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let _ = writeln!(std::io::stdout(), "{base}");
    let _ =
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()))
            .await;
    ExitCode::SUCCESS
}
