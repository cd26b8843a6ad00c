-- Automations: mail that a person gets by what has happened to him. The same tables as in
-- ../postgres.

CREATE TABLE automations (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    -- The version in which new runs begin.
    version INTEGER NOT NULL,
    -- Up to which day since 1970 its dates were looked at; NULL: never.
    dated_until INTEGER,
    trouble TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CONSTRAINT automations_name UNIQUE (organization, name)
) STRICT;

-- What was written, each time it was changed. A run ends in the version that it began in.
CREATE TABLE automation_versions (
    automation INTEGER NOT NULL,
    version INTEGER NOT NULL,
    -- Entry and steps, as JSON.
    definition TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT automation_versions_version PRIMARY KEY (automation, version)
) STRICT, WITHOUT ROWID;

-- What lets people into active automations, as the writer of contacts looks it up.
CREATE TABLE automation_entries (
    automation INTEGER NOT NULL,
    organization INTEGER NOT NULL,
    kind TEXT NOT NULL,
    -- The id of a list or tag, or the name of an event.
    target TEXT NOT NULL,
    CONSTRAINT automation_entries_automation PRIMARY KEY (automation)
) STRICT, WITHOUT ROWID;

CREATE INDEX automation_entries_target ON automation_entries (organization, kind, target);

-- Who has come in and has no run yet: written with the membership or tag that lets him in.
CREATE TABLE automation_arrivals (
    automation INTEGER NOT NULL,
    contact INTEGER NOT NULL,
    -- Which of several times this is.
    key TEXT NOT NULL,
    at INTEGER NOT NULL,
    CONSTRAINT automation_arrivals_key PRIMARY KEY (automation, contact, key)
) STRICT, WITHOUT ROWID;

-- One contact in one automation: the cursor.
CREATE TABLE automation_runs (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id > 0 AND id < 9007199254740992),
    automation INTEGER NOT NULL,
    organization INTEGER NOT NULL,
    contact INTEGER NOT NULL,
    version INTEGER NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL,
    -- The step that comes next, from 0, and the how manieth move leads to it.
    step INTEGER NOT NULL,
    visit INTEGER NOT NULL,
    wake_at INTEGER NOT NULL,
    -- Why it ended.
    reason TEXT,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    CONSTRAINT automation_runs_key UNIQUE (automation, contact, key)
) STRICT;

CREATE INDEX automation_runs_wake_at ON automation_runs (automation, wake_at, id)
    WHERE state = 'waiting';
CREATE INDEX automation_runs_contact ON automation_runs (contact, id);

-- Each step that a run has gone through, written with the move of its cursor.
CREATE TABLE automation_moves (
    run INTEGER NOT NULL,
    step INTEGER NOT NULL,
    visit INTEGER NOT NULL,
    automation INTEGER NOT NULL,
    version INTEGER NOT NULL,
    did TEXT NOT NULL,
    at INTEGER NOT NULL,
    CONSTRAINT automation_moves_visit PRIMARY KEY (run, step, visit)
) STRICT, WITHOUT ROWID;

-- How many runs have gone through which step, and what it did: counted with the moves.
CREATE TABLE automation_counts (
    automation INTEGER NOT NULL,
    version INTEGER NOT NULL,
    step INTEGER NOT NULL,
    did TEXT NOT NULL,
    count INTEGER NOT NULL,
    CONSTRAINT automation_counts_key PRIMARY KEY (automation, version, step, did)
) STRICT, WITHOUT ROWID;

-- A step that sends is a campaign of its own: mail, readers and reports are those of campaigns.
ALTER TABLE campaigns ADD COLUMN automation INTEGER;

INSERT INTO id_blocks (name, next) VALUES ('automation', 1), ('automation_run', 1);
