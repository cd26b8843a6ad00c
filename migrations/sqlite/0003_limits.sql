-- Limits, and what has been used of those whose window outlives a restart. The same tables as in
-- ../postgres, column by column.

CREATE TABLE limits (
    id INTEGER NOT NULL PRIMARY KEY,
    -- Of a shipped row: by this name a newer version finds it again.
    name TEXT,
    -- `source:7`, `each_site`, `stream:3` …
    from_scope TEXT NOT NULL,
    to_scope TEXT NOT NULL,
    who_scope TEXT NOT NULL,
    class TEXT CHECK (class IN ('transactional', 'marketing')),
    metric TEXT NOT NULL,
    value INTEGER NOT NULL CHECK (value >= 0),
    -- In microseconds, as all times are.
    window_length INTEGER CHECK (window_length > 0),
    pace TEXT NOT NULL,
    origin TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    pinned INTEGER NOT NULL,
    CONSTRAINT limits_name UNIQUE (name)
) STRICT;

-- Recipients offered, for each count of a limit and window. `reserved` is what a life may have
-- offered before it writes again: a start that cannot know better goes on from there.
CREATE TABLE budgets (
    node INTEGER NOT NULL,
    limit_id INTEGER NOT NULL,
    source INTEGER NOT NULL,
    site INTEGER NOT NULL,
    begins_at INTEGER NOT NULL,
    offered INTEGER NOT NULL,
    overdrawn INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    CONSTRAINT budgets_window PRIMARY KEY (node, limit_id, source, site, begins_at)
) STRICT;

INSERT INTO id_blocks (name, next) VALUES ('limit', 1);
