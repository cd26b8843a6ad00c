-- What became of campaigns: counted from events, and who has read what.

-- When a host took it; what is said of its reader goes by that.
ALTER TABLE deliveries ADD COLUMN delivered_at INTEGER;

-- How many events of a kind, by hour. `detail` is the class of a refusal, or what has read it.
CREATE TABLE campaign_tallies (
    campaign INTEGER NOT NULL,
    variant INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    -- 0: not known.
    operator INTEGER NOT NULL,
    source TEXT NOT NULL,
    count INTEGER NOT NULL,
    CONSTRAINT campaign_tallies_key
        PRIMARY KEY (campaign, variant, hour, kind, detail, operator, source)
) STRICT, WITHOUT ROWID;

-- Clicks of people, by where the link leads.
CREATE TABLE campaign_links (
    campaign INTEGER NOT NULL,
    variant INTEGER NOT NULL,
    place INTEGER NOT NULL,
    target TEXT NOT NULL,
    clicks INTEGER NOT NULL,
    CONSTRAINT campaign_links_target PRIMARY KEY (campaign, variant, place, target)
) STRICT, WITHOUT ROWID;

-- Deliveries that a person has opened or clicked in, as far as can be told.
CREATE TABLE campaign_readers (
    campaign INTEGER NOT NULL,
    delivery INTEGER NOT NULL,
    variant INTEGER NOT NULL,
    contact INTEGER,
    first_open_at INTEGER,
    first_click_at INTEGER,
    CONSTRAINT campaign_readers_delivery PRIMARY KEY (campaign, delivery)
) STRICT, WITHOUT ROWID;

-- Up to which event it is counted; one row.
CREATE TABLE campaign_counted (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    event INTEGER NOT NULL
) STRICT;

INSERT INTO campaign_counted (id, event) SELECT 1, COALESCE(MAX(id), 0) FROM events;
