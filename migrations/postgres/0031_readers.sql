-- What became of campaigns: counted from events, and who has read what.

-- When a host took it; what is said of its reader goes by that.
ALTER TABLE deliveries ADD COLUMN delivered_at BIGINT;

-- How many events of a kind, by hour. `detail` is the class of a refusal, or what has read it.
CREATE TABLE campaign_tallies (
    campaign BIGINT NOT NULL,
    variant BIGINT NOT NULL,
    hour BIGINT NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    -- 0: not known.
    operator BIGINT NOT NULL,
    source TEXT NOT NULL,
    count BIGINT NOT NULL,
    CONSTRAINT campaign_tallies_key
        PRIMARY KEY (campaign, variant, hour, kind, detail, operator, source)
);

-- Clicks of people, by where the link leads.
CREATE TABLE campaign_links (
    campaign BIGINT NOT NULL,
    variant BIGINT NOT NULL,
    place BIGINT NOT NULL,
    target TEXT NOT NULL,
    clicks BIGINT NOT NULL,
    CONSTRAINT campaign_links_target PRIMARY KEY (campaign, variant, place, target)
);

-- Deliveries that a person has opened or clicked in, as far as can be told.
CREATE TABLE campaign_readers (
    campaign BIGINT NOT NULL,
    delivery BIGINT NOT NULL,
    variant BIGINT NOT NULL,
    contact BIGINT,
    first_open_at BIGINT,
    first_click_at BIGINT,
    CONSTRAINT campaign_readers_delivery PRIMARY KEY (campaign, delivery)
);

-- Up to which event it is counted; one row.
CREATE TABLE campaign_counted (
    id BIGINT NOT NULL CONSTRAINT campaign_counted_id PRIMARY KEY CHECK (id = 1),
    event BIGINT NOT NULL
);

INSERT INTO campaign_counted (id, event) SELECT 1, COALESCE(MAX(id), 0) FROM events;
