//! Writing rows.

use grantex_core::StoreError;
use grantex_core::log::{Position, StoredEvent, Subject};
use grantex_core::model::{
    Agent, AgentChangeKind, ApiKey, AuditEntry, AuthRequest, Budget, CascadeJob, Developer, Grant,
    PrincipalSession, RefreshToken, ScopeName, Token, Transaction,
};
use grantex_core::store::{Change, Ended, KeptAnswer, StoreResult, Tx};
use grantex_types::api::authorization::ConsentStatus;
use grantex_types::{
    AgentId, Amount, DeveloperId, EventData, GrantId, Scopes, SessionId, Timestamp, TokenId,
};

use super::rows::{
    agent_change_code, agent_status_code, consent_code, issue_method_code, mode_code,
};
use super::unit_of_work::UnitOfWork;
use super::usage::{AGENT_SIZE, GRANT_ROW, ROW, maybe, text};
use super::values::{int, uint};

fn scopes_json(scopes: &Scopes) -> StoreResult<String> {
    serde_json::to_string(scopes).map_err(|error| StoreError::Internal(format!("scopes: {error}")))
}

fn agent_bytes(agent: &Agent) -> StoreResult<u64> {
    let texts = [text(&agent.name), text(&agent.description), text(&scopes_json(&agent.scopes)?)];
    Ok(texts.into_iter().fold(ROW, u64::saturating_add))
}

/// What another run would meet again.
fn for_good(error: StoreError) -> StoreError {
    match error {
        StoreError::Conflict { .. } => StoreError::Conflict { may_retry: false },
        error => error,
    }
}

