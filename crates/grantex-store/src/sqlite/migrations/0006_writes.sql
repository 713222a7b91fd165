-- No look-up walks what has ended. What works, is kept or is in force has indexes of its own; what has ended is in
-- the indexes of the history only.

CREATE INDEX api_keys_working ON api_keys (developer_id) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_revoked ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;

CREATE INDEX agents_kept ON agents (developer_id, id) WHERE deleted_at IS NULL;

CREATE TABLE agent_changes (
    developer_id BLOB NOT NULL, agent_id BLOB NOT NULL, number INTEGER NOT NULL, kind INTEGER NOT NULL,
    at INTEGER NOT NULL, PRIMARY KEY (developer_id, agent_id, number)
) STRICT, WITHOUT ROWID;

-- Requests that became grants go with their grants.
DROP INDEX auth_requests_by_end;
CREATE INDEX auth_requests_by_end ON auth_requests (expires_at) WHERE status != 3;
CREATE INDEX auth_requests_by_grant ON auth_requests (grant_id) WHERE grant_id IS NOT NULL;
CREATE INDEX auth_requests_unnamed ON auth_requests (expires_at) WHERE status = 3 AND grant_id IS NULL;

ALTER TABLE tokens ADD COLUMN issued_at INTEGER;
ALTER TABLE tokens ADD COLUMN method INTEGER;

-- 1 for a grant that was put aside as expired.
ALTER TABLE grants ADD COLUMN lapsed INTEGER NOT NULL DEFAULT 0;
DROP INDEX grants_unrevoked_by_agent;
CREATE INDEX grants_live ON grants (developer_id, id) WHERE revoked_at IS NULL AND lapsed = 0;
CREATE INDEX grants_live_by_agent ON grants (developer_id, agent_id, id) WHERE revoked_at IS NULL AND lapsed = 0;
CREATE INDEX grants_live_by_principal ON grants (developer_id, principal_id, id)
    WHERE revoked_at IS NULL AND lapsed = 0;
CREATE INDEX grants_live_by_depth ON grants (developer_id, agent_id, depth, expires_at, id)
    WHERE revoked_at IS NULL AND lapsed = 0;
CREATE INDEX grants_live_by_end ON grants (developer_id, expires_at) WHERE revoked_at IS NULL AND lapsed = 0;
CREATE INDEX grants_ended ON grants (developer_id, coalesce(revoked_at, expires_at))
    WHERE revoked_at IS NOT NULL OR lapsed = 1;
CREATE INDEX grants_by_parent ON grants (developer_id, parent_id, id) WHERE parent_id IS NOT NULL;

-- The tree of what a cascade can still come to: the rows of a grant leave it when the grant is revoked or lapses.
-- Those of an earlier version look as if they never ended, until maintenance has come by.
ALTER TABLE grant_ancestry ADD COLUMN expires_at INTEGER NOT NULL DEFAULT 9223372036854775807;
CREATE INDEX grant_ancestry_live ON grant_ancestry (ancestor_id, depth, expires_at, grant_id);

-- What is covered is found by the grants above, not by going through the jobs.
ALTER TABLE cascade_jobs DROP COLUMN done_depth;
ALTER TABLE cascade_jobs DROP COLUMN done_grant;
CREATE INDEX cascade_jobs_by_reach ON cascade_jobs (developer_id, agent_id, root);

-- Up to which grant the tree's rows of an earlier version are looked at. The row goes when all are.
CREATE TABLE tidied (
    id INTEGER PRIMARY KEY CHECK (id = 1), developer_id BLOB NOT NULL, grant_id BLOB NOT NULL
) STRICT;
INSERT INTO tidied VALUES (1, x'', x'');
