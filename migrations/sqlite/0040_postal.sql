-- Calls in Postal's format. SQLite changes a check only with its table; nothing refers to it.

CREATE TABLE webhooks_new (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    -- A JSON array of event kinds; empty for all.
    kinds TEXT NOT NULL,
    format TEXT NOT NULL CHECK (format IN ('postroad', 'postal')),
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

INSERT INTO webhooks_new (id, organization, name, url, kinds, format, secret, secret_before,
    secret_before_until, enabled, disabled_reason, created_at, event_after, failing_since,
    succeeded_at, failed_at, last_text)
SELECT id, organization, name, url, kinds, format, secret, secret_before, secret_before_until,
    enabled, disabled_reason, created_at, event_after, failing_since, succeeded_at, failed_at,
    last_text FROM webhooks;
DROP TABLE webhooks;
ALTER TABLE webhooks_new RENAME TO webhooks;
