-- Files of an organization: images of its mails, attachments. The same table as in ../postgres.
CREATE TABLE media (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    -- The name of the file in the data directory, and what its public address ends with.
    key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT media_key UNIQUE (key)
) STRICT;

CREATE INDEX media_organization ON media (organization, id);

INSERT INTO id_blocks (name, next) VALUES ('media', 1);
