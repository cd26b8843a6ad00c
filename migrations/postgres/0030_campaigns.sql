-- Campaigns: what is sent, to whom, how far it has come. The same tables as in ../sqlite.

CREATE TABLE campaigns (
    id BIGINT NOT NULL CONSTRAINT campaigns_id PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    stream BIGINT NOT NULL REFERENCES streams (id),
    -- The newest row of campaign_revisions.
    revision BIGINT NOT NULL,
    -- Audience, times, throttle and so on, as JSON.
    settings TEXT NOT NULL,
    -- The variant that what is left of the audience gets; NULL: not decided, or there is one only.
    winner BIGINT,
    -- How many contacts the snapshot holds, in how many slices; NULL until it is made.
    audience BIGINT,
    slices BIGINT,
    trouble TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    launched_at BIGINT,
    ended_at BIGINT
);

CREATE INDEX campaigns_organization ON campaigns (organization, id);
CREATE INDEX campaigns_active ON campaigns (id)
    WHERE state IN ('scheduled', 'preparing', 'sending', 'paused', 'cancelled');

-- What was written, each time it was changed. Mail that a host has seen keeps its revision.
CREATE TABLE campaign_revisions (
    campaign BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    -- Senders and variants, as JSON.
    content TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT campaign_revisions_revision PRIMARY KEY (campaign, revision)
);

-- The audience as it was at the launch, in the order of sending: some hundred contacts a row.
CREATE TABLE campaign_slices (
    campaign BIGINT NOT NULL,
    slice BIGINT NOT NULL,
    -- NULL: whichever has won.
    variant BIGINT,
    not_before BIGINT NOT NULL,
    -- Ids, as a JSON array.
    contacts TEXT NOT NULL,
    count BIGINT NOT NULL,
    CONSTRAINT campaign_slices_slice PRIMARY KEY (campaign, slice)
);

-- Slices that have become deliveries, in the transaction that made them: this is the cursor, and
-- the key makes sure that no slice is fed twice.
CREATE TABLE campaign_fed (
    campaign BIGINT NOT NULL,
    slice BIGINT NOT NULL,
    -- NULL: nobody of it was left.
    message BIGINT,
    variant BIGINT NOT NULL,
    -- As many as the slice had; who is not among the deliveries was removed before.
    count BIGINT NOT NULL,
    CONSTRAINT campaign_fed_slice PRIMARY KEY (campaign, slice),
    CONSTRAINT campaign_fed_message UNIQUE (message)
);

-- Whom a recipe is for; and what the first attempt that reached DATA was made of, as JSON, so that
-- another one sends the same mail.
ALTER TABLE deliveries ADD COLUMN contact BIGINT;
ALTER TABLE deliveries ADD COLUMN pin TEXT;
CREATE INDEX deliveries_campaign ON deliveries (campaign, state, id) WHERE campaign IS NOT NULL;

INSERT INTO id_blocks (name, next) VALUES ('campaign', 1);
