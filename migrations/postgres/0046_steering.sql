-- What people do with mail that waits: rules that hold it, another pool for it, and whose dialogues
-- are kept; what an organization has of its own.

-- The pool that it was sent to by a person; NULL: as the rules say.
ALTER TABLE deliveries ADD COLUMN pool BIGINT;

-- The pool of its mail that no rule speaks of; NULL: the default one.
ALTER TABLE organizations ADD COLUMN pool BIGINT;
-- Octets of mail that are listed; the oldest that are over go first. NULL for any.
ALTER TABLE organizations ADD COLUMN keep_bytes BIGINT;

-- Mail for which all that is given holds waits, with the reason, while the rule is there.
CREATE TABLE hold_rules (
    id BIGINT NOT NULL CONSTRAINT hold_rules_id PRIMARY KEY,
    organization BIGINT,
    stream BIGINT,
    campaign BIGINT,
    credential BIGINT,
    tag TEXT,
    -- In lower case: an address, or `@` and a domain.
    sender TEXT,
    recipient_domain TEXT,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Recipients to whom everything that is said is kept.
CREATE TABLE traces (
    id BIGINT NOT NULL CONSTRAINT traces_id PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organizations (id),
    -- In lower case: an address, or `@` and a domain.
    recipient TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX traces_organization ON traces (organization);

INSERT INTO id_blocks (name, next) VALUES ('hold_rule', 1), ('trace', 1);
