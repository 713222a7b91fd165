//! The rows of principals' sessions.

use grantex_core::model::PrincipalSession;
use grantex_core::store::{Page, StoreResult};
use grantex_types::{DeveloperId, KeyId, SessionId, Timestamp};
use rusqlite::{Row, named_params};

use super::read::NEWEST;
use super::unit_of_work::UnitOfWork;
use super::usage::ROW_SIZE;
use super::values::{int, time};

impl UnitOfWork<'_> {
    pub(super) fn read_session(
        &self,
        developer: DeveloperId,
        id: SessionId,
    ) -> StoreResult<Option<PrincipalSession>> {
        self.one(
            "SELECT * FROM principal_sessions WHERE developer_id = ?1 AND id = ?2",
            (developer.to_bytes(), id.to_bytes()),
            row_of,
        )
    }

    pub(super) fn read_sessions(
        &self,
        developer: DeveloperId,
        principal_id: Option<&str>,
        page: Page<SessionId>,
    ) -> StoreResult<Vec<PrincipalSession>> {
        let (developer, now) = (developer.to_bytes(), int(self.now.millis()));
        let after = page.after.map_or(NEWEST, SessionId::to_bytes);
        match principal_id {
            None => self.all(
                "SELECT * FROM principal_sessions WHERE developer_id = :developer AND id < :after
                 AND expires_at > :now ORDER BY id DESC LIMIT :limit OFFSET :offset",
                named_params! {
                    ":developer": developer, ":after": after, ":now": now, ":limit": page.limit,
                    ":offset": int(page.offset),
                },
                row_of,
            ),
            Some(principal_id) => self.all(
                "SELECT * FROM principal_sessions WHERE developer_id = :developer AND principal_id = :principal
                 AND id < :after AND expires_at > :now ORDER BY id DESC LIMIT :limit OFFSET :offset",
                named_params! {
                    ":developer": developer, ":principal": principal_id, ":after": after, ":now": now,
                    ":limit": page.limit, ":offset": int(page.offset),
                },
                row_of,
            ),
        }
    }

    pub(super) fn write_session(
        &self,
        developer: DeveloperId,
        session: &PrincipalSession,
    ) -> StoreResult<()> {
        self.execute(
            "INSERT INTO principal_sessions (developer_id, id, principal_id, key_id, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (
                developer.to_bytes(),
                session.session_id.to_bytes(),
                &session.principal_id,
                session.key_id.to_bytes(),
                int(session.created_at.millis()),
                int(session.expires_at.millis()),
            ),
        )?;
        Ok(())
    }

    pub(super) fn remove_session(
        &self,
        developer: DeveloperId,
        id: SessionId,
    ) -> StoreResult<bool> {
        let rows = self.remove_counted(
            "DELETE FROM principal_sessions WHERE developer_id = ?1 AND id = ?2",
            ROW_SIZE,
            (developer.to_bytes(), id.to_bytes()),
        )?;
        Ok(rows > 0)
    }

    pub(super) fn remove_sessions_of(
        &self,
        developer: DeveloperId,
        principal_id: &str,
        limit: u32,
    ) -> StoreResult<u64> {
        let rows = self.remove_counted(
            "DELETE FROM principal_sessions WHERE developer_id = ?1 AND id IN
             (SELECT id FROM principal_sessions WHERE developer_id = ?1 AND principal_id = ?2 LIMIT ?3)",
            ROW_SIZE,
            (developer.to_bytes(), principal_id, limit),
        )?;
        Ok(rows)
    }

    pub(super) fn remove_expired_sessions(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> StoreResult<u64> {
        let rows = self.remove_counted(
            "DELETE FROM principal_sessions WHERE (developer_id, id) IN
             (SELECT developer_id, id FROM principal_sessions WHERE expires_at < ?1 LIMIT ?2)",
            ROW_SIZE,
            (int(before.millis()), limit),
        )?;
        Ok(rows)
    }
}

fn row_of(row: &Row<'_>) -> rusqlite::Result<PrincipalSession> {
    Ok(PrincipalSession {
        session_id: SessionId::from_bytes(row.get("id")?),
        principal_id: row.get("principal_id")?,
        key_id: KeyId::from_bytes(row.get("key_id")?),
        created_at: time(row, "created_at")?,
        expires_at: time(row, "expires_at")?,
    })
}
