-- The ledger's first shape. Times are microseconds since 1970 UTC, ids are given by the daemon
-- from the blocks in `id_blocks`. The same table as in ../sqlite, column by column.

CREATE TABLE organizations (
    id BIGINT NOT NULL CONSTRAINT organizations_id PRIMARY KEY,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT organizations_name UNIQUE (name)
);

CREATE TABLE streams (
    id BIGINT NOT NULL CONSTRAINT streams_id PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    class TEXT NOT NULL CHECK (class IN ('transactional', 'marketing')),
    created_at BIGINT NOT NULL,
    CONSTRAINT streams_name UNIQUE (organization, name)
);

CREATE TABLE domains (
    id BIGINT NOT NULL CONSTRAINT domains_id PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT domains_name UNIQUE (name)
);

-- The public halves; the private keys are files.
CREATE TABLE dkim_keys (
    domain TEXT NOT NULL,
    selector TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    record TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT dkim_keys_selector PRIMARY KEY (domain, selector)
);

CREATE TABLE credentials (
    id BIGINT NOT NULL CONSTRAINT credentials_id PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    stream BIGINT NOT NULL REFERENCES streams (id),
    created_at BIGINT NOT NULL,
    revoked_at BIGINT,
    CONSTRAINT credentials_name UNIQUE (name)
);

CREATE TABLE operators (
    id BIGINT NOT NULL CONSTRAINT operators_id PRIMARY KEY,
    name TEXT NOT NULL,
    CONSTRAINT operators_name UNIQUE (name)
);

CREATE TABLE sites (
    id BIGINT NOT NULL CONSTRAINT sites_id PRIMARY KEY,
    key TEXT NOT NULL,
    operator BIGINT REFERENCES operators (id),
    CONSTRAINT sites_key UNIQUE (key)
);

CREATE TABLE messages (
    id BIGINT NOT NULL CONSTRAINT messages_id PRIMARY KEY
        CHECK (id > 0 AND id < 9007199254740992),
    organization BIGINT NOT NULL,
    stream BIGINT NOT NULL,
    credential BIGINT,
    domain BIGINT,
    sender TEXT NOT NULL,
    eight_bit BIGINT NOT NULL,
    smtputf8 BIGINT NOT NULL,
    dsn_return TEXT,
    dsn_envelope_id TEXT,
    message_id_header TEXT NOT NULL,
    subject TEXT NOT NULL,
    tag TEXT,
    metadata TEXT,
    idempotency_key TEXT,
    body_segment BIGINT NOT NULL,
    body_offset BIGINT NOT NULL,
    body_length BIGINT NOT NULL,
    body_node BIGINT NOT NULL,
    accepted_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    rank BIGINT NOT NULL,
    -- Its deliveries lie in this range of ids, so that no index from message to deliveries
    -- has to be written for every mail.
    delivery_first BIGINT NOT NULL,
    delivery_last BIGINT NOT NULL,
    -- Deliveries not yet final. Kept up only while there is more than one delivery.
    owed BIGINT NOT NULL
);

CREATE UNIQUE INDEX messages_idempotency_key ON messages (organization, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE deliveries (
    id BIGINT NOT NULL CONSTRAINT deliveries_id PRIMARY KEY
        CHECK (id > 0 AND id < 9007199254740992),
    message BIGINT NOT NULL,
    organization BIGINT NOT NULL,
    stream BIGINT NOT NULL,
    domain BIGINT,
    campaign BIGINT,
    rank BIGINT NOT NULL,
    site BIGINT NOT NULL,
    state TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    tries BIGINT NOT NULL DEFAULT 0,
    body_node BIGINT NOT NULL,
    recipient TEXT NOT NULL,
    recipient_domain TEXT NOT NULL,
    notify BIGINT NOT NULL,
    original_recipient TEXT,
    text TEXT NOT NULL DEFAULT '',
    blame TEXT,
    answer_not_seen BIGINT NOT NULL DEFAULT 0,
    delay_reported BIGINT NOT NULL DEFAULT 0,
    score BIGINT NOT NULL DEFAULT 0,
    lease_node BIGINT,
    lease_epoch BIGINT,
    lease_until BIGINT
);

-- What is claimed by: each flow (organization, stream, rank) of a site is one run of keys.
CREATE INDEX deliveries_waiting
    ON deliveries (site, organization, stream, rank, due_at, id) WHERE state = 'waiting';
CREATE INDEX deliveries_unrouted
    ON deliveries (recipient_domain, id) WHERE state = 'waiting' AND site = 0;
CREATE INDEX deliveries_leased
    ON deliveries (site, lease_until, id) WHERE state = 'leased';
CREATE INDEX deliveries_held ON deliveries (id) WHERE state = 'held';

CREATE TABLE events (
    id BIGINT NOT NULL CONSTRAINT events_id PRIMARY KEY,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    organization BIGINT NOT NULL,
    message BIGINT,
    delivery BIGINT,
    fields TEXT NOT NULL
);

CREATE INDEX events_message ON events (message, id);

-- A spool segment and what in it is still owed. Its messages lie in this range of ids.
CREATE TABLE segments (
    node BIGINT NOT NULL,
    id BIGINT NOT NULL,
    live_bytes BIGINT NOT NULL,
    live_bodies BIGINT NOT NULL,
    message_first BIGINT NOT NULL,
    message_last BIGINT NOT NULL,
    CONSTRAINT segments_id PRIMARY KEY (node, id)
);

-- Counted in the transaction that accepts, and nowhere else: the left side of `postroad check`.
CREATE TABLE totals (
    name TEXT NOT NULL,
    node BIGINT NOT NULL,
    count BIGINT NOT NULL,
    CONSTRAINT totals_node PRIMARY KEY (name, node)
);

-- The next id of each kind that no block has been taken of.
CREATE TABLE id_blocks (
    name TEXT NOT NULL,
    next BIGINT NOT NULL CHECK (next <= 9007199254740992),
    CONSTRAINT id_blocks_name PRIMARY KEY (name)
);

CREATE TABLE nodes (
    id BIGINT NOT NULL CONSTRAINT nodes_id PRIMARY KEY,
    -- Incremented at each start; a lease of an older epoch is nobody's.
    epoch BIGINT NOT NULL,
    started_at BIGINT NOT NULL
);

INSERT INTO organizations (id, name, created_at) VALUES (1, 'default', 0);
INSERT INTO streams (id, organization, name, class, created_at) VALUES
    (1, 1, 'transactional', 'transactional', 0),
    (2, 1, 'marketing', 'marketing', 0);
-- Where deliveries stand until routing has answered for their domain.
INSERT INTO sites (id, key) VALUES (0, 'unrouted');
INSERT INTO id_blocks (name, next) VALUES
    ('message', 1), ('delivery', 1), ('event', 1),
    ('domain', 1), ('credential', 1), ('site', 1);
