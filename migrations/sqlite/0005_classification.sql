-- Rules of the installation's own, tried before those that ship; each as its JSON.
CREATE TABLE classification_rules (
    name TEXT NOT NULL PRIMARY KEY,
    rule TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Answers that no text of a rule knew, grouped; bounded by their age and number.
CREATE TABLE unclassified_replies (
    id INTEGER NOT NULL PRIMARY KEY,
    operator TEXT NOT NULL,
    text TEXT NOT NULL,
    sample TEXT NOT NULL,
    count INTEGER NOT NULL,
    first_seen_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    CONSTRAINT unclassified_replies_text UNIQUE (operator, text)
) STRICT;

INSERT INTO id_blocks (name, next) VALUES ('unclassified_reply', 1);
