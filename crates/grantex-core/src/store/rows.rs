//! The rows that a backend keeps: what rules read ([`Read`]) and write ([`Tx`]).

use grantex_types::api::authorization::ConsentStatus;
use grantex_types::api::grants::GrantStatus;
use grantex_types::{
    AgentId, Amount, AuditId, AuthRequestId, BudgetId, DeveloperId, EventData, EventId, GrantId,
    KeyId, RefreshId, SessionId, Timestamp, TokenId, TransactionId,
};

use crate::error::StoreResult;
use crate::log::{Bounds, EventRef, Order, Position, Scan, StoredEvent, Subject};
use crate::model::{
    Agent, AgentChange, AgentChangeKind, ApiKey, AuditEntry, AuthRequest, Budget, CascadeJob,
    Developer, Grant, KeyHash, PrincipalSession, Reached, RefreshToken, ScopeName, Tenant, Token,
    Transaction, Usage,
};

/// Which part of a list to read; lists are newest first (by id).
#[derive(Debug, Clone, Copy)]
pub struct Page<Id> {
    /// Only what comes after this one in the list's order.
    pub after: Option<Id>,
    /// How many to pass over; for clients that count pages.
    pub offset: u64,
    /// How many to read.
    pub limit: u32,
}

/// Rows or events that one query looks at, however many of them a filter hides: some ten
/// milliseconds. Its answer says where it stopped.
pub const MOST_LOOKED_AT: u32 = 10_000;

/// A page of a list of which a filter hides some.
#[derive(Debug, Clone)]
pub struct Sifted<T, Id> {
    /// What it shows.
    pub rows: Vec<T>,
    /// The last row looked at, where there may be more to show but [`MOST_LOOKED_AT`] were looked
    /// at: go on after it.
    pub stopped_at: Option<Id>,
}

/// Which grants to list.
#[derive(Debug, Clone, Default)]
pub struct GrantFilter {
    /// Only this agent's.
    pub agent_id: Option<AgentId>,
    /// Only this principal's.
    pub principal_id: Option<String>,
    /// Only those with this status now.
    pub status: Option<GrantStatus>,
}

/// Which grants a cascade comes to.
#[derive(Debug, Clone, Copy)]
pub enum Reach {
    /// Those whose own row is not revoked and that have not expired now. Each says whether a
    /// [`CascadeJob`] covers it already.
    Active,
    /// Those whose own row is not revoked and that had not expired at this time: what a
    /// [`CascadeJob`] made then is to work off.
    CoveredSince(Timestamp),
}

/// From before when rows that nothing needs any more are removed.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// Kept answers, and refresh tokens that ended.
    pub answers: Timestamp,
    /// Authorization requests that ended without a grant.
    pub requests: Timestamp,
    /// History: revoked keys, tokens that ended, grants that ended with their requests, budgets and
    /// debits. `None` to keep it for ever.
    pub history: Option<Timestamp>,
}

/// An answer kept for an idempotency key.
#[derive(Debug, Clone)]
pub struct KeptAnswer {
    /// Hash of the request body that the answer belongs to.
    pub body_hash: [u8; 32],
    /// The answer, without any secret.
    pub outcome: Vec<u8>,
    /// When it was kept.
    pub created_at: Timestamp,
}

/// Reading. Every method sees one snapshot: all of a committed transaction or nothing of it, and
/// within a [`Tx`] also what that transaction wrote itself. Methods that take a developer never
/// return another developer's row.
pub trait Read {
    /// The time that rules go by. Within a [`Tx`] it stands still. Where several processes write
    /// one database, it is that database's time: processes whose clocks differ agree on what has
    /// expired. Order never rests on it (see [`Bounds::next`]).
    fn now(&self) -> Timestamp;

