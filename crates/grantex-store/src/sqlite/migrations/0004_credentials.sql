-- The grant that an approved request became: a code that comes again revokes it.
ALTER TABLE auth_requests ADD COLUMN grant_id BLOB;
