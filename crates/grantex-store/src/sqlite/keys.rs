//! What the database knows of the key files that it depends on.

use grantex_core::store::StoreResult;
use grantex_types::Timestamp;

use super::unit_of_work::UnitOfWork;
use super::values::int;

impl UnitOfWork<'_> {
    pub(super) fn read_fingerprint(&self, name: &str) -> StoreResult<Option<Vec<u8>>> {
        self.one("SELECT fingerprint FROM key_fingerprints WHERE name = ?1", [name], |row| {
            row.get("fingerprint")
        })
    }

    pub(super) fn write_fingerprint(&self, name: &str, fingerprint: &[u8]) -> StoreResult<()> {
        self.execute(
            "INSERT OR REPLACE INTO key_fingerprints (name, fingerprint) VALUES (?1, ?2)",
            (name, fingerprint),
        )?;
        Ok(())
    }

    pub(super) fn has_derived_secrets(&self) -> StoreResult<bool> {
        let found = self.one(
            "SELECT EXISTS (SELECT 1 FROM auth_requests WHERE id > x'') OR EXISTS (SELECT 1 FROM refresh_tokens WHERE developer_id > x'')
                 OR EXISTS (SELECT 1 FROM kept_answers WHERE developer_id > x'')",
            [],
            |row| row.get(0),
        )?;
        Ok(found.unwrap_or(false))
    }

    pub(super) fn read_needed_kids(&self, at: Timestamp) -> StoreResult<Vec<String>> {
        self.all("SELECT kid FROM signing_keys WHERE expires_at > ?1", [int(at.millis())], |row| {
            row.get("kid")
        })
    }

    pub(super) fn remove_kid(&self, kid: &str) -> StoreResult<()> {
        self.execute("DELETE FROM signing_keys WHERE kid = ?1", [kid])?;
        Ok(())
    }
}
