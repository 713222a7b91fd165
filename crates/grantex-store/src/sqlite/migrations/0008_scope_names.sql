-- What a developer's scopes are called where principals read them. At most some hundred rows a developer.
CREATE TABLE scope_names (
    developer_id BLOB NOT NULL, scope TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL,
    updated_at INTEGER NOT NULL, PRIMARY KEY (developer_id, scope)
) STRICT, WITHOUT ROWID;

-- The budget that the principal is asked for, in ten-thousandths, and its currency; NULL where none is.
ALTER TABLE auth_requests ADD COLUMN budget INTEGER;
ALTER TABLE auth_requests ADD COLUMN currency TEXT;
