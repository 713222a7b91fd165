-- What a developer has, in the row that each event writes anyway: agents that are not deleted, grants that were not
-- revoked nor put aside as expired, and about how many bytes (see `usage.rs`).
ALTER TABLE logs ADD COLUMN agents INTEGER NOT NULL DEFAULT 0;
ALTER TABLE logs ADD COLUMN grants INTEGER NOT NULL DEFAULT 0;
ALTER TABLE logs ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;

INSERT INTO logs (developer_id, head, head_id, head_at, trimmed, trimmed_id)
    SELECT id, 0, zeroblob(16), 0, 0, zeroblob(16) FROM developers d
    WHERE NOT EXISTS (SELECT 1 FROM logs l WHERE l.developer_id = d.id)
      AND EXISTS (SELECT 1 FROM agents a WHERE a.developer_id = d.id);
-- Counted in the indexes of these rows alone. An event took some 400 bytes.
UPDATE logs SET
    agents = (SELECT count(*) FROM agents a WHERE a.developer_id = logs.developer_id AND a.deleted_at IS NULL),
    grants = (SELECT count(*) FROM grants g INDEXED BY grants_live
              WHERE g.developer_id = logs.developer_id AND g.revoked_at IS NULL AND g.lapsed = 0),
    bytes = 400 * (head - trimmed);
