//! Lists of grants: those that a filter shows, found without looking at more than is bounded.

use grantex_core::model::Grant;
use grantex_core::store::{GrantFilter, MOST_LOOKED_AT, Page, Sifted, StoreResult};
use grantex_types::api::grants::GrantStatus;
use grantex_types::{AgentId, DeveloperId, GrantId};
use rusqlite::types::ToSql;

use super::cascade::{COVERED_AT, LIVE};
use super::read::{GRANT_COLUMNS, NEWEST};
use super::rows::grant;
use super::unit_of_work::UnitOfWork;
use super::values::{int, store_error};

impl UnitOfWork<'_> {
    pub(super) fn list_grants(
        &self,
        developer: DeveloperId,
        filter: &GrantFilter,
        page: Page<GrantId>,
    ) -> StoreResult<Sifted<Grant, GrantId>> {
        let developer = developer.to_bytes();
        let after = page.after.map_or(NEWEST, GrantId::to_bytes);
        let agent_id = filter.agent_id.map(AgentId::to_bytes);
        let now = int(self.now.millis());
        let mut params: Vec<(&str, &dyn ToSql)> =
            vec![(":developer", &developer), (":after", &after), (":looked_at", &MOST_LOOKED_AT)];
        // What an index finds is not looked at otherwise; the rest is a column, so that the rows it
        // hides count.
        let mut walked = vec!["g.developer_id = :developer AND g.id < :after"];
        let mut shown = vec!["1".to_owned()];
        if let Some(principal_id) = &filter.principal_id {
            walked.push("g.principal_id = :principal");
            params.push((":principal", principal_id));
        }
        if let Some(agent_id) = &agent_id {
            match filter.principal_id {
                None => walked.push("g.agent_id = :agent"),
                Some(_) => shown.push("g.agent_id = :agent".into()),
            }
            params.push((":agent", agent_id));
        }
        let mut index = "";
        match filter.status {
            None => {}
            Some(GrantStatus::Revoked) => {
                shown.push(format!("(g.revoked_at IS NOT NULL OR {COVERED_AT} IS NOT NULL)"));
            }
            Some(GrantStatus::Expired) => {
                shown.push(format!(
                    "g.revoked_at IS NULL AND {COVERED_AT} IS NULL AND (g.lapsed = 1 OR g.expires_at <= :now)"
                ));
                params.push((":now", &now));
            }
            Some(GrantStatus::Active) => {
                index = match (&filter.principal_id, &agent_id) {
                    (Some(_), _) => "INDEXED BY grants_live_by_principal",
                    (None, Some(_)) => "INDEXED BY grants_live_by_agent",
                    (None, None) => "INDEXED BY grants_live",
                };
                walked.push(LIVE);
                shown.push(format!("{COVERED_AT} IS NULL AND g.expires_at > :now"));
                params.push((":now", &now));
            }
        }
        let mut statement = self.statement(&format!(
            "SELECT {GRANT_COLUMNS}, {COVERED_AT} AS covered_at, {} AS shown FROM grants g {index} WHERE {}
             ORDER BY g.id DESC LIMIT :looked_at",
            shown.join(" AND "),
            walked.join(" AND ")
        ))?;
        let mut rows = statement.query(params.as_slice()).map_err(store_error)?;
        let mut found = Sifted { rows: Vec::new(), stopped_at: None };
        let (mut looked_at, mut passed_over) = (0_u32, 0_u64);
        while let Some(row) = rows.next().map_err(store_error)? {
            looked_at = looked_at.saturating_add(1);
            if row.get("shown").map_err(store_error)? {
                if passed_over < page.offset {
                    passed_over = passed_over.saturating_add(1);
                } else {
                    found.rows.push(grant(row).map_err(store_error)?);
                    if found.rows.len() >= page.limit as usize {
                        return Ok(found);
                    }
                }
            }
            if looked_at >= MOST_LOOKED_AT {
                found.stopped_at = Some(GrantId::from_bytes(row.get("id").map_err(store_error)?));
            }
        }
        Ok(found)
    }
}
