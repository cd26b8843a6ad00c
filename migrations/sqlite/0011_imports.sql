-- Files of contacts on their way in. The file itself, as UTF-8, and the rows that failed lie in
-- the data directory under imports/.

CREATE TABLE imports (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    -- The node whose data directory has the file.
    node INTEGER NOT NULL,
    state TEXT NOT NULL,
    file_name TEXT NOT NULL,
    file_bytes INTEGER NOT NULL,
    -- What is to be done, as JSON; empty until it was started.
    options TEXT NOT NULL,
    -- How far it has come: this moves in the transaction that writes the contacts.
    done_bytes INTEGER NOT NULL,
    error_bytes INTEGER NOT NULL,
    read_count INTEGER NOT NULL,
    added_count INTEGER NOT NULL,
    updated_count INTEGER NOT NULL,
    skipped_count INTEGER NOT NULL,
    failed_count INTEGER NOT NULL,
    -- Why it failed as a whole.
    trouble TEXT,
    created_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT;

INSERT INTO id_blocks (name, next) VALUES ('import', 1);