    /// A developer.
    fn developer(&self, id: DeveloperId) -> StoreResult<Option<Developer>>;
    /// A developer, with whether it is suspended.
    fn tenant(&self, id: DeveloperId) -> StoreResult<Option<Tenant>>;
    /// All developers, with whether they are suspended.
    fn tenants(&self, page: Page<DeveloperId>) -> StoreResult<Vec<Tenant>>;
    /// What a developer has: kept, not counted. Its bytes may lag by some ten thousand, and are
    /// rounded.
    fn usage(&self, id: DeveloperId) -> StoreResult<Usage>;
    /// Whether a developer has this (lower-case) address.
    fn email_taken(&self, email: &str) -> StoreResult<bool>;
    /// A key by the hash of its secret, revoked or not.
    fn key_by_hash(&self, hash: &KeyHash) -> StoreResult<Option<ApiKey>>;
    /// A key by its id, revoked or not.
    fn key(&self, developer: DeveloperId, id: KeyId) -> StoreResult<Option<ApiKey>>;
    /// A developer's keys, revoked ones included.
    fn keys(&self, developer: DeveloperId, page: Page<KeyId>) -> StoreResult<Vec<ApiKey>>;
    /// How many of a developer's keys work, counted up to `most`. Looks at no revoked one.
    fn working_keys(&self, developer: DeveloperId, most: u32) -> StoreResult<u32>;

    /// A developer's audit trail.
    fn audit_entries(
        &self,
        developer: DeveloperId,
        page: Page<AuditId>,
    ) -> StoreResult<Vec<AuditEntry>>;

    /// A principal's session that was not ended, expired or not.
    fn session(
        &self,
        developer: DeveloperId,
        id: SessionId,
    ) -> StoreResult<Option<PrincipalSession>>;
    /// A developer's sessions that were not ended nor expired, of one principal or of all.
    fn sessions(
        &self,
        developer: DeveloperId,
        principal_id: Option<&str>,
        page: Page<SessionId>,
    ) -> StoreResult<Vec<PrincipalSession>>;

    /// An agent that was not deleted.
    fn agent(&self, developer: DeveloperId, id: AgentId) -> StoreResult<Option<Agent>>;
    /// A developer's agents that were not deleted.
    fn agents(&self, developer: DeveloperId, page: Page<AgentId>) -> StoreResult<Vec<Agent>>;
    /// What happened to an agent, also a deleted one, newest first; pages go by number.
    fn agent_changes(
        &self,
        developer: DeveloperId,
        agent: AgentId,
        page: Page<u64>,
    ) -> StoreResult<Vec<AgentChange>>;

    /// What a developer calls a scope.
    fn scope_name(&self, developer: DeveloperId, scope: &str) -> StoreResult<Option<ScopeName>>;
    /// The first `limit` scopes that a developer has named, in the order of the scopes.
    fn scope_names(&self, developer: DeveloperId, limit: u32) -> StoreResult<Vec<ScopeName>>;

    /// An authorization request of any developer: its id is the principal's credential.
    fn auth_request(&self, id: AuthRequestId) -> StoreResult<Option<AuthRequest>>;
    /// The authorization request that a grant came from; `None` for one that was delegated.
    fn request_of_grant(
        &self,
        developer: DeveloperId,
        grant: GrantId,
    ) -> StoreResult<Option<AuthRequest>>;

