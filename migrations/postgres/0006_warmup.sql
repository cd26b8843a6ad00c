-- Warm-up and adaptive control: courses, their days, what was answered, what was decided.
-- Days and hours are the moments at which they begin. The same tables as in ../sqlite.

-- Warm-ups: a plan, where it stands and what today has brought (`course`), and the limit it writes.
CREATE TABLE warmups (
    id BIGINT NOT NULL CONSTRAINT warmups_id PRIMARY KEY,
    source BIGINT,
    domain BIGINT,
    operator BIGINT NOT NULL,
    plan TEXT NOT NULL,
    target BIGINT NOT NULL,
    state TEXT NOT NULL,
    limit_id BIGINT NOT NULL,
    course TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CHECK ((source IS NULL) <> (domain IS NULL))
);

-- What each send-day came to.
CREATE TABLE warmup_days (
    warmup BIGINT NOT NULL,
    day BIGINT NOT NULL,
    volume BIGINT NOT NULL,
    next_volume BIGINT NOT NULL,
    offered BIGINT NOT NULL,
    accepted BIGINT NOT NULL,
    transactional BIGINT NOT NULL,
    deferred BIGINT NOT NULL,
    blocked BIGINT NOT NULL,
    slowed BIGINT NOT NULL,
    invalid BIGINT NOT NULL,
    complaints BIGINT NOT NULL,
    verdict TEXT NOT NULL,
    cause TEXT NOT NULL,
    CONSTRAINT warmup_days_day PRIMARY KEY (warmup, day)
);

-- What operators answered to each source, by the hour; complaints come in later.
CREATE TABLE source_hours (
    source BIGINT NOT NULL,
    operator BIGINT NOT NULL,
    hour BIGINT NOT NULL,
    offered BIGINT NOT NULL,
    accepted BIGINT NOT NULL,
    transactional BIGINT NOT NULL,
    deferred BIGINT NOT NULL,
    blocked BIGINT NOT NULL,
    slowed BIGINT NOT NULL,
    invalid BIGINT NOT NULL,
    complaints BIGINT NOT NULL,
    CONSTRAINT source_hours_hour PRIMARY KEY (hour, source, operator)
);

-- Every automatic change of a limit, with its cause.
CREATE TABLE decisions (
    id BIGINT NOT NULL CONSTRAINT decisions_id PRIMARY KEY,
    at BIGINT NOT NULL,
    rule TEXT NOT NULL,
    cause TEXT NOT NULL,
    samples TEXT NOT NULL,
    scope TEXT NOT NULL,
    metric TEXT NOT NULL,
    value_before BIGINT,
    value_after BIGINT,
    expires_at BIGINT,
    state TEXT NOT NULL,
    pinned BIGINT NOT NULL,
    limit_id BIGINT
);

CREATE UNIQUE INDEX warmups_source ON warmups (source, operator) WHERE source IS NOT NULL;
CREATE UNIQUE INDEX warmups_domain ON warmups (domain, operator) WHERE domain IS NOT NULL;
CREATE INDEX decisions_active ON decisions (limit_id, rule) WHERE state = 'active';

INSERT INTO id_blocks (name, next) VALUES ('warmup', 1), ('decision', 1);
