-- What hosts answered and what came back, by the hour in which the mail was offered: for each source,
-- sending domain, organization, campaign and credential at each operator.
CREATE TABLE health_hours (
    kind TEXT NOT NULL CHECK (kind IN ('source', 'domain', 'organization', 'campaign', 'credential')),
    subject BIGINT NOT NULL,
    operator BIGINT NOT NULL,
    -- Its beginning.
    hour BIGINT NOT NULL,
    -- 0 for sources, which belong to the installation.
    organization BIGINT NOT NULL,
    answered BIGINT NOT NULL,
    taken BIGINT NOT NULL,
    ended BIGINT NOT NULL,
    bounced BIGINT NOT NULL,
    deferred BIGINT NOT NULL,
    blocked BIGINT NOT NULL,
    complained BIGINT NOT NULL,
    CONSTRAINT health_hours_hour PRIMARY KEY (kind, subject, operator, hour)
);

-- Rates that are not good now; operator 0 is all of them.
CREATE TABLE health_standings (
    kind TEXT NOT NULL,
    subject BIGINT NOT NULL,
    operator BIGINT NOT NULL,
    rate TEXT NOT NULL CHECK (rate IN ('bounce', 'complaint', 'deferral', 'block')),
    organization BIGINT NOT NULL,
    standing TEXT NOT NULL CHECK (standing IN ('warn', 'stop')),
    since BIGINT NOT NULL,
    CONSTRAINT health_standings_rate PRIMARY KEY (kind, subject, operator, rate)
);

-- The last event of mail that came back which is counted in the hours.
CREATE TABLE health_heard (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    event BIGINT NOT NULL
);

INSERT INTO health_heard (id, event) SELECT 1, COALESCE(MAX(id), 0) FROM events;
