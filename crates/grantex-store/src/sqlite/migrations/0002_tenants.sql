-- An operator stops a developer without ending anything.
ALTER TABLE developers ADD COLUMN suspended_at INTEGER;

-- Who changed what, where no event says it. Clustered by developer, newest last.
CREATE TABLE audit_entries (
    developer_id BLOB NOT NULL, id BLOB NOT NULL, created_at INTEGER NOT NULL, actor_kind INTEGER NOT NULL,
    actor_id TEXT, action TEXT NOT NULL, target TEXT NOT NULL, details TEXT NOT NULL,
    PRIMARY KEY (developer_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_entries_by_age ON audit_entries (created_at);
