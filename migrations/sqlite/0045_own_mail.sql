-- Links by which who forgot his password chooses another one, and how far events were read for the
-- mail that the daemon itself writes.

CREATE TABLE password_resets (
    owner INTEGER NOT NULL REFERENCES users (id),
    token_hash TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    CONSTRAINT password_resets_token UNIQUE (token_hash)
) STRICT;

CREATE INDEX password_resets_owner ON password_resets (owner);

-- One row: alarms up to here have been told.
CREATE TABLE alarm_feed (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    event INTEGER NOT NULL
) STRICT;

INSERT INTO alarm_feed (id, event) SELECT 1, COALESCE(MAX(id), 0) FROM events;
