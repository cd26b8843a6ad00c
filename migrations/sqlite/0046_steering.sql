-- What people do with mail that waits: rules that hold it, another pool for it, and whose dialogues
-- are kept; what an organization has of its own.

-- The pool that it was sent to by a person; NULL: as the rules say.
ALTER TABLE deliveries ADD COLUMN pool INTEGER;

-- The pool of its mail that no rule speaks of; NULL: the default one.
ALTER TABLE organizations ADD COLUMN pool INTEGER;
-- Octets of mail that are listed; the oldest that are over go first. NULL for any.
ALTER TABLE organizations ADD COLUMN keep_bytes INTEGER;

-- Mail for which all that is given holds waits, with the reason, while the rule is there.
CREATE TABLE hold_rules (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER,
    stream INTEGER,
    campaign INTEGER,
    credential INTEGER,
    tag TEXT,
    -- In lower case: an address, or `@` and a domain.
    sender TEXT,
    recipient_domain TEXT,
    reason TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Recipients to whom everything that is said is kept.
CREATE TABLE traces (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    -- In lower case: an address, or `@` and a domain.
    recipient TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX traces_organization ON traces (organization);

INSERT INTO id_blocks (name, next) VALUES ('hold_rule', 1), ('trace', 1);
