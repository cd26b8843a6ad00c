-- Where mail that comes in goes on to, and what is owed of it.
CREATE TABLE inbound_routes (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    -- In lower case: an address, or `*@` and a domain.
    pattern TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('http', 'smtp', 'forward', 'accept', 'hold', 'refuse')),
    -- A URL, `host:port`, or addresses divided by spaces.
    target TEXT NOT NULL,
    format TEXT NOT NULL CHECK (format IN ('parsed', 'raw', 'postal')),
    secret TEXT NOT NULL,
    attachment_bytes_max INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT inbound_routes_pattern UNIQUE (pattern)
) STRICT;

-- A row goes when its call is done.
CREATE TABLE inbound_calls (
    id INTEGER NOT NULL PRIMARY KEY,
    route INTEGER NOT NULL,
    organization INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'held', 'failed')),
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    -- What is sent: JSON for HTTP, else the mail in base64.
    payload TEXT NOT NULL,
    tries INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    text TEXT NOT NULL
) STRICT;

CREATE INDEX inbound_calls_due ON inbound_calls (due_at, id) WHERE state = 'waiting';

INSERT INTO id_blocks (name, next) VALUES ('inbound_route', 1), ('inbound_call', 1);