    /// A grant. `revoked_at` is set as soon as a [`CascadeJob`] covers it.
    fn grant(&self, developer: DeveloperId, id: GrantId) -> StoreResult<Option<Grant>>;
    /// A developer's grants that the filter shows. Looks at [`MOST_LOOKED_AT`] at most; those in
    /// force are found without looking at the others, but for those that expired since
    /// [`Tx::lapse`] last came by.
    fn grants(
        &self,
        developer: DeveloperId,
        filter: &GrantFilter,
        page: Page<GrantId>,
    ) -> StoreResult<Sifted<Grant, GrantId>>;
    /// The agents of the grants above this one, also of one that ended, from its parent's upwards.
    fn agents_above(&self, developer: DeveloperId, grant: GrantId) -> StoreResult<Vec<AgentId>>;
    /// The first `limit` grants below `root` that `reach` names, parents before children (by depth
    /// below the root). Looks at no more than it returns, however many others there were.
    fn descendants(
        &self,
        developer: DeveloperId,
        root: GrantId,
        reach: Reach,
        limit: u32,
    ) -> StoreResult<Vec<Reached>>;
    /// The first `limit` of an agent's grants that `reach` names, those with fewer delegations
    /// above them first. Looks at no more than it returns, however many others there were.
    fn grants_of_agent(
        &self,
        developer: DeveloperId,
        agent: AgentId,
        reach: Reach,
        limit: u32,
    ) -> StoreResult<Vec<Reached>>;
    /// The oldest unfinished cascade of the first developer after `after` who has one, and after
    /// the last developer of the first again.
    fn next_cascade_job(&self, after: Option<DeveloperId>) -> StoreResult<Option<CascadeJob>>;
    /// Whether a developer has an unfinished cascade.
    fn has_cascade_job(&self, developer: DeveloperId) -> StoreResult<bool>;
    /// When the first of a developer's grants ends that is neither revoked nor [lapsed](Tx::lapse).
    fn earliest_end(&self, developer: DeveloperId) -> StoreResult<Option<Timestamp>>;
    /// Whether a developer has grants that ended before `before`.
    fn has_history(&self, developer: DeveloperId, before: Timestamp) -> StoreResult<bool>;

    /// An issued token.
    fn token(&self, developer: DeveloperId, id: TokenId) -> StoreResult<Option<Token>>;
    /// A refresh token.
    fn refresh_token(
        &self,
        developer: DeveloperId,
        id: RefreshId,
    ) -> StoreResult<Option<RefreshToken>>;
    /// The last moment at which a token signed by this key can still be valid.
    fn signatures_expire_at(&self, kid: &str) -> StoreResult<Option<Timestamp>>;

    /// What a key file is recognized by, if that was [remembered](Tx::put_key_fingerprint).
    fn key_fingerprint(&self, name: &str) -> StoreResult<Option<Vec<u8>>>;
    /// Whether there are rows whose secrets are derived with the master key.
    fn holds_derived_secrets(&self) -> StoreResult<bool>;
    /// The keys of which a signature can still be valid at this time.
    fn kids_needed(&self, at: Timestamp) -> StoreResult<Vec<String>>;

    /// The budget of a grant.
    fn budget(&self, developer: DeveloperId, grant: GrantId) -> StoreResult<Option<Budget>>;
    /// A developer's budgets.
    fn budgets(&self, developer: DeveloperId, page: Page<BudgetId>) -> StoreResult<Vec<Budget>>;
    /// A grant's debits.
    fn transactions(
        &self,
        developer: DeveloperId,
        grant: GrantId,
        page: Page<TransactionId>,
    ) -> StoreResult<Vec<Transaction>>;
    /// How many debits a grant has: kept in its budget's row, not counted. 0 without a budget.
    fn transaction_count(&self, developer: DeveloperId, grant: GrantId) -> StoreResult<u64>;

    /// The answer kept for an idempotency key, however old.
    fn kept_answer(
        &self,
        developer: DeveloperId,
        route: &str,
        key: &str,
    ) -> StoreResult<Option<KeptAnswer>>;

