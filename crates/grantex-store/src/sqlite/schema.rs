//! The tables. A migration is never changed after it was released; a new one is added.

use std::path::Path;

use rusqlite::Connection;

use super::open::{OpenError, describe};

/// Marks a file as ours: "GRTX".
const APPLICATION_ID: i32 = 0x4752_5458;

/// Ids are 16-byte blobs (their order is the ids' order), times are milliseconds since 1970,
/// amounts are ten-thousandths. Tables that are read by tenant are clustered by tenant.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_tenants.sql"),
    include_str!("migrations/0003_debits.sql"),
    include_str!("migrations/0004_credentials.sql"),
    include_str!("migrations/0005_damage.sql"),
    include_str!("migrations/0006_writes.sql"),
    include_str!("migrations/0007_quotas.sql"),
    include_str!("migrations/0008_scope_names.sql"),
];

/// Which of the migrations a database has had; refuses one of something else, or of a newer
/// release.
pub(super) fn version(connection: &Connection, path: &Path) -> Result<usize, OpenError> {
    let failed = |error: &rusqlite::Error| describe(path, error);
    let version: usize = connection
        .pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
        .map_err(|error| failed(&error))?
        .try_into()
        .unwrap_or(usize::MAX);
    let application: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(|error| failed(&error))?;
    if version > MIGRATIONS.len() {
        return Err(OpenError::Newer { path: path.to_owned(), version, known: MIGRATIONS.len() });
    }
    if version > 0 && application != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    Ok(version)
}

/// The version that this program writes.
pub(super) fn newest() -> usize {
    MIGRATIONS.len()
}

/// Whether there is such a table.
pub(super) fn has_table(
    connection: &Connection,
    name: &str,
    path: &Path,
) -> Result<bool, OpenError> {
    connection.table_exists(None, name).map_err(|error| describe(path, &error))
}

/// Brings the tables up to date, each migration in its own transaction.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |error: &rusqlite::Error| describe(path, error);
    let version = version(connection, path)?;
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(version) {
        let step = || -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(
                None,
                "user_version",
                i64::try_from(index).unwrap_or(i64::MAX).saturating_add(1),
            )?;
            transaction.commit()
        };
        let mut step = step;
        step().map_err(|error| failed(&error))?;
    }
    Ok(())
}