impl Tx for UnitOfWork<'_> {
    fn random(&self) -> u128 {
        self.writing.as_ref().map_or(0, |writing| writing.rng.bits())
    }

    fn insert_developer(&mut self, developer: &Developer) -> StoreResult<()> {
        self.execute(
            "INSERT INTO developers (id, name, email, mode, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            (
                developer.developer_id.to_bytes(),
                &developer.name,
                &developer.email,
                mode_code(developer.mode),
                int(developer.created_at.millis()),
            ),
        )?;
        Ok(())
    }

    fn set_suspended(&mut self, id: DeveloperId, at: Option<Timestamp>) -> StoreResult<()> {
        self.execute(
            "UPDATE developers SET suspended_at = ?2 WHERE id = ?1",
            (id.to_bytes(), at.map(|at| int(at.millis()))),
        )?;
        if at.is_some() {
            self.effects()?.changes.push(Change::DeveloperSuspended(id));
        }
        Ok(())
    }

    fn insert_key(&mut self, key: &ApiKey) -> StoreResult<()> {
        self.execute(
            "INSERT INTO api_keys (developer_id, id, name, hash, prefix, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (
                key.developer_id.to_bytes(),
                key.id.to_bytes(),
                &key.name,
                key.hash,
                &key.prefix,
                int(key.created_at.millis()),
            ),
        )
        // The secret comes from outside: it is the same however often this runs.
        .map_err(for_good)?;
        self.stored(key.developer_id, ROW)
    }

    fn revoke_key(&mut self, key: &ApiKey, at: Timestamp) -> StoreResult<()> {
        self.execute(
            "UPDATE api_keys SET revoked_at = ?3 WHERE developer_id = ?1 AND id = ?2",
            (key.developer_id.to_bytes(), key.id.to_bytes(), int(at.millis())),
        )?;
        let change =
            Change::KeyRevoked { developer_id: key.developer_id, key_id: key.id, hash: key.hash };
        self.effects()?.changes.push(change);
        Ok(())
    }

    fn insert_session(
        &mut self,
        developer: DeveloperId,
        session: &PrincipalSession,
    ) -> StoreResult<()> {
        self.write_session(developer, session)?;
        self.stored(developer, ROW)
    }

    fn delete_session(&mut self, developer: DeveloperId, id: SessionId) -> StoreResult<bool> {
        self.remove_session(developer, id)
    }

    fn delete_sessions(
        &mut self,
        developer: DeveloperId,
        principal_id: &str,
        limit: u32,
    ) -> StoreResult<u64> {
        self.remove_sessions_of(developer, principal_id, limit)
    }

    fn purge_sessions(&mut self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        self.remove_expired_sessions(before, limit)
    }

    fn append_audit(&mut self, developer: DeveloperId, entry: &AuditEntry) -> StoreResult<()> {
        let bytes = self.write_audit(developer, entry)?;
        self.stored(developer, bytes)
    }

    fn purge_audit(&mut self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        self.remove_audit(before, limit)
    }

    fn insert_agent(&mut self, agent: &Agent) -> StoreResult<()> {
        self.execute(
            "INSERT INTO agents (developer_id, id, name, description, scopes, status, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            (
                agent.developer_id.to_bytes(),
                agent.agent_id.to_bytes(),
                &agent.name,
                &agent.description,
                scopes_json(&agent.scopes)?,
                agent_status_code(agent.status),
                int(agent.created_at.millis()),
                int(agent.updated_at.millis()),
            ),
        )?;
        self.one_agent_more(agent.developer_id)?;
        self.stored(agent.developer_id, agent_bytes(agent)?)
    }

    fn update_agent(&mut self, agent: &Agent) -> StoreResult<()> {
        let key = (agent.developer_id.to_bytes(), agent.agent_id.to_bytes());
        let sql =
            format!("SELECT {AGENT_SIZE} AS bytes FROM agents WHERE developer_id = ?1 AND id = ?2");
        let before = self.one(&sql, key, |row| uint(row, "bytes"))?.unwrap_or(0);
        self.execute(
            "UPDATE agents SET name = ?3, description = ?4, scopes = ?5, status = ?6, updated_at = ?7
             WHERE developer_id = ?1 AND id = ?2",
            (
                agent.developer_id.to_bytes(),
                agent.agent_id.to_bytes(),
                &agent.name,
                &agent.description,
                scopes_json(&agent.scopes)?,
                agent_status_code(agent.status),
                int(agent.updated_at.millis()),
            ),
        )?;
        // One that shrinks keeps its place: only what is added is counted.
        self.stored(agent.developer_id, agent_bytes(agent)?.saturating_sub(before))?;
        let change =
            Change::AgentChanged { developer_id: agent.developer_id, agent_id: agent.agent_id };
        self.effects()?.changes.push(change);
        Ok(())
    }

    fn delete_agent(
        &mut self,
        developer: DeveloperId,
        id: AgentId,
        at: Timestamp,
    ) -> StoreResult<()> {
        self.execute(
            "UPDATE agents SET deleted_at = ?3 WHERE developer_id = ?1 AND id = ?2",
            (developer.to_bytes(), id.to_bytes(), int(at.millis())),
        )?;
        self.one_agent_less(developer)?;
        self.effects()?
            .changes
            .push(Change::AgentChanged { developer_id: developer, agent_id: id });
        Ok(())
    }

    fn insert_agent_change(
        &mut self,
        developer: DeveloperId,
        agent: AgentId,
        kind: AgentChangeKind,
        at: Timestamp,
    ) -> StoreResult<()> {
        self.execute(
            "INSERT INTO agent_changes (developer_id, agent_id, number, kind, at)
             SELECT ?1, ?2, coalesce(max(number), 0) + 1, ?3, ?4 FROM agent_changes
             WHERE developer_id = ?1 AND agent_id = ?2",
            (developer.to_bytes(), agent.to_bytes(), agent_change_code(kind), int(at.millis())),
        )?;
        Ok(())
    }

    fn put_scope_name(&mut self, developer: DeveloperId, name: &ScopeName) -> StoreResult<()> {
        self.write_scope_name(developer, name)
    }

    fn delete_scope_name(&mut self, developer: DeveloperId, scope: &str) -> StoreResult<bool> {
        self.remove_scope_name(developer, scope)
    }

    fn insert_auth_request(&mut self, request: &AuthRequest) -> StoreResult<()> {
        self.execute(
            "INSERT INTO auth_requests (id, developer_id, agent_id, principal_id, scopes, lifetime, redirect_uri,
                 state, audience, code_challenge, status, created_at, expires_at, decided_at,
                     budget, currency)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
            (
                request.id.to_bytes(),
                request.developer_id.to_bytes(),
                request.agent_id.to_bytes(),
                &request.principal_id,
                scopes_json(&request.scopes)?,
                request.lifetime.to_string(),
                &request.redirect_uri,
                &request.state,
                &request.audience,
                &request.code_challenge,
                consent_code(request.status),
                int(request.created_at.millis()),
                int(request.expires_at.millis()),
                request.decided_at.map(|at| int(at.millis())),
                request.budget.as_ref().map(|budget| int(budget.initial_budget.units())),
                request.budget.as_ref().map(|budget| &budget.currency),
            ),
        )?;
        let optional = [&request.redirect_uri, &request.state, &request.audience];
        let bytes = optional
            .into_iter()
            .map(|value| maybe(value.as_deref()))
            .chain([text(&scopes_json(&request.scopes)?), text(&request.principal_id)])
            .fold(ROW, u64::saturating_add);
        self.stored(request.developer_id, bytes)
    }

    fn update_auth_request(
        &mut self,
        request: &AuthRequest,
        was: ConsentStatus,
    ) -> StoreResult<()> {
        self.execute_if_unchanged(
            "UPDATE auth_requests SET status = ?2, decided_at = ?3, grant_id = ?4
             WHERE id = ?1 AND status = ?5",
            (
                request.id.to_bytes(),
                consent_code(request.status),
                request.decided_at.map(|at| int(at.millis())),
                request.grant_id.map(GrantId::to_bytes),
                consent_code(was),
            ),
        )
    }

    fn insert_grant(&mut self, grant: &Grant) -> StoreResult<()> {
        self.execute(
            "INSERT INTO grants (developer_id, id, agent_id, principal_id, scopes, audience, issued_at, expires_at,
                 parent_id, depth) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            (
                grant.developer_id.to_bytes(),
                grant.id.to_bytes(),
                grant.agent_id.to_bytes(),
                &grant.principal_id,
                scopes_json(&grant.scopes)?,
                &grant.audience,
                int(grant.issued_at.millis()),
                int(grant.expires_at.millis()),
                grant.parent_id.map(GrantId::to_bytes),
                grant.depth,
            ),
        )?;
        if let Some(parent) = grant.parent_id {
            self.execute(
                "INSERT INTO grant_ancestry (ancestor_id, depth, grant_id, expires_at)
                 SELECT ancestor_id, depth + 1, ?2, ?3 FROM grant_ancestry WHERE grant_id = ?1
                 UNION ALL SELECT ?1, 1, ?2, ?3",
                (parent.to_bytes(), grant.id.to_bytes(), int(grant.expires_at.millis())),
            )?;
        }
        self.one_grant_more(grant.developer_id)?;
        let bytes = GRANT_ROW
            .saturating_add(text(&scopes_json(&grant.scopes)?))
            .saturating_add(text(&grant.principal_id))
            .saturating_add(maybe(grant.audience.as_deref()));
        self.stored(grant.developer_id, bytes)
    }

    fn revoke_grant(
        &mut self,
        developer: DeveloperId,
        id: GrantId,
        at: Timestamp,
    ) -> StoreResult<()> {
        self.write_revoked(developer, id, at)
    }

    fn leave_tree(&mut self, id: GrantId) -> StoreResult<()> {
        self.execute("DELETE FROM grant_ancestry WHERE grant_id = ?1", [id.to_bytes()])?;
        Ok(())
    }

    fn lapse(&mut self, developer: DeveloperId, up_to: Timestamp, limit: u32) -> StoreResult<u64> {
        self.write_lapsed(developer, up_to, limit)
    }

    fn insert_cascade_job(&mut self, job: &CascadeJob) -> StoreResult<()> {
        self.write_job(job)
    }

    fn update_cascade_job(&mut self, job: &CascadeJob) -> StoreResult<()> {
        self.execute(
            "UPDATE cascade_jobs SET root = ?2 WHERE seq = ?1",
            (int(job.seq), job.root.map(GrantId::to_bytes)),
        )?;
        Ok(())
    }

    fn delete_cascade_job(&mut self, seq: u64) -> StoreResult<()> {
        self.execute("DELETE FROM cascade_jobs WHERE seq = ?1", [int(seq)])?;
        Ok(())
    }

    fn insert_token(&mut self, token: &Token, kid: &str) -> StoreResult<()> {
        let expires_at = int(token.expires_at.millis());
        self.execute(
            "INSERT INTO tokens (developer_id, id, grant_id, issued_at, method, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (
                token.developer_id.to_bytes(),
                token.id.to_bytes(),
                token.grant_id.to_bytes(),
                int(token.issued_at.millis()),
                token.method.map(issue_method_code),
                expires_at,
            ),
        )?;
        self.execute(
            "INSERT INTO signing_keys (kid, expires_at) VALUES (?1, ?2)
             ON CONFLICT (kid) DO UPDATE SET expires_at = ?2 WHERE expires_at < ?2",
            (kid, expires_at),
        )?;
        self.stored(token.developer_id, ROW)
    }

    fn revoke_token(
        &mut self,
        developer: DeveloperId,
        id: TokenId,
        at: Timestamp,
    ) -> StoreResult<()> {
        self.execute(
            "UPDATE tokens SET revoked_at = ?3 WHERE developer_id = ?1 AND id = ?2",
            (developer.to_bytes(), id.to_bytes(), int(at.millis())),
        )?;
        self.effects()?
            .changes
            .push(Change::TokenRevoked { developer_id: developer, token_id: id });
        Ok(())
    }

    fn insert_refresh_token(&mut self, token: &RefreshToken) -> StoreResult<()> {
        self.execute(
            "INSERT INTO refresh_tokens (developer_id, id, grant_id, expires_at) VALUES (?1, ?2, ?3, ?4)",
            (
                token.developer_id.to_bytes(),
                token.id.to_bytes(),
                token.grant_id.to_bytes(),
                int(token.expires_at.millis()),
            ),
        )?;
        self.stored(token.developer_id, ROW)
    }

    fn spend_refresh_token(&mut self, token: &RefreshToken, at: Timestamp) -> StoreResult<()> {
        self.execute_if_unchanged(
            "UPDATE refresh_tokens SET spent_at = ?3
             WHERE developer_id = ?1 AND id = ?2 AND spent_at IS NULL",
            (token.developer_id.to_bytes(), token.id.to_bytes(), int(at.millis())),
        )
    }

    fn put_key_fingerprint(&mut self, name: &str, fingerprint: &[u8]) -> StoreResult<()> {
        self.write_fingerprint(name, fingerprint)
    }

    fn forget_signing_key(&mut self, kid: &str) -> StoreResult<()> {
        self.remove_kid(kid)
    }

    fn insert_budget(&mut self, budget: &Budget) -> StoreResult<()> {
        self.execute(
            "INSERT INTO budgets (developer_id, grant_id, id, initial, remaining, currency, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            (
                budget.developer_id.to_bytes(),
                budget.grant_id.to_bytes(),
                budget.id.to_bytes(),
                int(budget.initial_budget.units()),
                int(budget.remaining_budget.units()),
                &budget.currency,
                int(budget.created_at.millis()),
                int(budget.updated_at.millis()),
            ),
        )?;
        Ok(())
    }

    fn set_remaining(
        &mut self,
        budget: &Budget,
        remaining: Amount,
        at: Timestamp,
    ) -> StoreResult<()> {
        self.execute_if_unchanged(
            "UPDATE budgets SET remaining = ?3, updated_at = ?4, debits = debits + 1
             WHERE developer_id = ?1 AND grant_id = ?2 AND remaining = ?5",
            (
                budget.developer_id.to_bytes(),
                budget.grant_id.to_bytes(),
                int(remaining.units()),
                int(at.millis()),
                int(budget.remaining_budget.units()),
            ),
        )
    }

    fn insert_transaction(
        &mut self,
        developer: DeveloperId,
        transaction: &Transaction,
    ) -> StoreResult<()> {
        self.execute(
            "INSERT INTO transactions (developer_id, grant_id, id, budget_id, amount, description, metadata, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            (
                developer.to_bytes(),
                transaction.grant_id.to_bytes(),
                transaction.id.to_bytes(),
                transaction.allocation_id.to_bytes(),
                int(transaction.amount.units()),
                &transaction.description,
                transaction.metadata.as_ref().map(|metadata| metadata.get()),
                int(transaction.created_at.millis()),
            ),
        )?;
        let metadata = transaction.metadata.as_ref().map(|metadata| metadata.get());
        let bytes = ROW
            .saturating_add(maybe(transaction.description.as_deref()))
            .saturating_add(maybe(metadata));
        self.stored(developer, bytes)
    }

    fn keep_answer(
        &mut self,
        developer: DeveloperId,
        route: &str,
        key: &str,
        answer: &KeptAnswer,
        before: Option<&KeptAnswer>,
    ) -> StoreResult<()> {
        let (developer_bytes, at) = (developer.to_bytes(), int(answer.created_at.millis()));
        match before {
            None => {
                self.execute(
                    "INSERT INTO kept_answers (developer_id, route, key, body_hash, outcome, created_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    (developer_bytes, route, key, answer.body_hash, &answer.outcome, at),
                )?;
            }
            Some(before) => self.execute_if_unchanged(
                "UPDATE kept_answers SET body_hash = ?4, outcome = ?5, created_at = ?6
                 WHERE developer_id = ?1 AND route = ?2 AND key = ?3 AND created_at = ?7",
                (
                    developer_bytes,
                    route,
                    key,
                    answer.body_hash,
                    &answer.outcome,
                    at,
                    int(before.created_at.millis()),
                ),
            )?,
        }
        let outcome = u64::try_from(answer.outcome.len()).unwrap_or(0);
        self.stored(developer, ROW.saturating_add(outcome))
    }

    fn append(
        &mut self,
        developer: DeveloperId,
        subject: &Subject,
        data: EventData,
    ) -> StoreResult<StoredEvent> {
        self.write_event(developer, subject, data)
    }

    fn trim(&mut self, developer: DeveloperId, up_to: Position, limit: u32) -> StoreResult<u64> {
        self.trim_log(developer, up_to, limit)
    }

    fn sum_events(&mut self, limit: u32) -> StoreResult<u64> {
        self.sum_old_events(limit)
    }

    fn purge(&mut self, ended: &Ended, limit: u32) -> StoreResult<u64> {
        self.remove_ended(ended, limit)
    }

    fn purge_history(
        &mut self,
        developer: DeveloperId,
        before: Timestamp,
        limit: u32,
    ) -> StoreResult<u64> {
        self.remove_history(developer, before, limit)
    }

    fn tidy_tree(&mut self, limit: u32) -> StoreResult<u64> {
        self.tidy_ancestry(limit)
    }
}
