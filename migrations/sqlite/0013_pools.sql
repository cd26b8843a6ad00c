-- Where mail leaves from. `definition` is what the kind needs, as JSON; a secret is never in it.
CREATE TABLE sources (
    id INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('config', 'admin')),
    state TEXT NOT NULL CHECK (state IN ('active', 'suspended')),
    ehlo TEXT NOT NULL,
    definition TEXT NOT NULL,
    is_overridden INTEGER NOT NULL DEFAULT 0,
    -- The latest health, as JSON; null until the first check.
    health TEXT,
    created_at INTEGER NOT NULL,
    CONSTRAINT sources_name UNIQUE (name)
) STRICT;

CREATE TABLE pools (
    id INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT pools_name UNIQUE (name)
) STRICT;

CREATE TABLE pool_sources (
    pool INTEGER NOT NULL REFERENCES pools (id),
    source INTEGER NOT NULL REFERENCES sources (id),
    weight INTEGER NOT NULL CHECK (weight >= 0),
    share_max INTEGER CHECK (share_max BETWEEN 1 AND 100),
    CONSTRAINT pool_sources_source PRIMARY KEY (pool, source)
) STRICT;

-- The first that matches, by position, says which pool a delivery goes by; null matches all.
CREATE TABLE pool_rules (
    id INTEGER NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL,
    pool INTEGER NOT NULL REFERENCES pools (id),
    organization INTEGER,
    stream INTEGER,
    sender TEXT,
    recipient_domain TEXT,
    operator INTEGER,
    tag TEXT,
    credential INTEGER,
    CONSTRAINT pool_rules_position UNIQUE (position)
) STRICT;

INSERT INTO pools (id, name, created_at) VALUES (1, 'default', 0);
INSERT INTO id_blocks (name, next) VALUES ('source', 1), ('pool', 2), ('pool_rule', 1);
