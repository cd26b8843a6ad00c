-- Entries may reach as far as one list: campaigns to it do not go to the address.
CREATE TABLE suppressions_next (
    id INTEGER NOT NULL PRIMARY KEY,
    scope TEXT NOT NULL CHECK (scope IN ('installation', 'organization', 'stream', 'list')),
    -- 0 for the whole installation.
    organization INTEGER NOT NULL,
    -- 0 for more than one stream.
    stream INTEGER NOT NULL,
    -- SHA-256 of the address in lower case, in hexadecimal digits.
    address_hash TEXT NOT NULL,
    -- Missing where only the hash is known.
    address TEXT,
    reason TEXT NOT NULL,
    -- The delivery that taught us.
    evidence INTEGER,
    note TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    removed_at INTEGER,
    removal_note TEXT,
    -- 0 for more than one list.
    list INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT INTO suppressions_next (id, scope, organization, stream, address_hash, address, reason,
    evidence, note, created_at, expires_at, removed_at, removal_note)
    SELECT id, scope, organization, stream, address_hash, address, reason, evidence, note,
    created_at, expires_at, removed_at, removal_note FROM suppressions;
DROP TABLE suppressions;
ALTER TABLE suppressions_next RENAME TO suppressions;

CREATE UNIQUE INDEX suppressions_address
    ON suppressions (address_hash, scope, organization, stream, list) WHERE removed_at IS NULL;
