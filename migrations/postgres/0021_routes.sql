-- Where mail that comes in goes on to, and what is owed of it.
CREATE TABLE inbound_routes (
    id BIGINT NOT NULL PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organizations (id),
    -- In lower case: an address, or `*@` and a domain.
    pattern TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('http', 'smtp', 'forward', 'accept', 'hold', 'refuse')),
    -- A URL, `host:port`, or addresses divided by spaces.
    target TEXT NOT NULL,
    format TEXT NOT NULL CHECK (format IN ('parsed', 'raw', 'postal')),
    secret TEXT NOT NULL,
    attachment_bytes_max BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT inbound_routes_pattern UNIQUE (pattern)
);

-- A row goes when its call is done.
CREATE TABLE inbound_calls (
    id BIGINT NOT NULL PRIMARY KEY,
    route BIGINT NOT NULL,
    organization BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'held', 'failed')),
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    -- What is sent: JSON for HTTP, else the mail in base64.
    payload TEXT NOT NULL,
    tries BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    text TEXT NOT NULL
);

CREATE INDEX inbound_calls_due ON inbound_calls (due_at, id) WHERE state = 'waiting';

INSERT INTO id_blocks (name, next) VALUES ('inbound_route', 1), ('inbound_call', 1);
