//! Watches which methods of the contract the cases call, and with what success.

use std::collections::BTreeSet;
use std::sync::Arc;

use grantex_core::log::{Bounds, EventRef, Position, Scan, StoredEvent, Subject};
use grantex_core::model::{
    Agent, AgentChange, AgentChangeKind, ApiKey, AuditEntry, AuthRequest, Budget, CascadeJob,
    Developer, Grant, KeyHash, PrincipalSession, Reached, RefreshToken, ScopeName, Tenant, Token,
    Transaction, Usage,
};
use grantex_core::store::{
    Command, Ended, GrantFilter, Health, KeptAnswer, Needs, Page, Query, QueryKind, Reach, Read,
    Scope, Sifted, Store, StoreResult, Tx, Verdict,
};
use grantex_types::api::authorization::ConsentStatus;
use grantex_types::{
    AgentId, Amount, AuditId, AuthRequestId, BudgetId, DeveloperId, EventData, EventId, GrantId,
    KeyId, RefreshId, SessionId, Timestamp, TokenId, TransactionId,
};
use parking_lot::Mutex;

/// The methods that were called.
#[derive(Debug, Default)]
pub struct Calls(Mutex<BTreeSet<&'static str>>);

impl Calls {
    fn note(&self, method: &'static str) {
        self.0.lock().insert(method);
    }

    /// The methods of the contract that no case called.
    pub fn missing(&self) -> Vec<&'static str> {
        let called = self.0.lock();
        READS.iter().chain(WRITES).copied().filter(|method| !called.contains(method)).collect()
    }
}

/// A store that notes what its commands and queries call.
pub(super) struct Watched {
    pub(super) store: Arc<dyn Store>,
    pub(super) calls: Arc<Calls>,
}

impl Store for Watched {
    fn submit(&self, scope: Scope, needs: Needs, command: Box<dyn Command>) {
        let calls = Arc::clone(&self.calls);
        self.store.submit(scope, needs, Box::new(WatchedCommand { command, calls }));
    }

    fn query(&self, scope: Scope, kind: QueryKind, query: Query) {
        let calls = Arc::clone(&self.calls);
        let watched: Query = Box::new(move |snapshot| match snapshot {
            Ok(inner) => query(Ok(&WatchedRead { inner, calls: &calls })),
            Err(error) => query(Err(error)),
        });
        self.store.query(scope, kind, watched);
    }

    fn health(&self) -> Health {
        self.store.health()
    }
}

struct WatchedCommand {
    command: Box<dyn Command>,
    calls: Arc<Calls>,
}

impl Command for WatchedCommand {
    fn name(&self) -> &'static str {
        self.command.name()
    }

    fn run(&mut self, tx: &mut dyn Tx) -> Verdict {
        self.command.run(&mut WatchedTx { inner: tx, calls: &self.calls })
    }

    fn finish(self: Box<Self>, outcome: StoreResult<()>) {
        self.command.finish(outcome);
    }
}

struct WatchedRead<'s> {
    inner: &'s dyn Read,
    calls: &'s Calls,
}

struct WatchedTx<'s> {
    inner: &'s mut dyn Tx,
    calls: &'s Calls,
}

/// Passes every method on. A method that the contract gets later does not compile without a line
/// here, and with one it has to be called by a case.
macro_rules! watched {
    ($names:ident: impl $contract:ident for $($watched:ident),+ = $methods:tt) => {
        $(watched!(@impl $contract for $watched = $methods);)+
        watched!(@names $names = $methods);
    };
    (@impl $contract:ident for $watched:ident = {
        $(fn $name:ident(&$($self:ident)+ $(, $arg:ident: $type:ty)*) -> $out:ty;)+
    }) => {
        impl $contract for $watched<'_> {
            $(watched!(@method $name (&$($self)+) ($($arg: $type),*) $out);)+
        }
    };
    (@method $name:ident (&self) ($($arg:ident: $type:ty),*) $out:ty) => {
        fn $name(&self $(, $arg: $type)*) -> $out {
            self.calls.note(stringify!($name));
            self.inner.$name($($arg),*)
        }
    };
    (@method $name:ident (&mut self) ($($arg:ident: $type:ty),*) $out:ty) => {
        fn $name(&mut self $(, $arg: $type)*) -> $out {
            self.calls.note(stringify!($name));
            self.inner.$name($($arg),*)
        }
    };
    (@names $names:ident = {
        $(fn $name:ident(&$($self:ident)+ $(, $arg:ident: $type:ty)*) -> $out:ty;)+
    }) => {
        const $names: &[&str] = &[$(stringify!($name)),+];
    };
}

