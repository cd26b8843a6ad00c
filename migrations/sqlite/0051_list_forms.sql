-- What the public form of a list asks beside the address; without a row it asks nothing more.
CREATE TABLE list_forms (
    list INTEGER NOT NULL PRIMARY KEY REFERENCES lists (id),
    -- Counts changes: consents tell which form was agreed to.
    version INTEGER NOT NULL,
    -- JSON.
    form TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
