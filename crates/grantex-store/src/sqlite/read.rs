//! Reading rows.

use std::sync::LazyLock;

use grantex_core::log::{Bounds, EventRef, Position};
use grantex_core::model::{
    Agent, AgentChange, ApiKey, AuditEntry, AuthRequest, Budget, CascadeJob, Developer, Grant,
    KeyHash, PrincipalSession, Reached, RefreshToken, ScopeName, Tenant, Token, Transaction, Usage,
};
use grantex_core::store::{GrantFilter, KeptAnswer, Page, Reach, Read, Scan, Sifted, StoreResult};
use grantex_types::{
    AgentId, AuditId, AuthRequestId, BudgetId, DeveloperId, EventId, GrantId, KeyId, RefreshId,
    SessionId, Timestamp, TokenId, TransactionId,
};

use super::cascade::COVERED_AT;
use super::rows::{
    agent, agent_change, api_key, auth_request, budget, grant, issue_method, tenant, transaction,
};
use super::unit_of_work::UnitOfWork;
use super::values::{int, optional_time, time, uint};

pub(super) const GRANT_COLUMNS: &str =
    "g.id, g.developer_id, g.agent_id, g.principal_id, g.scopes, g.audience, g.issued_at,
    g.expires_at, g.revoked_at, g.lapsed, g.parent_id, g.depth";

/// The cursor of a list that starts at its newest row: above every id.
pub(super) const NEWEST: [u8; 16] = [0xFF; 16];

