-- Domains whose addresses become contacts, and those whose do not; without a row all do.
CREATE TABLE contact_domains (
    organization BIGINT NOT NULL PRIMARY KEY REFERENCES organizations (id),
    -- JSON arrays of patterns, as in '*.example.com'.
    allowed TEXT NOT NULL,
    blocked TEXT NOT NULL
);
