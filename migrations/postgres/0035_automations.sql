-- Automations: mail that a person gets by what has happened to him. The same tables as in
-- ../sqlite.

CREATE TABLE automations (
    id BIGINT NOT NULL CONSTRAINT automations_id PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    -- The version in which new runs begin.
    version BIGINT NOT NULL,
    -- Up to which day since 1970 its dates were looked at; NULL: never.
    dated_until BIGINT,
    trouble TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT automations_name UNIQUE (organization, name)
);

-- What was written, each time it was changed. A run ends in the version that it began in.
CREATE TABLE automation_versions (
    automation BIGINT NOT NULL,
    version BIGINT NOT NULL,
    -- Entry and steps, as JSON.
    definition TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT automation_versions_version PRIMARY KEY (automation, version)
);

-- What lets people into active automations, as the writer of contacts looks it up.
CREATE TABLE automation_entries (
    automation BIGINT NOT NULL,
    organization BIGINT NOT NULL,
    kind TEXT NOT NULL,
    -- The id of a list or tag, or the name of an event.
    target TEXT NOT NULL,
    CONSTRAINT automation_entries_automation PRIMARY KEY (automation)
);

CREATE INDEX automation_entries_target ON automation_entries (organization, kind, target);

-- Who has come in and has no run yet: written with the membership or tag that lets him in.
CREATE TABLE automation_arrivals (
    automation BIGINT NOT NULL,
    contact BIGINT NOT NULL,
    -- Which of several times this is.
    key TEXT NOT NULL,
    at BIGINT NOT NULL,
    CONSTRAINT automation_arrivals_key PRIMARY KEY (automation, contact, key)
);

-- One contact in one automation: the cursor.
CREATE TABLE automation_runs (
    id BIGINT NOT NULL CONSTRAINT automation_runs_id PRIMARY KEY
        CHECK (id > 0 AND id < 9007199254740992),
    automation BIGINT NOT NULL,
    organization BIGINT NOT NULL,
    contact BIGINT NOT NULL,
    version BIGINT NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL,
    -- The step that comes next, from 0, and the how manieth move leads to it.
    step BIGINT NOT NULL,
    visit BIGINT NOT NULL,
    wake_at BIGINT NOT NULL,
    -- Why it ended.
    reason TEXT,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    CONSTRAINT automation_runs_key UNIQUE (automation, contact, key)
);

CREATE INDEX automation_runs_wake_at ON automation_runs (automation, wake_at, id)
    WHERE state = 'waiting';
CREATE INDEX automation_runs_contact ON automation_runs (contact, id);

-- Each step that a run has gone through, written with the move of its cursor.
CREATE TABLE automation_moves (
    run BIGINT NOT NULL,
    step BIGINT NOT NULL,
    visit BIGINT NOT NULL,
    automation BIGINT NOT NULL,
    version BIGINT NOT NULL,
    did TEXT NOT NULL,
    at BIGINT NOT NULL,
    CONSTRAINT automation_moves_visit PRIMARY KEY (run, step, visit)
);

-- How many runs have gone through which step, and what it did: counted with the moves.
CREATE TABLE automation_counts (
    automation BIGINT NOT NULL,
    version BIGINT NOT NULL,
    step BIGINT NOT NULL,
    did TEXT NOT NULL,
    count BIGINT NOT NULL,
    CONSTRAINT automation_counts_key PRIMARY KEY (automation, version, step, did)
);

-- A step that sends is a campaign of its own: mail, readers and reports are those of campaigns.
ALTER TABLE campaigns ADD COLUMN automation BIGINT;

INSERT INTO id_blocks (name, next) VALUES ('automation', 1), ('automation_run', 1);
