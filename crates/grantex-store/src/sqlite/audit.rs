//! The audit trail's rows.

use grantex_core::StoreError;
use grantex_core::model::{Actor, ActorKind, AuditEntry};
use grantex_core::store::{Page, StoreResult};
use grantex_types::{AuditId, DeveloperId, Timestamp};
use rusqlite::Row;

use super::read::NEWEST;
use super::unit_of_work::UnitOfWork;
use super::usage::{AUDIT_SIZE, ROW, text};
use super::values::{int, time, unreadable};

impl UnitOfWork<'_> {
    pub(super) fn read_audit(
        &self,
        developer: DeveloperId,
        page: Page<AuditId>,
    ) -> StoreResult<Vec<AuditEntry>> {
        self.all(
            "SELECT * FROM audit_entries WHERE developer_id = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3 OFFSET ?4",
            (
                developer.to_bytes(),
                page.after.map_or(NEWEST, AuditId::to_bytes),
                page.limit,
                int(page.offset),
            ),
            entry,
        )
    }

    pub(super) fn write_audit(
        &self,
        developer: DeveloperId,
        entry: &AuditEntry,
    ) -> StoreResult<u64> {
        let details = serde_json::to_string(&entry.details)
            .map_err(|error| StoreError::Internal(format!("audit details: {error}")))?;
        self.execute(
            "INSERT INTO audit_entries (developer_id, id, created_at, actor_kind, actor_id, action, target, details)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            (
                developer.to_bytes(),
                entry.id.to_bytes(),
                int(entry.created_at.millis()),
                kind_code(entry.actor.kind),
                &entry.actor.id,
                &entry.action,
                &entry.target,
                &details,
            ),
        )?;
        Ok(ROW.saturating_add(text(&details)))
    }

    pub(super) fn remove_audit(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        self.remove_counted(
            "DELETE FROM audit_entries WHERE (developer_id, id) IN
             (SELECT developer_id, id FROM audit_entries WHERE created_at < ?1 ORDER BY created_at LIMIT ?2)",
            AUDIT_SIZE,
            (int(before.millis()), limit),
        )
    }
}

fn kind_code(kind: ActorKind) -> u8 {
    match kind {
        ActorKind::System => 0,
        ActorKind::ApiKey => 1,
        ActorKind::Principal => 2,
        ActorKind::Operator => 3,
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    let details: String = row.get("details")?;
    Ok(AuditEntry {
        id: AuditId::from_bytes(row.get("id")?),
        created_at: time(row, "created_at")?,
        actor: Actor {
            kind: match row.get::<_, u8>("actor_kind")? {
                1 => ActorKind::ApiKey,
                2 => ActorKind::Principal,
                3 => ActorKind::Operator,
                _ => ActorKind::System,
            },
            id: row.get("actor_id")?,
        },
        action: row.get("action")?,
        target: row.get("target")?,
        details: serde_json::from_str(&details).map_err(|error| unreadable("details", error))?,
    })
}
