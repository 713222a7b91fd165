CREATE TABLE developers (
    id BLOB PRIMARY KEY, name TEXT NOT NULL, email TEXT UNIQUE, mode INTEGER NOT NULL, created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    developer_id BLOB NOT NULL REFERENCES developers, id BLOB NOT NULL, name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE, prefix TEXT NOT NULL, created_at INTEGER NOT NULL, revoked_at INTEGER,
    PRIMARY KEY (developer_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE agents (
    developer_id BLOB NOT NULL REFERENCES developers, id BLOB NOT NULL, name TEXT NOT NULL,
    description TEXT NOT NULL, scopes TEXT NOT NULL, status INTEGER NOT NULL,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, deleted_at INTEGER,
    PRIMARY KEY (developer_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE auth_requests (
    id BLOB PRIMARY KEY, developer_id BLOB NOT NULL REFERENCES developers, agent_id BLOB NOT NULL,
    principal_id TEXT NOT NULL, scopes TEXT NOT NULL, lifetime TEXT NOT NULL, redirect_uri TEXT, state TEXT,
    audience TEXT, code_challenge TEXT, status INTEGER NOT NULL, created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL, decided_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX auth_requests_by_end ON auth_requests (expires_at);

CREATE TABLE grants (
    developer_id BLOB NOT NULL REFERENCES developers, id BLOB NOT NULL, agent_id BLOB NOT NULL,
    principal_id TEXT NOT NULL, scopes TEXT NOT NULL, audience TEXT, issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL, revoked_at INTEGER, parent_id BLOB, depth INTEGER NOT NULL,
    PRIMARY KEY (developer_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_by_principal ON grants (developer_id, principal_id, id);
CREATE INDEX grants_by_agent ON grants (developer_id, agent_id, id);
CREATE INDEX grants_unrevoked_by_agent ON grants (developer_id, agent_id, depth, id) WHERE revoked_at IS NULL;

-- Every pair of a grant and one above it, with how many delegations lie between them.
CREATE TABLE grant_ancestry (
    ancestor_id BLOB NOT NULL, depth INTEGER NOT NULL, grant_id BLOB NOT NULL,
    PRIMARY KEY (ancestor_id, depth, grant_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX grant_ancestry_up ON grant_ancestry (grant_id, ancestor_id);

CREATE TABLE cascade_jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, developer_id BLOB NOT NULL, created_at INTEGER NOT NULL,
    agent_id BLOB, root BLOB, done_depth INTEGER, done_grant BLOB
) STRICT;
CREATE INDEX cascade_jobs_by_developer ON cascade_jobs (developer_id);

CREATE TABLE tokens (
    developer_id BLOB NOT NULL, id BLOB NOT NULL, grant_id BLOB NOT NULL, expires_at INTEGER NOT NULL,
    revoked_at INTEGER, PRIMARY KEY (developer_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_end ON tokens (expires_at);

CREATE TABLE signing_keys (kid TEXT PRIMARY KEY, expires_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE refresh_tokens (
    developer_id BLOB NOT NULL, id BLOB NOT NULL, grant_id BLOB NOT NULL, expires_at INTEGER NOT NULL,
    spent_at INTEGER, ended_at INTEGER, PRIMARY KEY (developer_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires_at);
CREATE UNIQUE INDEX refresh_tokens_current ON refresh_tokens (grant_id) WHERE spent_at IS NULL AND ended_at IS NULL;

CREATE TABLE budgets (
    developer_id BLOB NOT NULL, grant_id BLOB NOT NULL, id BLOB NOT NULL, initial INTEGER NOT NULL,
    remaining INTEGER NOT NULL CHECK (remaining BETWEEN 0 AND initial), currency TEXT NOT NULL,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, PRIMARY KEY (developer_id, grant_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX budgets_by_id ON budgets (developer_id, id);

CREATE TABLE transactions (
    developer_id BLOB NOT NULL, grant_id BLOB NOT NULL, id BLOB NOT NULL, budget_id BLOB NOT NULL,
    amount INTEGER NOT NULL, description TEXT, metadata TEXT, created_at INTEGER NOT NULL,
    PRIMARY KEY (developer_id, grant_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE kept_answers (
    developer_id BLOB NOT NULL, route TEXT NOT NULL, key TEXT NOT NULL, body_hash BLOB NOT NULL,
    outcome BLOB NOT NULL, created_at INTEGER NOT NULL, PRIMARY KEY (developer_id, route, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX kept_answers_by_age ON kept_answers (created_at);

-- The logs. No index by id or time: both grow with the position, so a binary search over the
-- primary key finds them, and an append writes one row in one place.
CREATE TABLE events (
    developer_id BLOB NOT NULL, position INTEGER NOT NULL, id BLOB NOT NULL, created_at INTEGER NOT NULL,
    kind INTEGER NOT NULL, grant_id BLOB NOT NULL, agent_id BLOB NOT NULL, principal_id TEXT NOT NULL,
    envelope BLOB NOT NULL, PRIMARY KEY (developer_id, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE logs (
    developer_id BLOB PRIMARY KEY, head INTEGER NOT NULL, head_id BLOB NOT NULL, head_at INTEGER NOT NULL,
    trimmed INTEGER NOT NULL, trimmed_id BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row that is written to find out whether writing works again.
CREATE TABLE probe (id INTEGER PRIMARY KEY CHECK (id = 1), at INTEGER NOT NULL) STRICT;
