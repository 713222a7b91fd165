-- An operator stops a developer without ending anything.
ALTER TABLE developers ADD COLUMN suspended_at INTEGER;

-- Who changed what, where no event says it. Clustered by developer, newest last.
CREATE TABLE audit_entries (
    developer_id BLOB NOT NULL, id BLOB NOT NULL, created_at INTEGER NOT NULL, actor_kind INTEGER NOT NULL,
    actor_id TEXT, action TEXT NOT NULL, target TEXT NOT NULL, details TEXT NOT NULL,
    PRIMARY KEY (developer_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_entries_by_age ON audit_entries (created_at);

-- Principals' sessions. One that ends goes; what happened to it stands in the audit trail.
CREATE TABLE principal_sessions (
    developer_id BLOB NOT NULL, id BLOB NOT NULL, principal_id TEXT NOT NULL, key_id BLOB NOT NULL,
    created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, PRIMARY KEY (developer_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX principal_sessions_by_principal ON principal_sessions (developer_id, principal_id, id);
CREATE INDEX principal_sessions_by_end ON principal_sessions (expires_at);
