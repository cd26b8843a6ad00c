-- Mails as documents, and blocks that may stand in many of them. The same tables as in ../postgres.

-- SQLite changes no CHECK: the table is made anew.
CREATE TABLE templates_with_documents (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('html', 'markdown', 'mjml', 'document')),
    subject TEXT NOT NULL,
    -- Of a document: its JSON.
    body TEXT NOT NULL,
    -- NULL: made from the body.
    text TEXT,
    layout INTEGER REFERENCES layouts (id),
    -- Counted up at each change; who changes an older one is told so.
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CONSTRAINT templates_name UNIQUE (organization, name)
) STRICT;
INSERT INTO templates_with_documents
    (id, organization, name, kind, subject, body, text, layout, revision, created_at, updated_at)
    SELECT id, organization, name, kind, subject, body, text, layout, revision, created_at, updated_at
    FROM templates;
DROP TABLE templates;
ALTER TABLE templates_with_documents RENAME TO templates;

CREATE TABLE saved_blocks (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    -- A JSON array of blocks.
    blocks TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    CONSTRAINT saved_blocks_name UNIQUE (organization, name)
) STRICT;

INSERT INTO id_blocks (name, next) VALUES ('saved_block', 1);
