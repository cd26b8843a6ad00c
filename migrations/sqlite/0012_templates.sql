-- What mails are made of, as people wrote it.

CREATE TABLE layouts (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    -- HTML with {{ content }} where the body of a template goes.
    body TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    CONSTRAINT layouts_name UNIQUE (organization, name)
) STRICT;

CREATE TABLE templates (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('html', 'markdown', 'mjml')),
    subject TEXT NOT NULL,
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

INSERT INTO id_blocks (name, next) VALUES ('layout', 1), ('template', 1);
