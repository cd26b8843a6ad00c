-- Whose a domain is, what its records said last, and which keys may sign.

ALTER TABLE domains ADD COLUMN verified_at INTEGER;
ALTER TABLE domains ADD COLUMN checked_at INTEGER;
-- A JSON object: each record by purpose and name, with what was found of it.
ALTER TABLE domains ADD COLUMN checked TEXT NOT NULL DEFAULT '{}';
UPDATE domains SET verified_at = created_at;

-- A mail signed with the key has been verified through DNS.
ALTER TABLE dkim_keys ADD COLUMN proved_at INTEGER;
UPDATE dkim_keys SET proved_at = created_at;
