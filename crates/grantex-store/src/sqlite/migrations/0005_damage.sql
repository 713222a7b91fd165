-- What each event's row has to be (see `checksum.rs`); NULL until maintenance has looked at a row from before.
ALTER TABLE events ADD COLUMN checksum INTEGER;
-- The rows that have none yet, by log; a line goes when its rows have theirs.
CREATE TABLE unsummed (developer_id BLOB PRIMARY KEY, next INTEGER NOT NULL, last INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO unsummed SELECT developer_id, trimmed + 1, head FROM logs WHERE head > trimmed;

-- Which database this is, and how far it is: the mark beside it remembers the same (see `mark.rs`).
CREATE TABLE progress (
    id INTEGER PRIMARY KEY CHECK (id = 1), identity BLOB NOT NULL, sequence INTEGER NOT NULL, stopped INTEGER NOT NULL
) STRICT;
INSERT INTO progress VALUES (1, randomblob(16), 0, 0);

-- What the keys are that this database depends on, so that others are noticed.
CREATE TABLE key_fingerprints (name TEXT PRIMARY KEY, fingerprint BLOB NOT NULL) STRICT, WITHOUT ROWID;
