-- Where mail leaves from. `definition` is what the kind needs, as JSON; a secret is never in it.
CREATE TABLE sources (
    id BIGINT NOT NULL CONSTRAINT sources_id PRIMARY KEY,
    name TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('config', 'admin')),
    state TEXT NOT NULL CHECK (state IN ('active', 'suspended')),
    ehlo TEXT NOT NULL,
    definition TEXT NOT NULL,
    is_overridden BIGINT NOT NULL DEFAULT 0,
    -- The latest health, as JSON; null until the first check.
    health TEXT,
    created_at BIGINT NOT NULL,
    CONSTRAINT sources_name UNIQUE (name)
);

CREATE TABLE pools (
    id BIGINT NOT NULL CONSTRAINT pools_id PRIMARY KEY,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT pools_name UNIQUE (name)
);

CREATE TABLE pool_sources (
    pool BIGINT NOT NULL REFERENCES pools (id),
    source BIGINT NOT NULL REFERENCES sources (id),
    weight BIGINT NOT NULL CHECK (weight >= 0),
    share_max BIGINT CHECK (share_max BETWEEN 1 AND 100),
    CONSTRAINT pool_sources_source PRIMARY KEY (pool, source)
);

-- The first that matches, by position, says which pool a delivery goes by; null matches all.
CREATE TABLE pool_rules (
    id BIGINT NOT NULL CONSTRAINT pool_rules_id PRIMARY KEY,
    position BIGINT NOT NULL,
    pool BIGINT NOT NULL REFERENCES pools (id),
    organization BIGINT,
    stream BIGINT,
    sender TEXT,
    recipient_domain TEXT,
    operator BIGINT,
    tag TEXT,
    credential BIGINT,
    CONSTRAINT pool_rules_position UNIQUE (position)
);

INSERT INTO pools (id, name, created_at) VALUES (1, 'default', 0);
INSERT INTO id_blocks (name, next) VALUES ('source', 1), ('pool', 2), ('pool_rule', 1);
