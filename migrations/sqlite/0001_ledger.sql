-- The ledger's first shape. Times are microseconds since 1970 UTC, ids are given by the daemon
-- from the blocks in `id_blocks`. The same table as in ../postgres, column by column.

CREATE TABLE organizations (
    id INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT organizations_name UNIQUE (name)
) STRICT;

CREATE TABLE streams (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    class TEXT NOT NULL CHECK (class IN ('transactional', 'marketing')),
    created_at INTEGER NOT NULL,
    CONSTRAINT streams_name UNIQUE (organization, name)
) STRICT;

CREATE TABLE domains (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT domains_name UNIQUE (name)
) STRICT;

-- The public halves; the private keys are files.
CREATE TABLE dkim_keys (
    domain TEXT NOT NULL,
    selector TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    record TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT dkim_keys_selector PRIMARY KEY (domain, selector)
) STRICT;

CREATE TABLE credentials (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    stream INTEGER NOT NULL REFERENCES streams (id),
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    CONSTRAINT credentials_name UNIQUE (name)
) STRICT;

CREATE TABLE operators (
    id INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    CONSTRAINT operators_name UNIQUE (name)
) STRICT;

CREATE TABLE sites (
    id INTEGER NOT NULL PRIMARY KEY,
    key TEXT NOT NULL,
    operator INTEGER REFERENCES operators (id),
    CONSTRAINT sites_key UNIQUE (key)
) STRICT;

CREATE TABLE messages (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id > 0 AND id < 9007199254740992),
    organization INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    credential INTEGER,
    domain INTEGER,
    sender TEXT NOT NULL,
    eight_bit INTEGER NOT NULL,
    smtputf8 INTEGER NOT NULL,
    dsn_return TEXT,
    dsn_envelope_id TEXT,
    message_id_header TEXT NOT NULL,
    subject TEXT NOT NULL,
    tag TEXT,
    metadata TEXT,
    idempotency_key TEXT,
    body_segment INTEGER NOT NULL,
    body_offset INTEGER NOT NULL,
    body_length INTEGER NOT NULL,
    body_node INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    -- Its deliveries lie in this range of ids, so that no index from message to deliveries
    -- has to be written for every mail.
    delivery_first INTEGER NOT NULL,
    delivery_last INTEGER NOT NULL,
    -- Deliveries not yet final. Kept up only while there is more than one delivery.
    owed INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX messages_idempotency_key ON messages (organization, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE deliveries (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id > 0 AND id < 9007199254740992),
    message INTEGER NOT NULL,
    organization INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    domain INTEGER,
    campaign INTEGER,
    rank INTEGER NOT NULL,
    site INTEGER NOT NULL,
    state TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    body_node INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    recipient_domain TEXT NOT NULL,
    notify INTEGER NOT NULL,
    original_recipient TEXT,
    text TEXT NOT NULL DEFAULT '',
    blame TEXT,
    answer_not_seen INTEGER NOT NULL DEFAULT 0,
    delay_reported INTEGER NOT NULL DEFAULT 0,
    score INTEGER NOT NULL DEFAULT 0,
    lease_node INTEGER,
    lease_epoch INTEGER,
    lease_until INTEGER
) STRICT;

-- What is claimed by: each flow (organization, stream, rank) of a site is one run of keys.
CREATE INDEX deliveries_waiting
    ON deliveries (site, organization, stream, rank, due_at, id) WHERE state = 'waiting';
CREATE INDEX deliveries_unrouted
    ON deliveries (recipient_domain, id) WHERE state = 'waiting' AND site = 0;
CREATE INDEX deliveries_leased
    ON deliveries (site, lease_until, id) WHERE state = 'leased';
CREATE INDEX deliveries_held ON deliveries (id) WHERE state = 'held';

CREATE TABLE events (
    id INTEGER NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    organization INTEGER NOT NULL,
    message INTEGER,
    delivery INTEGER,
    fields TEXT NOT NULL
) STRICT;

CREATE INDEX events_message ON events (message, id);

-- A spool segment and what in it is still owed. Its messages lie in this range of ids.
CREATE TABLE segments (
    node INTEGER NOT NULL,
    id INTEGER NOT NULL,
    live_bytes INTEGER NOT NULL,
    live_bodies INTEGER NOT NULL,
    message_first INTEGER NOT NULL,
    message_last INTEGER NOT NULL,
    CONSTRAINT segments_id PRIMARY KEY (node, id)
) STRICT;

-- Counted in the transaction that accepts, and nowhere else: the left side of `postroad check`.
CREATE TABLE totals (
    name TEXT NOT NULL,
    node INTEGER NOT NULL,
    count INTEGER NOT NULL,
    CONSTRAINT totals_node PRIMARY KEY (name, node)
) STRICT;

-- The next id of each kind that no block has been taken of.
CREATE TABLE id_blocks (
    name TEXT NOT NULL,
    next INTEGER NOT NULL CHECK (next <= 9007199254740992),
    CONSTRAINT id_blocks_name PRIMARY KEY (name)
) STRICT;

CREATE TABLE nodes (
    id INTEGER NOT NULL PRIMARY KEY,
    -- Incremented at each start; a lease of an older epoch is nobody's.
    epoch INTEGER NOT NULL,
    started_at INTEGER NOT NULL
) STRICT;

INSERT INTO organizations (id, name, created_at) VALUES (1, 'default', 0);
INSERT INTO streams (id, organization, name, class, created_at) VALUES
    (1, 1, 'transactional', 'transactional', 0),
    (2, 1, 'marketing', 'marketing', 0);
-- Where deliveries stand until routing has answered for their domain.
INSERT INTO sites (id, key) VALUES (0, 'unrouted');
INSERT INTO id_blocks (name, next) VALUES
    ('message', 1), ('delivery', 1), ('event', 1),
    ('domain', 1), ('credential', 1), ('site', 1);
