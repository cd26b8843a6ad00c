-- Mails as documents, and blocks that may stand in many of them. The same tables as in ../sqlite.

ALTER TABLE templates DROP CONSTRAINT templates_kind_check;
ALTER TABLE templates ADD CONSTRAINT templates_kind_check
    CHECK (kind IN ('html', 'markdown', 'mjml', 'document'));

CREATE TABLE saved_blocks (
    id BIGINT NOT NULL CONSTRAINT saved_blocks_id PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    -- A JSON array of blocks.
    blocks TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT saved_blocks_name UNIQUE (organization, name)
);

INSERT INTO id_blocks (name, next) VALUES ('saved_block', 1);
