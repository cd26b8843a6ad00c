-- Files of an organization: images of its mails, attachments. The same table as in ../sqlite.
CREATE TABLE media (
    id BIGINT NOT NULL CONSTRAINT media_id PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    -- The name of the file in the data directory, and what its public address ends with.
    key TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT media_key UNIQUE (key)
);

CREATE INDEX media_organization ON media (organization, id);

INSERT INTO id_blocks (name, next) VALUES ('media', 1);
