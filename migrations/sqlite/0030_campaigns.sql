-- Campaigns: what is sent, to whom, how far it has come. The same tables as in ../postgres.

CREATE TABLE campaigns (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    stream INTEGER NOT NULL REFERENCES streams (id),
    -- The newest row of campaign_revisions.
    revision INTEGER NOT NULL,
    -- Audience, times, throttle and so on, as JSON.
    settings TEXT NOT NULL,
    -- The variant that what is left of the audience gets; NULL: not decided, or there is one only.
    winner INTEGER,
    -- How many contacts the snapshot holds, in how many slices; NULL until it is made.
    audience INTEGER,
    slices INTEGER,
    trouble TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    launched_at INTEGER,
    ended_at INTEGER
) STRICT;

CREATE INDEX campaigns_organization ON campaigns (organization, id);
CREATE INDEX campaigns_active ON campaigns (id)
    WHERE state IN ('scheduled', 'preparing', 'sending', 'paused', 'cancelled');

-- What was written, each time it was changed. Mail that a host has seen keeps its revision.
CREATE TABLE campaign_revisions (
    campaign INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    -- Senders and variants, as JSON.
    content TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT campaign_revisions_revision PRIMARY KEY (campaign, revision)
) STRICT, WITHOUT ROWID;

-- The audience as it was at the launch, in the order of sending: some hundred contacts a row.
CREATE TABLE campaign_slices (
    campaign INTEGER NOT NULL,
    slice INTEGER NOT NULL,
    -- NULL: whichever has won.
    variant INTEGER,
    not_before INTEGER NOT NULL,
    -- Ids, as a JSON array.
    contacts TEXT NOT NULL,
    count INTEGER NOT NULL,
    CONSTRAINT campaign_slices_slice PRIMARY KEY (campaign, slice)
) STRICT, WITHOUT ROWID;

-- Slices that have become deliveries, in the transaction that made them: this is the cursor, and
-- the key makes sure that no slice is fed twice.
CREATE TABLE campaign_fed (
    campaign INTEGER NOT NULL,
    slice INTEGER NOT NULL,
    -- NULL: nobody of it was left.
    message INTEGER,
    variant INTEGER NOT NULL,
    -- As many as the slice had; who is not among the deliveries was removed before.
    count INTEGER NOT NULL,
    CONSTRAINT campaign_fed_slice PRIMARY KEY (campaign, slice),
    CONSTRAINT campaign_fed_message UNIQUE (message)
) STRICT, WITHOUT ROWID;

-- Whom a recipe is for; and what the first attempt that reached DATA was made of, as JSON, so that
-- another one sends the same mail.
ALTER TABLE deliveries ADD COLUMN contact INTEGER;
ALTER TABLE deliveries ADD COLUMN pin TEXT;
CREATE INDEX deliveries_campaign ON deliveries (campaign, state, id) WHERE campaign IS NOT NULL;

INSERT INTO id_blocks (name, next) VALUES ('campaign', 1);