    /// What the developer's log spans.
    fn log_bounds(&self, developer: DeveloperId) -> StoreResult<Bounds>;
    /// Shows the events that a scan asks for, in its order and without a gap. None when it starts
    /// at the head; it starts at the oldest event when what it starts after was trimmed. [Newest
    /// first](Order::NewestFirst) it starts at the head when what it starts after lies beyond, and
    /// shows none when that is the oldest event or was trimmed. An event that is missing or not as
    /// it was written is never shown: a scan ends before it, and one that begins with it fails with
    /// [`StoreError::Damaged`](crate::StoreError::Damaged).
    fn scan_events(
        &self,
        developer: DeveloperId,
        scan: Scan,
        each: &mut dyn FnMut(EventRef<'_>),
    ) -> StoreResult<()>;
    /// What [`scan_events`](Self::scan_events) shows, kept.
    fn events(
        &self,
        developer: DeveloperId,
        after: Position,
        limit: u32,
        max_bytes: usize,
    ) -> StoreResult<Vec<StoredEvent>> {
        let mut events = Vec::new();
        let scan = Scan { order: Order::OldestFirst, after, limit, max_bytes, with_subjects: true };
        self.scan_events(developer, scan, &mut |event| events.extend(event.to_stored()))?;
        Ok(events)
    }
    /// The position of a retained event, in time logarithmic in the log's length. A
    /// [`Damage::resume_after`] has the position of the damage's last event. Another id that would
    /// lie in a stretch of damaged events has the position of the damaged event whose id it is, if
    /// that can be read, or else the one before the stretch.
    ///
    /// [`Damage::resume_after`]: crate::log::Damage::resume_after
    fn position_of(&self, developer: DeveloperId, id: EventId) -> StoreResult<Option<Position>>;
    /// The position of the last retained event before `at` that can be read: the head if all are
    /// earlier. Logarithmic like [`position_of`](Self::position_of).
    fn position_before(&self, developer: DeveloperId, at: Timestamp) -> StoreResult<Position>;
    /// The position of the last retained event before `at`, damaged or not, as far as those that
    /// can be read tell: a damaged one counts as before `at` until one that can be read is not.
    /// Logarithmic.
    fn position_until(&self, developer: DeveloperId, at: Timestamp) -> StoreResult<Position>;
    /// The position of the last event before the one with this id, `None` for an id that this log
    /// never had. A [`Damage::resume_before`] has the position below the damage, and so has the id
    /// of a trimmed event that of the last trimmed one. Logarithmic.
    ///
    /// [`Damage::resume_before`]: crate::log::Damage::resume_before
    fn position_below(&self, developer: DeveloperId, id: EventId) -> StoreResult<Option<Position>>;
    /// The id of a retained event or of the last trimmed one; [`EventId::ZERO`] for position 0.
    fn id_at(&self, developer: DeveloperId, position: Position) -> StoreResult<Option<EventId>>;
    /// Developers that have events, in order of their ids, from after `after` on.
    fn developers_with_events(
        &self,
        after: Option<DeveloperId>,
        limit: u32,
    ) -> StoreResult<Vec<DeveloperId>>;
}

/// Writing: row primitives inside one transaction, no rules. Everything a use case did through
/// it commits together, or none of it does.
pub trait Tx: Read {
    /// 128 fresh random bits.
    fn random(&self) -> u128;

    /// Adds a developer. A [conflict](crate::StoreError::Conflict) if another has its address.
    fn insert_developer(&mut self, developer: &Developer) -> StoreResult<()>;
    /// Suspends a developer since `at`
    /// ([`Change::DeveloperSuspended`](super::Change::DeveloperSuspended)), or resumes it with
    /// `None`.
    fn set_suspended(&mut self, id: DeveloperId, at: Option<Timestamp>) -> StoreResult<()>;
    /// Adds a key. A [conflict](crate::StoreError::Conflict), for good, if another has the same
    /// secret.
    fn insert_key(&mut self, key: &ApiKey) -> StoreResult<()>;
    /// Ends a key. Listeners learn of it ([`Change::KeyRevoked`](super::Change::KeyRevoked)) before
    /// the command is answered.
    fn revoke_key(&mut self, key: &ApiKey, at: Timestamp) -> StoreResult<()>;

    /// Adds a principal's session.
    fn insert_session(
        &mut self,
        developer: DeveloperId,
        session: &PrincipalSession,
    ) -> StoreResult<()>;
    /// Ends a session. Returns whether there was one.
    fn delete_session(&mut self, developer: DeveloperId, id: SessionId) -> StoreResult<bool>;
    /// Ends up to `limit` sessions of a principal. Returns how many.
    fn delete_sessions(
        &mut self,
        developer: DeveloperId,
        principal_id: &str,
        limit: u32,
    ) -> StoreResult<u64>;
    /// Removes up to `limit` sessions, of any developers, that expired before `before`. Returns how
    /// many went.
    fn purge_sessions(&mut self, before: Timestamp, limit: u32) -> StoreResult<u64>;