impl Read for UnitOfWork<'_> {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn developer(&self, id: DeveloperId) -> StoreResult<Option<Developer>> {
        Ok(self.tenant(id)?.map(|tenant| tenant.developer))
    }

    fn tenant(&self, id: DeveloperId) -> StoreResult<Option<Tenant>> {
        self.one("SELECT * FROM developers WHERE id = ?1", [id.to_bytes()], tenant)
    }

    fn tenants(&self, page: Page<DeveloperId>) -> StoreResult<Vec<Tenant>> {
        self.all(
            "SELECT * FROM developers WHERE id < ?1 ORDER BY id DESC LIMIT ?2 OFFSET ?3",
            (page.after.map_or(NEWEST, DeveloperId::to_bytes), page.limit, int(page.offset)),
            tenant,
        )
    }

    fn usage(&self, id: DeveloperId) -> StoreResult<Usage> {
        self.read_usage(id)
    }

    fn email_taken(&self, email: &str) -> StoreResult<bool> {
        let found = self.one("SELECT 1 FROM developers WHERE email = ?1", [email], |_| Ok(()))?;
        Ok(found.is_some())
    }

    fn key_by_hash(&self, hash: &KeyHash) -> StoreResult<Option<ApiKey>> {
        self.one(
            "SELECT k.*, d.mode, d.suspended_at FROM api_keys k JOIN developers d ON d.id = k.developer_id WHERE k.hash = ?1",
            [hash],
            api_key,
        )
    }

    fn key(&self, developer: DeveloperId, id: KeyId) -> StoreResult<Option<ApiKey>> {
        self.one(
            "SELECT k.*, d.mode, d.suspended_at FROM api_keys k JOIN developers d ON d.id = k.developer_id
             WHERE k.developer_id = ?1 AND k.id = ?2",
            (developer.to_bytes(), id.to_bytes()),
            api_key,
        )
    }

    fn keys(&self, developer: DeveloperId, page: Page<KeyId>) -> StoreResult<Vec<ApiKey>> {
        self.all(
            "SELECT k.*, d.mode, d.suspended_at FROM api_keys k JOIN developers d ON d.id = k.developer_id
             WHERE k.developer_id = ?1 AND k.id < ?2 ORDER BY k.id DESC LIMIT ?3 OFFSET ?4",
            (developer.to_bytes(), page.after.map_or(NEWEST, KeyId::to_bytes), page.limit,
                int(page.offset)),
            api_key,
        )
    }

    fn working_keys(&self, developer: DeveloperId, most: u32) -> StoreResult<u32> {
        let count = self.one(
            "SELECT count(*) AS n FROM (SELECT 1 FROM api_keys INDEXED BY api_keys_working
             WHERE developer_id = ?1 AND revoked_at IS NULL LIMIT ?2)",
            (developer.to_bytes(), most),
            |row| row.get("n"),
        )?;
        Ok(count.unwrap_or(0))
    }

    fn audit_entries(
        &self,
        developer: DeveloperId,
        page: Page<AuditId>,
    ) -> StoreResult<Vec<AuditEntry>> {
        self.read_audit(developer, page)
    }

    fn session(
        &self,
        developer: DeveloperId,
        id: SessionId,
    ) -> StoreResult<Option<PrincipalSession>> {
        self.read_session(developer, id)
    }

    fn sessions(
        &self,
        developer: DeveloperId,
        principal_id: Option<&str>,
        page: Page<SessionId>,
    ) -> StoreResult<Vec<PrincipalSession>> {
        self.read_sessions(developer, principal_id, page)
    }

    fn agent(&self, developer: DeveloperId, id: AgentId) -> StoreResult<Option<Agent>> {
        self.one(
            "SELECT * FROM agents WHERE developer_id = ?1 AND id = ?2 AND deleted_at IS NULL",
            (developer.to_bytes(), id.to_bytes()),
            agent,
        )
    }

    fn agents(&self, developer: DeveloperId, page: Page<AgentId>) -> StoreResult<Vec<Agent>> {
        self.all(
            "SELECT * FROM agents INDEXED BY agents_kept
             WHERE developer_id = ?1 AND id < ?2 AND deleted_at IS NULL ORDER BY id DESC LIMIT ?3 OFFSET ?4",
            (
                developer.to_bytes(),
                page.after.map_or(NEWEST, AgentId::to_bytes),
                page.limit,
                int(page.offset),
            ),
            agent,
        )
    }

    fn agent_changes(
        &self,
        developer: DeveloperId,
        agent: AgentId,
        page: Page<u64>,
    ) -> StoreResult<Vec<AgentChange>> {
        self.all(
            "SELECT number, kind, at FROM agent_changes WHERE developer_id = ?1 AND agent_id = ?2 AND number < ?3
             ORDER BY number DESC LIMIT ?4 OFFSET ?5",
            (
                developer.to_bytes(),
                agent.to_bytes(),
                page.after.map_or(i64::MAX, int),
                page.limit,
                int(page.offset),
            ),
            agent_change,
        )
    }

    fn scope_name(&self, developer: DeveloperId, scope: &str) -> StoreResult<Option<ScopeName>> {
        self.read_scope_name(developer, scope)
    }

    fn scope_names(&self, developer: DeveloperId, limit: u32) -> StoreResult<Vec<ScopeName>> {
        self.read_scope_names(developer, limit)
    }

    fn auth_request(&self, id: AuthRequestId) -> StoreResult<Option<AuthRequest>> {
        self.one("SELECT * FROM auth_requests WHERE id = ?1", [id.to_bytes()], auth_request)
    }

    fn request_of_grant(
        &self,
        developer: DeveloperId,
        grant: GrantId,
    ) -> StoreResult<Option<AuthRequest>> {
        self.one(
            "SELECT * FROM auth_requests INDEXED BY auth_requests_by_grant
             WHERE grant_id = ?2 AND developer_id = ?1",
            (developer.to_bytes(), grant.to_bytes()),
            auth_request,
        )
    }

    fn grant(&self, developer: DeveloperId, id: GrantId) -> StoreResult<Option<Grant>> {
        // Every debit asks for its grant: its text is put together once.
        static SQL: LazyLock<String> = LazyLock::new(|| {
            format!(
                "SELECT {GRANT_COLUMNS}, {COVERED_AT} AS covered_at FROM grants g
                 WHERE g.developer_id = ?1 AND g.id = ?2"
            )
        });
        self.one(&SQL, (developer.to_bytes(), id.to_bytes()), grant)
    }

    fn grants(
        &self,
        developer: DeveloperId,
        filter: &GrantFilter,
        page: Page<GrantId>,
    ) -> StoreResult<Sifted<Grant, GrantId>> {
        self.list_grants(developer, filter, page)
    }

    fn agents_above(&self, developer: DeveloperId, grant: GrantId) -> StoreResult<Vec<AgentId>> {
        self.agents_upwards(developer, grant)
    }

    fn descendants(
        &self,
        developer: DeveloperId,
        root: GrantId,
        reach: Reach,
        limit: u32,
    ) -> StoreResult<Vec<Reached>> {
        self.read_descendants(developer, root, reach, limit)
    }

    fn grants_of_agent(
        &self,
        developer: DeveloperId,
        agent: AgentId,
        reach: Reach,
        limit: u32,
    ) -> StoreResult<Vec<Reached>> {
        self.read_grants_of_agent(developer, agent, reach, limit)
    }

    fn next_cascade_job(&self, after: Option<DeveloperId>) -> StoreResult<Option<CascadeJob>> {
        self.read_next_job(after)
    }

    fn has_cascade_job(&self, developer: DeveloperId) -> StoreResult<bool> {
        self.read_has_job(developer)
    }

    fn earliest_end(&self, developer: DeveloperId) -> StoreResult<Option<Timestamp>> {
        self.read_earliest_end(developer)
    }

    fn has_history(&self, developer: DeveloperId, before: Timestamp) -> StoreResult<bool> {
        self.read_has_history(developer, before)
    }

    fn token(&self, developer: DeveloperId, id: TokenId) -> StoreResult<Option<Token>> {
        self.one(
            "SELECT grant_id, issued_at, method, expires_at, revoked_at FROM tokens WHERE developer_id = ?1 AND id = ?2",
            (developer.to_bytes(), id.to_bytes()),
            |row| {
                Ok(Token {
                    id,
                    developer_id: developer,
                    grant_id: GrantId::from_bytes(row.get("grant_id")?),
                    // An id says when it was made, also where an earlier version kept no time.
                    issued_at: optional_time(row, "issued_at")?.unwrap_or(Timestamp::from_millis(id.millis())),
                    method: issue_method(row)?,
                    expires_at: time(row, "expires_at")?,
                    revoked_at: optional_time(row, "revoked_at")?,
                })
            },
        )
    }

    fn refresh_token(
        &self,
        developer: DeveloperId,
        id: RefreshId,
    ) -> StoreResult<Option<RefreshToken>> {
        self.one(
            "SELECT grant_id, expires_at, spent_at, ended_at FROM refresh_tokens WHERE developer_id = ?1 AND id = ?2",
            (developer.to_bytes(), id.to_bytes()),
            |row| {
                Ok(RefreshToken {
                    id,
                    developer_id: developer,
                    grant_id: GrantId::from_bytes(row.get("grant_id")?),
                    expires_at: time(row, "expires_at")?,
                    spent_at: optional_time(row, "spent_at")?,
                    ended_at: optional_time(row, "ended_at")?,
                })
            },
        )
    }

    fn key_fingerprint(&self, name: &str) -> StoreResult<Option<Vec<u8>>> {
        self.read_fingerprint(name)
    }

    fn holds_derived_secrets(&self) -> StoreResult<bool> {
        self.has_derived_secrets()
    }

    fn kids_needed(&self, at: Timestamp) -> StoreResult<Vec<String>> {
        self.read_needed_kids(at)
    }

    fn signatures_expire_at(&self, kid: &str) -> StoreResult<Option<Timestamp>> {
        self.one("SELECT expires_at FROM signing_keys WHERE kid = ?1", [kid], |row| {
            time(row, "expires_at")
        })
    }

    fn budget(&self, developer: DeveloperId, grant: GrantId) -> StoreResult<Option<Budget>> {
        self.one(
            "SELECT * FROM budgets WHERE developer_id = ?1 AND grant_id = ?2",
            (developer.to_bytes(), grant.to_bytes()),
            budget,
        )
    }

    fn budgets(&self, developer: DeveloperId, page: Page<BudgetId>) -> StoreResult<Vec<Budget>> {
        self.all(
            "SELECT * FROM budgets WHERE developer_id = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3 OFFSET ?4",
            (
                developer.to_bytes(),
                page.after.map_or(NEWEST, BudgetId::to_bytes),
                page.limit,
                int(page.offset),
            ),
            budget,
        )
    }

    fn transactions(
        &self,
        developer: DeveloperId,
        grant: GrantId,
        page: Page<TransactionId>,
    ) -> StoreResult<Vec<Transaction>> {
        self.all(
            "SELECT * FROM transactions WHERE developer_id = ?1 AND grant_id = ?2 AND id < ?3
             ORDER BY id DESC LIMIT ?4 OFFSET ?5",
            (
                developer.to_bytes(),
                grant.to_bytes(),
                page.after.map_or(NEWEST, TransactionId::to_bytes),
                page.limit,
                int(page.offset),
            ),
            transaction,
        )
    }

    fn transaction_count(&self, developer: DeveloperId, grant: GrantId) -> StoreResult<u64> {
        let count = self.one(
            "SELECT debits FROM budgets WHERE developer_id = ?1 AND grant_id = ?2",
            (developer.to_bytes(), grant.to_bytes()),
            |row| uint(row, "debits"),
        )?;
        Ok(count.unwrap_or(0))
    }

    fn kept_answer(
        &self,
        developer: DeveloperId,
        route: &str,
        key: &str,
    ) -> StoreResult<Option<KeptAnswer>> {
        self.one(
            "SELECT body_hash, outcome, created_at FROM kept_answers
             WHERE developer_id = ?1 AND route = ?2 AND key = ?3",
            (developer.to_bytes(), route, key),
            |row| {
                Ok(KeptAnswer {
                    body_hash: row.get("body_hash")?,
                    outcome: row.get("outcome")?,
                    created_at: time(row, "created_at")?,
                })
            },
        )
    }

    fn log_bounds(&self, developer: DeveloperId) -> StoreResult<Bounds> {
        self.read_bounds(developer)
    }

    fn scan_events(
        &self,
        developer: DeveloperId,
        scan: Scan,
        each: &mut dyn FnMut(EventRef<'_>),
    ) -> StoreResult<()> {
        self.read_events(developer, scan, each)
    }

    fn position_of(&self, developer: DeveloperId, id: EventId) -> StoreResult<Option<Position>> {
        self.find_id(developer, id)
    }

    fn position_before(&self, developer: DeveloperId, at: Timestamp) -> StoreResult<Position> {
        self.find_time(developer, at)
    }

    fn position_until(&self, developer: DeveloperId, at: Timestamp) -> StoreResult<Position> {
        self.find_end(developer, at)
    }

    fn position_below(&self, developer: DeveloperId, id: EventId) -> StoreResult<Option<Position>> {
        self.find_below(developer, id)
    }

    fn id_at(&self, developer: DeveloperId, position: Position) -> StoreResult<Option<EventId>> {
        self.read_id(developer, position)
    }

    fn developers_with_events(
        &self,
        after: Option<DeveloperId>,
        limit: u32,
    ) -> StoreResult<Vec<DeveloperId>> {
        self.all(
            "SELECT developer_id FROM logs WHERE developer_id > ?1 ORDER BY developer_id LIMIT ?2",
            (after.map_or([0; 16], DeveloperId::to_bytes), limit),
            |row| Ok(DeveloperId::from_bytes(row.get("developer_id")?)),
        )
    }
}
