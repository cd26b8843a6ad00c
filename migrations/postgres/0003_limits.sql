-- Limits, and what has been used of those whose window outlives a restart. The same tables as in
-- ../sqlite, column by column.

CREATE TABLE limits (
    id BIGINT NOT NULL CONSTRAINT limits_id PRIMARY KEY,
    -- Of a shipped row: by this name a newer version finds it again.
    name TEXT,
    -- `source:7`, `each_site`, `stream:3` …
    from_scope TEXT NOT NULL,
    to_scope TEXT NOT NULL,
    who_scope TEXT NOT NULL,
    class TEXT CHECK (class IN ('transactional', 'marketing')),
    metric TEXT NOT NULL,
    value BIGINT NOT NULL CHECK (value >= 0),
    -- In microseconds, as all times are.
    window_length BIGINT CHECK (window_length > 0),
    pace TEXT NOT NULL,
    origin TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    pinned BIGINT NOT NULL,
    CONSTRAINT limits_name UNIQUE (name)
);

-- Recipients offered, for each count of a limit and window. `reserved` is what a life may have
-- offered before it writes again: a start that cannot know better goes on from there.
CREATE TABLE budgets (
    node BIGINT NOT NULL,
    limit_id BIGINT NOT NULL,
    source BIGINT NOT NULL,
    site BIGINT NOT NULL,
    begins_at BIGINT NOT NULL,
    offered BIGINT NOT NULL,
    overdrawn BIGINT NOT NULL,
    reserved BIGINT NOT NULL,
    CONSTRAINT budgets_window PRIMARY KEY (node, limit_id, source, site, begins_at)
);

INSERT INTO id_blocks (name, next) VALUES ('limit', 1);
