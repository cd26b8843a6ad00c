-- Endpoints of customers that are told of events, the calls that are owed to them, and how far the
-- event table has been read for them.

CREATE TABLE webhooks (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    -- A JSON array of event kinds; empty for all.
    kinds TEXT NOT NULL,
    format TEXT NOT NULL CHECK (format IN ('postroad')),
    secret TEXT NOT NULL,
    -- Signs beside the new one until its time is over.
    secret_before TEXT,
    secret_before_until INTEGER,
    enabled INTEGER NOT NULL,
    -- Why it is not enabled, when the daemon switched it off.
    disabled_reason TEXT,
    created_at INTEGER NOT NULL,
    -- The newest event when it was made: it is told of later ones.
    event_after INTEGER NOT NULL,
    failing_since INTEGER,
    succeeded_at INTEGER,
    failed_at INTEGER,
    last_text TEXT NOT NULL DEFAULT '',
    CONSTRAINT webhooks_name UNIQUE (organization, name)
) STRICT;

CREATE TABLE webhook_calls (
    id INTEGER NOT NULL PRIMARY KEY,
    webhook INTEGER NOT NULL,
    organization INTEGER NOT NULL,
    -- A JSON array of event ids; empty for a test.
    events TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed')),
    tries INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    ended_at INTEGER,
    -- Of the last answer; null when there was none.
    status INTEGER,
    text TEXT NOT NULL,
    milliseconds INTEGER NOT NULL
) STRICT;

CREATE INDEX webhook_calls_waiting ON webhook_calls (webhook, due_at, id)
    WHERE state = 'waiting';
CREATE INDEX webhook_calls_webhook ON webhook_calls (webhook, id);

-- One row: all events up to here have been turned into calls.
CREATE TABLE webhook_feed (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    event INTEGER NOT NULL
) STRICT;

INSERT INTO webhook_feed (id, event) VALUES (1, 0);
INSERT INTO id_blocks (name, next) VALUES ('webhook', 1), ('webhook_call', 1);