watched! { READS: impl Read for WatchedRead, WatchedTx = {
    fn now(&self) -> Timestamp;
    fn developer(&self, id: DeveloperId) -> StoreResult<Option<Developer>>;
    fn tenant(&self, id: DeveloperId) -> StoreResult<Option<Tenant>>;
    fn tenants(&self, page: Page<DeveloperId>) -> StoreResult<Vec<Tenant>>;
    fn usage(&self, id: DeveloperId) -> StoreResult<Usage>;
    fn email_taken(&self, email: &str) -> StoreResult<bool>;
    fn key_by_hash(&self, hash: &KeyHash) -> StoreResult<Option<ApiKey>>;
    fn key(&self, developer: DeveloperId, id: KeyId) -> StoreResult<Option<ApiKey>>;
    fn keys(&self, developer: DeveloperId, page: Page<KeyId>) -> StoreResult<Vec<ApiKey>>;
    fn working_keys(&self, developer: DeveloperId, most: u32) -> StoreResult<u32>;
    fn audit_entries(
        &self, developer: DeveloperId, page: Page<AuditId>
    ) -> StoreResult<Vec<AuditEntry>>;
    fn session(
        &self, developer: DeveloperId, id: SessionId
    ) -> StoreResult<Option<PrincipalSession>>;
    fn sessions(
        &self, developer: DeveloperId, principal_id: Option<&str>, page: Page<SessionId>
    ) -> StoreResult<Vec<PrincipalSession>>;
    fn agent(&self, developer: DeveloperId, id: AgentId) -> StoreResult<Option<Agent>>;
    fn agents(&self, developer: DeveloperId, page: Page<AgentId>) -> StoreResult<Vec<Agent>>;
    fn agent_changes(
        &self, developer: DeveloperId, agent: AgentId, page: Page<u64>
    ) -> StoreResult<Vec<AgentChange>>;
    fn scope_name(&self, developer: DeveloperId, scope: &str) -> StoreResult<Option<ScopeName>>;
    fn scope_names(&self, developer: DeveloperId, limit: u32) -> StoreResult<Vec<ScopeName>>;
    fn auth_request(&self, id: AuthRequestId) -> StoreResult<Option<AuthRequest>>;
    fn request_of_grant(
        &self, developer: DeveloperId, grant: GrantId
    ) -> StoreResult<Option<AuthRequest>>;
    fn grant(&self, developer: DeveloperId, id: GrantId) -> StoreResult<Option<Grant>>;
    fn grants(
        &self, developer: DeveloperId, filter: &GrantFilter, page: Page<GrantId>
    ) -> StoreResult<Sifted<Grant, GrantId>>;
    fn agents_above(&self, developer: DeveloperId, grant: GrantId) -> StoreResult<Vec<AgentId>>;
    fn descendants(
        &self, developer: DeveloperId, root: GrantId, reach: Reach, limit: u32
    ) -> StoreResult<Vec<Reached>>;
    fn grants_of_agent(
        &self, developer: DeveloperId, agent: AgentId, reach: Reach, limit: u32
    ) -> StoreResult<Vec<Reached>>;
    fn next_cascade_job(&self, after: Option<DeveloperId>) -> StoreResult<Option<CascadeJob>>;
    fn has_cascade_job(&self, developer: DeveloperId) -> StoreResult<bool>;
    fn earliest_end(&self, developer: DeveloperId) -> StoreResult<Option<Timestamp>>;
    fn has_history(&self, developer: DeveloperId, before: Timestamp) -> StoreResult<bool>;
    fn token(&self, developer: DeveloperId, id: TokenId) -> StoreResult<Option<Token>>;
    fn refresh_token(
        &self, developer: DeveloperId, id: RefreshId
    ) -> StoreResult<Option<RefreshToken>>;
    fn signatures_expire_at(&self, kid: &str) -> StoreResult<Option<Timestamp>>;
    fn key_fingerprint(&self, name: &str) -> StoreResult<Option<Vec<u8>>>;
    fn holds_derived_secrets(&self) -> StoreResult<bool>;
    fn kids_needed(&self, at: Timestamp) -> StoreResult<Vec<String>>;
    fn budget(&self, developer: DeveloperId, grant: GrantId) -> StoreResult<Option<Budget>>;
    fn budgets(&self, developer: DeveloperId, page: Page<BudgetId>) -> StoreResult<Vec<Budget>>;
    fn transactions(
        &self, developer: DeveloperId, grant: GrantId, page: Page<TransactionId>
    ) -> StoreResult<Vec<Transaction>>;
    fn transaction_count(&self, developer: DeveloperId, grant: GrantId) -> StoreResult<u64>;
    fn kept_answer(
        &self, developer: DeveloperId, route: &str, key: &str
    ) -> StoreResult<Option<KeptAnswer>>;
    fn log_bounds(&self, developer: DeveloperId) -> StoreResult<Bounds>;
    fn scan_events(
        &self, developer: DeveloperId, scan: Scan, each: &mut dyn FnMut(EventRef<'_>)
    ) -> StoreResult<()>;
    fn events(
        &self, developer: DeveloperId, after: Position, limit: u32, max_bytes: usize
    ) -> StoreResult<Vec<StoredEvent>>;
    fn position_of(&self, developer: DeveloperId, id: EventId) -> StoreResult<Option<Position>>;
    fn position_before(&self, developer: DeveloperId, at: Timestamp) -> StoreResult<Position>;
    fn position_until(&self, developer: DeveloperId, at: Timestamp) -> StoreResult<Position>;
    fn position_below(&self, developer: DeveloperId, id: EventId) -> StoreResult<Option<Position>>;
    fn id_at(&self, developer: DeveloperId, position: Position) -> StoreResult<Option<EventId>>;
    fn developers_with_events(
        &self, after: Option<DeveloperId>, limit: u32
    ) -> StoreResult<Vec<DeveloperId>>;
}}

watched! { WRITES: impl Tx for WatchedTx = {
    fn random(&self) -> u128;
    fn insert_developer(&mut self, developer: &Developer) -> StoreResult<()>;
    fn set_suspended(&mut self, id: DeveloperId, at: Option<Timestamp>) -> StoreResult<()>;
    fn insert_key(&mut self, key: &ApiKey) -> StoreResult<()>;
    fn revoke_key(&mut self, key: &ApiKey, at: Timestamp) -> StoreResult<()>;
    fn insert_session(
        &mut self, developer: DeveloperId, session: &PrincipalSession
    ) -> StoreResult<()>;
    fn delete_session(&mut self, developer: DeveloperId, id: SessionId) -> StoreResult<bool>;
    fn delete_sessions(
        &mut self, developer: DeveloperId, principal_id: &str, limit: u32
    ) -> StoreResult<u64>;
    fn purge_sessions(&mut self, before: Timestamp, limit: u32) -> StoreResult<u64>;
    fn append_audit(&mut self, developer: DeveloperId, entry: &AuditEntry) -> StoreResult<()>;
    fn purge_audit(&mut self, before: Timestamp, limit: u32) -> StoreResult<u64>;
    fn insert_agent(&mut self, agent: &Agent) -> StoreResult<()>;
    fn update_agent(&mut self, agent: &Agent) -> StoreResult<()>;
    fn delete_agent(
        &mut self, developer: DeveloperId, id: AgentId, at: Timestamp
    ) -> StoreResult<()>;
    fn insert_agent_change(
        &mut self, developer: DeveloperId, agent: AgentId, kind: AgentChangeKind, at: Timestamp
    ) -> StoreResult<()>;
    fn put_scope_name(&mut self, developer: DeveloperId, name: &ScopeName) -> StoreResult<()>;
    fn delete_scope_name(&mut self, developer: DeveloperId, scope: &str) -> StoreResult<bool>;
    fn insert_auth_request(&mut self, request: &AuthRequest) -> StoreResult<()>;
    fn update_auth_request(&mut self, request: &AuthRequest, was: ConsentStatus) -> StoreResult<()>;
    fn insert_grant(&mut self, grant: &Grant) -> StoreResult<()>;
    fn revoke_grant(
        &mut self, developer: DeveloperId, id: GrantId, at: Timestamp
    ) -> StoreResult<()>;
    fn insert_cascade_job(&mut self, job: &CascadeJob) -> StoreResult<()>;
    fn leave_tree(&mut self, id: GrantId) -> StoreResult<()>;
    fn lapse(&mut self, developer: DeveloperId, up_to: Timestamp, limit: u32) -> StoreResult<u64>;
    fn update_cascade_job(&mut self, job: &CascadeJob) -> StoreResult<()>;
    fn delete_cascade_job(&mut self, seq: u64) -> StoreResult<()>;
    fn insert_token(&mut self, token: &Token, kid: &str) -> StoreResult<()>;
    fn revoke_token(
        &mut self, developer: DeveloperId, id: TokenId, at: Timestamp
    ) -> StoreResult<()>;
    fn insert_refresh_token(&mut self, token: &RefreshToken) -> StoreResult<()>;
    fn spend_refresh_token(&mut self, token: &RefreshToken, at: Timestamp) -> StoreResult<()>;
    fn put_key_fingerprint(&mut self, name: &str, fingerprint: &[u8]) -> StoreResult<()>;
    fn forget_signing_key(&mut self, kid: &str) -> StoreResult<()>;
    fn insert_budget(&mut self, budget: &Budget) -> StoreResult<()>;
    fn set_remaining(
        &mut self, budget: &Budget, remaining: Amount, at: Timestamp
    ) -> StoreResult<()>;
    fn insert_transaction(
        &mut self, developer: DeveloperId, transaction: &Transaction
    ) -> StoreResult<()>;
    fn keep_answer(
        &mut self, developer: DeveloperId, route: &str, key: &str, answer: &KeptAnswer,
        before: Option<&KeptAnswer>
    ) -> StoreResult<()>;
    fn append(
        &mut self, developer: DeveloperId, subject: &Subject, data: EventData
    ) -> StoreResult<StoredEvent>;
    fn trim(&mut self, developer: DeveloperId, up_to: Position, limit: u32) -> StoreResult<u64>;
    fn sum_events(&mut self, limit: u32) -> StoreResult<u64>;
    fn purge(&mut self, ended: &Ended, limit: u32) -> StoreResult<u64>;
    fn purge_history(
        &mut self, developer: DeveloperId, before: Timestamp, limit: u32
    ) -> StoreResult<u64>;
    fn tidy_tree(&mut self, limit: u32) -> StoreResult<u64>;
}}
