-- Files of contacts on their way in. The file itself, as UTF-8, and the rows that failed lie in
-- the data directory under imports/.

CREATE TABLE imports (
    id BIGINT NOT NULL CONSTRAINT imports_id PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organizations (id),
    -- The node whose data directory has the file.
    node BIGINT NOT NULL,
    state TEXT NOT NULL,
    file_name TEXT NOT NULL,
    file_bytes BIGINT NOT NULL,
    -- What is to be done, as JSON; empty until it was started.
    options TEXT NOT NULL,
    -- How far it has come: this moves in the transaction that writes the contacts.
    done_bytes BIGINT NOT NULL,
    error_bytes BIGINT NOT NULL,
    read_count BIGINT NOT NULL,
    added_count BIGINT NOT NULL,
    updated_count BIGINT NOT NULL,
    skipped_count BIGINT NOT NULL,
    failed_count BIGINT NOT NULL,
    -- Why it failed as a whole.
    trouble TEXT,
    created_at BIGINT NOT NULL,
    ended_at BIGINT
);

INSERT INTO id_blocks (name, next) VALUES ('import', 1);
