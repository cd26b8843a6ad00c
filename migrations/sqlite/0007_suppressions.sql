-- Addresses that are not written to. What was removed stays as a row, with who said why.
CREATE TABLE suppressions (
    id INTEGER NOT NULL PRIMARY KEY,
    scope TEXT NOT NULL CHECK (scope IN ('installation', 'organization', 'stream')),
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
    removal_note TEXT
) STRICT;

CREATE UNIQUE INDEX suppressions_address
    ON suppressions (address_hash, scope, organization, stream) WHERE removed_at IS NULL;

INSERT INTO id_blocks (name, next) VALUES ('suppression', 1);
