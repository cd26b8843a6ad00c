-- What mails are made of, as people wrote it.

CREATE TABLE layouts (
    id BIGINT NOT NULL CONSTRAINT layouts_id PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    -- HTML with {{ content }} where the body of a template goes.
    body TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT layouts_name UNIQUE (organization, name)
);

CREATE TABLE templates (
    id BIGINT NOT NULL CONSTRAINT templates_id PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('html', 'markdown', 'mjml')),
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    -- NULL: made from the body.
    text TEXT,
    layout BIGINT REFERENCES layouts (id),
    -- Counted up at each change; who changes an older one is told so.
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT templates_name UNIQUE (organization, name)
);

INSERT INTO id_blocks (name, next) VALUES ('layout', 1), ('template', 1);