    /// Adds an entry to the developer's audit trail. Only for what no event says.
    fn append_audit(&mut self, developer: DeveloperId, entry: &AuditEntry) -> StoreResult<()>;
    /// Removes up to `limit` audit entries, of any developers, from before `before`. Returns how
    /// many went.
    fn purge_audit(&mut self, before: Timestamp, limit: u32) -> StoreResult<u64>;

    /// Adds an agent.
    fn insert_agent(&mut self, agent: &Agent) -> StoreResult<()>;
    /// Replaces what can change of an agent
    /// ([`Change::AgentChanged`](super::Change::AgentChanged)).
    fn update_agent(&mut self, agent: &Agent) -> StoreResult<()>;
    /// Hides an agent from every read ([`Change::AgentChanged`](super::Change::AgentChanged)).
    fn delete_agent(
        &mut self,
        developer: DeveloperId,
        id: AgentId,
        at: Timestamp,
    ) -> StoreResult<()>;

    /// Writes down what happened to an agent.
    fn insert_agent_change(
        &mut self,
        developer: DeveloperId,
        agent: AgentId,
        kind: AgentChangeKind,
        at: Timestamp,
    ) -> StoreResult<()>;

    /// Names a scope, in place of what it was called.
    fn put_scope_name(&mut self, developer: DeveloperId, name: &ScopeName) -> StoreResult<()>;
    /// Takes a scope's name away. Returns whether it had one.
    fn delete_scope_name(&mut self, developer: DeveloperId, scope: &str) -> StoreResult<bool>;

    /// Adds an authorization request.
    fn insert_auth_request(&mut self, request: &AuthRequest) -> StoreResult<()>;
    /// Replaces status, time of decision, and the grant that it became. A
    /// [conflict](crate::StoreError::Conflict) unless its status is still what it was.
    fn update_auth_request(&mut self, request: &AuthRequest, was: ConsentStatus)
    -> StoreResult<()>;

    /// Adds a grant; one with a parent becomes a descendant of all the parent's ancestors.
    fn insert_grant(&mut self, grant: &Grant) -> StoreResult<()>;
    /// Marks a grant's own row ([`Change::GrantEnded`](super::Change::GrantEnded)), and takes it
    /// out of what cascades and lists of grants in force look at.
    fn revoke_grant(
        &mut self,
        developer: DeveloperId,
        id: GrantId,
        at: Timestamp,
    ) -> StoreResult<()>;
    /// Adds a job, which makes everything it covers inactive at once
    /// ([`Change::CascadeStarted`](super::Change::CascadeStarted)). The job's `seq` is made here.
    fn insert_cascade_job(&mut self, job: &CascadeJob) -> StoreResult<()>;
    /// Takes a grant that [is over](Reached::is_over) out of what cascades look at.
    fn leave_tree(&mut self, id: GrantId) -> StoreResult<()>;
    /// Takes up to `limit` grants that ended by `up_to`, the earliest first, out of what cascades
    /// and lists of grants in force look at. They stay expired, whatever the clock says later
    /// ([`Change::GrantEnded`](super::Change::GrantEnded)). Only while the developer has no
    /// unfinished cascade, which may have to revoke them. Returns how many it took.
    fn lapse(&mut self, developer: DeveloperId, up_to: Timestamp, limit: u32) -> StoreResult<u64>;
    /// Replaces how far a job is.
    fn update_cascade_job(&mut self, job: &CascadeJob) -> StoreResult<()>;
    /// Ends a job.
    fn delete_cascade_job(&mut self, seq: u64) -> StoreResult<()>;

