-- Endpoints of customers that are told of events, the calls that are owed to them, and how far the
-- event table has been read for them.

CREATE TABLE webhooks (
    id BIGINT NOT NULL CONSTRAINT webhooks_id PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    -- A JSON array of event kinds; empty for all.
    kinds TEXT NOT NULL,
    format TEXT NOT NULL CHECK (format IN ('postroad')),
    secret TEXT NOT NULL,
    -- Signs beside the new one until its time is over.
    secret_before TEXT,
    secret_before_until BIGINT,
    enabled BIGINT NOT NULL,
    -- Why it is not enabled, when the daemon switched it off.
    disabled_reason TEXT,
    created_at BIGINT NOT NULL,
    -- The newest event when it was made: it is told of later ones.
    event_after BIGINT NOT NULL,
    failing_since BIGINT,
    succeeded_at BIGINT,
    failed_at BIGINT,
    last_text TEXT NOT NULL DEFAULT '',
    CONSTRAINT webhooks_name UNIQUE (organization, name)
);

CREATE TABLE webhook_calls (
    id BIGINT NOT NULL CONSTRAINT webhook_calls_id PRIMARY KEY,
    webhook BIGINT NOT NULL,
    organization BIGINT NOT NULL,
    -- A JSON array of event ids; empty for a test.
    events TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed')),
    tries BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    -- Of the last answer; null when there was none.
    status BIGINT,
    text TEXT NOT NULL,
    milliseconds BIGINT NOT NULL
);

CREATE INDEX webhook_calls_waiting ON webhook_calls (webhook, due_at, id)
    WHERE state = 'waiting';
CREATE INDEX webhook_calls_webhook ON webhook_calls (webhook, id);

-- One row: all events up to here have been turned into calls.
CREATE TABLE webhook_feed (
    id BIGINT NOT NULL CONSTRAINT webhook_feed_id PRIMARY KEY CHECK (id = 1),
    event BIGINT NOT NULL
);

INSERT INTO webhook_feed (id, event) VALUES (1, 0);
INSERT INTO id_blocks (name, next) VALUES ('webhook', 1), ('webhook_call', 1);
