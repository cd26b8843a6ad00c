-- What hosts answered and what came back, by the hour in which the mail was offered: for each source,
-- sending domain, organization, campaign and credential at each operator.
CREATE TABLE health_hours (
    kind TEXT NOT NULL CHECK (kind IN ('source', 'domain', 'organization', 'campaign', 'credential')),
    subject INTEGER NOT NULL,
    operator INTEGER NOT NULL,
    -- Its beginning.
    hour INTEGER NOT NULL,
    -- 0 for sources, which belong to the installation.
    organization INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    taken INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    bounced INTEGER NOT NULL,
    deferred INTEGER NOT NULL,
    blocked INTEGER NOT NULL,
    complained INTEGER NOT NULL,
    CONSTRAINT health_hours_hour PRIMARY KEY (kind, subject, operator, hour)
) STRICT;

-- Rates that are not good now; operator 0 is all of them.
CREATE TABLE health_standings (
    kind TEXT NOT NULL,
    subject INTEGER NOT NULL,
    operator INTEGER NOT NULL,
    rate TEXT NOT NULL CHECK (rate IN ('bounce', 'complaint', 'deferral', 'block')),
    organization INTEGER NOT NULL,
    standing TEXT NOT NULL CHECK (standing IN ('warn', 'stop')),
    since INTEGER NOT NULL,
    CONSTRAINT health_standings_rate PRIMARY KEY (kind, subject, operator, rate)
) STRICT;

-- The last event of mail that came back which is counted in the hours.
CREATE TABLE health_heard (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    event INTEGER NOT NULL
) STRICT;

INSERT INTO health_heard (id, event) SELECT 1, COALESCE(MAX(id), 0) FROM events;