    /// Adds a token, and remembers until when its signing key is needed.
    fn insert_token(&mut self, token: &Token, kid: &str) -> StoreResult<()>;
    /// Ends a token ([`Change::TokenRevoked`](super::Change::TokenRevoked)).
    fn revoke_token(
        &mut self,
        developer: DeveloperId,
        id: TokenId,
        at: Timestamp,
    ) -> StoreResult<()>;
    /// Adds a refresh token. A [conflict](crate::StoreError::Conflict) if its grant has one that is
    /// neither spent nor ended.
    fn insert_refresh_token(&mut self, token: &RefreshToken) -> StoreResult<()>;
    /// Marks a refresh token used. A [conflict](crate::StoreError::Conflict) if it was already.
    fn spend_refresh_token(&mut self, token: &RefreshToken, at: Timestamp) -> StoreResult<()>;

    /// Remembers what a key file is recognized by, so that another one is noticed.
    fn put_key_fingerprint(&mut self, name: &str, fingerprint: &[u8]) -> StoreResult<()>;
    /// Forgets until when signatures of a key can be valid: the key is gone, so none can be
    /// checked.
    fn forget_signing_key(&mut self, kid: &str) -> StoreResult<()>;

    /// Adds a budget. A [conflict](crate::StoreError::Conflict) if its grant has one.
    fn insert_budget(&mut self, budget: &Budget) -> StoreResult<()>;
    /// Replaces what is left, and counts one debit more. A
    /// [conflict](crate::StoreError::Conflict) unless what is left is still what `budget` says.
    fn set_remaining(
        &mut self,
        budget: &Budget,
        remaining: Amount,
        at: Timestamp,
    ) -> StoreResult<()>;
    /// Adds a debit.
    fn insert_transaction(
        &mut self,
        developer: DeveloperId,
        transaction: &Transaction,
    ) -> StoreResult<()>;

    /// Keeps an answer, in place of the one that was `before`. A
    /// [conflict](crate::StoreError::Conflict) if another was kept for the key meanwhile.
    fn keep_answer(
        &mut self,
        developer: DeveloperId,
        route: &str,
        key: &str,
        answer: &KeptAnswer,
        before: Option<&KeptAnswer>,
    ) -> StoreResult<()>;

    /// Appends an event to the developer's log at the next position, with an id and a time that
    /// follow [`Bounds::next`]. Listeners get it after the commit, in log order, once. A
    /// [conflict](crate::StoreError::Conflict) unless the log's head is still the one that
    /// position, id and time were computed from.
    fn append(
        &mut self,
        developer: DeveloperId,
        subject: &Subject,
        data: EventData,
    ) -> StoreResult<StoredEvent>;
    /// Removes the oldest events up to and including a position, at most `limit` of them, and
    /// never the newest event. Returns how many went.
    fn trim(&mut self, developer: DeveloperId, up_to: Position, limit: u32) -> StoreResult<u64>;
    /// Gives up to `limit` events of a release that knew no checksums theirs. Returns 0 when all
    /// have one, as far as they are what was written.
    fn sum_events(&mut self, limit: u32) -> StoreResult<u64>;
    /// Removes up to `limit` rows that nothing can need any more: all that [`Ended`] names, but for
    /// grants and what goes with them. Returns how many went.
    fn purge(&mut self, ended: &Ended, limit: u32) -> StoreResult<u64>;
    /// Removes up to `limit` rows of a developer's grants that ended before `before`: their debits
    /// first, then their budgets, their requests and themselves. Only while the developer has no
    /// unfinished cascade, which looks at them. Returns how many went.
    fn purge_history(
        &mut self,
        developer: DeveloperId,
        before: Timestamp,
        limit: u32,
    ) -> StoreResult<u64>;
    /// Goes over the next `limit` grants that an earlier version may have written, and takes those
    /// that ended out of what cascades look at, which is all that depends on it. Returns how many
    /// it went over: 0 when it is through.
    fn tidy_tree(&mut self, limit: u32) -> StoreResult<u64>;
}
