//! Rows as the rules' types, and the small numbers that stand for statuses.

use std::str::FromStr;

use grantex_core::model::{
    Agent, AgentChange, AgentChangeKind, ApiKey, AskedBudget, AuthRequest, Budget, Developer,
    Grant, Tenant, Transaction,
};
use grantex_types::api::agents::AgentStatus;
use grantex_types::api::authorization::ConsentStatus;
use grantex_types::api::developers::Mode;
use grantex_types::event::IssueMethod;
use grantex_types::{
    AgentId, Amount, AuthRequestId, BudgetId, DeveloperId, GrantId, KeyId, Scopes, TransactionId,
};
use rusqlite::Row;

use super::values::{optional_time, time, uint, unreadable};

pub(super) fn mode_code(mode: Mode) -> u8 {
    match mode {
        Mode::Live => 0,
        Mode::Sandbox => 1,
    }
}

pub(super) fn agent_status_code(status: AgentStatus) -> u8 {
    match status {
        AgentStatus::Active => 0,
        AgentStatus::Suspended => 1,
    }
}

pub(super) fn consent_code(status: ConsentStatus) -> u8 {
    match status {
        ConsentStatus::Pending => 0,
        ConsentStatus::Approved => 1,
        ConsentStatus::Denied => 2,
        ConsentStatus::Exchanged => 3,
    }
}

pub(super) fn agent_change_code(kind: AgentChangeKind) -> u8 {
    match kind {
        AgentChangeKind::Suspended => 0,
        AgentChangeKind::Resumed => 1,
        AgentChangeKind::Deleted => 2,
    }
}

pub(super) fn issue_method_code(method: IssueMethod) -> u8 {
    match method {
        IssueMethod::Exchange => 0,
        IssueMethod::Refresh => 1,
    }
}

pub(super) fn issue_method(row: &Row<'_>) -> rusqlite::Result<Option<IssueMethod>> {
    let code: Option<u8> = row.get("method")?;
    Ok(code.map(|code| if code == 0 { IssueMethod::Exchange } else { IssueMethod::Refresh }))
}

pub(super) fn mode(row: &Row<'_>) -> rusqlite::Result<Mode> {
    Ok(if row.get::<_, u8>("mode")? == 0 { Mode::Live } else { Mode::Sandbox })
}

pub(super) fn scopes(row: &Row<'_>) -> rusqlite::Result<Scopes> {
    let text: String = row.get("scopes")?;
    serde_json::from_str(&text).map_err(|error| unreadable("scopes", error))
}

pub(super) fn parsed<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    row: &Row<'_>,
    column: &str,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error| unreadable(column, error))
}

pub(super) fn amount(row: &Row<'_>, column: &str) -> rusqlite::Result<Amount> {
    uint(row, column).map(|units| Amount::from_units(units).unwrap_or(Amount::MAX))
}

pub(super) fn api_key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    Ok(ApiKey {
        id: KeyId::from_bytes(row.get("id")?),
        developer_id: DeveloperId::from_bytes(row.get("developer_id")?),
        name: row.get("name")?,
        hash: row.get("hash")?,
        prefix: row.get("prefix")?,
        mode: mode(row)?,
        created_at: time(row, "created_at")?,
        revoked_at: optional_time(row, "revoked_at")?,
        is_suspended: optional_time(row, "suspended_at")?.is_some(),
    })
}

pub(super) fn tenant(row: &Row<'_>) -> rusqlite::Result<Tenant> {
    let developer = Developer {
        developer_id: DeveloperId::from_bytes(row.get("id")?),
        name: row.get("name")?,
        email: row.get("email")?,
        mode: mode(row)?,
        created_at: time(row, "created_at")?,
    };
    Ok(Tenant { developer, suspended_at: optional_time(row, "suspended_at")? })
}

