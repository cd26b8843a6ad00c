-- Warm-up and adaptive control: courses, their days, what was answered, what was decided.
-- Days and hours are the moments at which they begin. The same tables as in ../postgres.

-- Warm-ups: a plan, where it stands and what today has brought (`course`), and the limit it writes.
CREATE TABLE warmups (
    id INTEGER NOT NULL PRIMARY KEY,
    source INTEGER,
    domain INTEGER,
    operator INTEGER NOT NULL,
    plan TEXT NOT NULL,
    target INTEGER NOT NULL,
    state TEXT NOT NULL,
    limit_id INTEGER NOT NULL,
    course TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CHECK ((source IS NULL) <> (domain IS NULL))
) STRICT;

-- What each send-day came to.
CREATE TABLE warmup_days (
    warmup INTEGER NOT NULL,
    day INTEGER NOT NULL,
    volume INTEGER NOT NULL,
    next_volume INTEGER NOT NULL,
    offered INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    transactional INTEGER NOT NULL,
    deferred INTEGER NOT NULL,
    blocked INTEGER NOT NULL,
    slowed INTEGER NOT NULL,
    invalid INTEGER NOT NULL,
    complaints INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    cause TEXT NOT NULL,
    CONSTRAINT warmup_days_day PRIMARY KEY (warmup, day)
) STRICT;

-- What operators answered to each source, by the hour; complaints come in later.
CREATE TABLE source_hours (
    source INTEGER NOT NULL,
    operator INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    offered INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    transactional INTEGER NOT NULL,
    deferred INTEGER NOT NULL,
    blocked INTEGER NOT NULL,
    slowed INTEGER NOT NULL,
    invalid INTEGER NOT NULL,
    complaints INTEGER NOT NULL,
    CONSTRAINT source_hours_hour PRIMARY KEY (hour, source, operator)
) STRICT;

-- Every automatic change of a limit, with its cause.
CREATE TABLE decisions (
    id INTEGER NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    rule TEXT NOT NULL,
    cause TEXT NOT NULL,
    samples TEXT NOT NULL,
    scope TEXT NOT NULL,
    metric TEXT NOT NULL,
    value_before INTEGER,
    value_after INTEGER,
    expires_at INTEGER,
    state TEXT NOT NULL,
    pinned INTEGER NOT NULL,
    limit_id INTEGER
) STRICT;

CREATE UNIQUE INDEX warmups_source ON warmups (source, operator) WHERE source IS NOT NULL;
CREATE UNIQUE INDEX warmups_domain ON warmups (domain, operator) WHERE domain IS NOT NULL;
CREATE INDEX decisions_active ON decisions (limit_id, rule) WHERE state = 'active';

INSERT INTO id_blocks (name, next) VALUES ('warmup', 1), ('decision', 1);
