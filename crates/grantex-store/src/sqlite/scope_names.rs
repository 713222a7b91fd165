//! The rows of scopes' names.

use grantex_core::model::ScopeName;
use grantex_core::store::StoreResult;
use grantex_types::DeveloperId;
use rusqlite::Row;

use super::unit_of_work::UnitOfWork;
use super::usage::{ROW, SCOPE_NAME_SIZE, text};
use super::values::{int, time, uint};

impl UnitOfWork<'_> {
    pub(super) fn read_scope_name(
        &self,
        developer: DeveloperId,
        scope: &str,
    ) -> StoreResult<Option<ScopeName>> {
        self.one(
            "SELECT * FROM scope_names WHERE developer_id = ?1 AND scope = ?2",
            (developer.to_bytes(), scope),
            row_of,
        )
    }

    pub(super) fn read_scope_names(
        &self,
        developer: DeveloperId,
        limit: u32,
    ) -> StoreResult<Vec<ScopeName>> {
        self.all(
            "SELECT * FROM scope_names WHERE developer_id = ?1 ORDER BY scope LIMIT ?2",
            (developer.to_bytes(), limit),
            row_of,
        )
    }

    pub(super) fn write_scope_name(
        &mut self,
        developer: DeveloperId,
        name: &ScopeName,
    ) -> StoreResult<()> {
        let sql = format!(
            "SELECT {SCOPE_NAME_SIZE} AS bytes FROM scope_names WHERE developer_id = ?1 AND scope = ?2"
        );
        let key = (developer.to_bytes(), &name.scope);
        let before = self.one(&sql, key, |row| uint(row, "bytes"))?.unwrap_or(0);
        self.execute(
            "INSERT INTO scope_names (developer_id, scope, name, description, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (developer_id, scope)
             DO UPDATE SET name = ?3, description = ?4, updated_at = ?5",
            (
                developer.to_bytes(),
                &name.scope,
                &name.name,
                &name.description,
                int(name.updated_at.millis()),
            ),
        )?;
        let texts = [&name.scope, &name.name, &name.description];
        let bytes = texts.into_iter().fold(ROW, |sum, one| sum.saturating_add(text(one)));
        // As with agents, one that shrinks keeps its place.
        self.stored(developer, bytes.saturating_sub(before))
    }

    pub(super) fn remove_scope_name(
        &self,
        developer: DeveloperId,
        scope: &str,
    ) -> StoreResult<bool> {
        let rows = self.remove_counted(
            "DELETE FROM scope_names WHERE developer_id = ?1 AND scope = ?2",
            SCOPE_NAME_SIZE,
            (developer.to_bytes(), scope),
        )?;
        Ok(rows > 0)
    }
}

fn row_of(row: &Row<'_>) -> rusqlite::Result<ScopeName> {
    Ok(ScopeName {
        scope: row.get("scope")?,
        name: row.get("name")?,
        description: row.get("description")?,
        updated_at: time(row, "updated_at")?,
    })
}