pub(super) fn agent(row: &Row<'_>) -> rusqlite::Result<Agent> {
    let agent_id = AgentId::from_bytes(row.get("id")?);
    Ok(Agent {
        agent_id,
        did: agent_id.did(),
        developer_id: DeveloperId::from_bytes(row.get("developer_id")?),
        name: row.get("name")?,
        description: row.get("description")?,
        scopes: scopes(row)?,
        status: if row.get::<_, u8>("status")? == 0 {
            AgentStatus::Active
        } else {
            AgentStatus::Suspended
        },
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

pub(super) fn agent_change(row: &Row<'_>) -> rusqlite::Result<AgentChange> {
    Ok(AgentChange {
        number: uint(row, "number")?,
        kind: match row.get::<_, u8>("kind")? {
            0 => AgentChangeKind::Suspended,
            1 => AgentChangeKind::Resumed,
            _ => AgentChangeKind::Deleted,
        },
        at: time(row, "at")?,
    })
}

pub(super) fn auth_request(row: &Row<'_>) -> rusqlite::Result<AuthRequest> {
    Ok(AuthRequest {
        id: AuthRequestId::from_bytes(row.get("id")?),
        developer_id: DeveloperId::from_bytes(row.get("developer_id")?),
        agent_id: AgentId::from_bytes(row.get("agent_id")?),
        principal_id: row.get("principal_id")?,
        scopes: scopes(row)?,
        lifetime: parsed(row, "lifetime")?,
        redirect_uri: row.get("redirect_uri")?,
        state: row.get("state")?,
        audience: row.get("audience")?,
        code_challenge: row.get("code_challenge")?,
        status: match row.get::<_, u8>("status")? {
            0 => ConsentStatus::Pending,
            1 => ConsentStatus::Approved,
            2 => ConsentStatus::Denied,
            _ => ConsentStatus::Exchanged,
        },
        created_at: time(row, "created_at")?,
        expires_at: time(row, "expires_at")?,
        decided_at: optional_time(row, "decided_at")?,
        grant_id: row.get::<_, Option<[u8; 16]>>("grant_id")?.map(GrantId::from_bytes),
        budget: match row.get::<_, Option<String>>("currency")? {
            Some(currency) => {
                Some(AskedBudget { initial_budget: amount(row, "budget")?, currency })
            }
            None => None,
        },
    })
}

/// A row of [`GRANT_COLUMNS`] and `covered_at`.
pub(super) fn grant(row: &Row<'_>) -> rusqlite::Result<Grant> {
    let covered_at = optional_time(row, "covered_at")?;
    Ok(Grant {
        id: GrantId::from_bytes(row.get("id")?),
        developer_id: DeveloperId::from_bytes(row.get("developer_id")?),
        agent_id: AgentId::from_bytes(row.get("agent_id")?),
        principal_id: row.get("principal_id")?,
        scopes: scopes(row)?,
        audience: row.get("audience")?,
        issued_at: time(row, "issued_at")?,
        expires_at: time(row, "expires_at")?,
        revoked_at: optional_time(row, "revoked_at")?.or(covered_at),
        lapsed: row.get("lapsed")?,
        parent_id: row.get::<_, Option<[u8; 16]>>("parent_id")?.map(GrantId::from_bytes),
        depth: row.get("depth")?,
    })
}

pub(super) fn budget(row: &Row<'_>) -> rusqlite::Result<Budget> {
    Ok(Budget {
        id: BudgetId::from_bytes(row.get("id")?),
        grant_id: GrantId::from_bytes(row.get("grant_id")?),
        developer_id: DeveloperId::from_bytes(row.get("developer_id")?),
        initial_budget: amount(row, "initial")?,
        remaining_budget: amount(row, "remaining")?,
        currency: row.get("currency")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

pub(super) fn transaction(row: &Row<'_>) -> rusqlite::Result<Transaction> {
    let metadata: Option<String> = row.get("metadata")?;
    Ok(Transaction {
        id: TransactionId::from_bytes(row.get("id")?),
        grant_id: GrantId::from_bytes(row.get("grant_id")?),
        allocation_id: BudgetId::from_bytes(row.get("budget_id")?),
        amount: amount(row, "amount")?,
        description: row.get("description")?,
        metadata: metadata
            .map(serde_json::value::RawValue::from_string)
            .transpose()
            .map_err(|error| unreadable("metadata", error))?,
        created_at: time(row, "created_at")?,
    })
}
