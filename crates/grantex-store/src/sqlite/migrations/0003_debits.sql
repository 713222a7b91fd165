-- How many debits a budget had: in the row that each debit writes anyway, so that no list counts rows.
ALTER TABLE budgets ADD COLUMN debits INTEGER NOT NULL DEFAULT 0;

-- Up to which debit those of an earlier version are counted. The row goes when all are.
CREATE TABLE debits_counted (developer_id BLOB NOT NULL, grant_id BLOB NOT NULL, id BLOB NOT NULL) STRICT;
INSERT INTO debits_counted (developer_id, grant_id, id) VALUES (x'', x'', x'');
