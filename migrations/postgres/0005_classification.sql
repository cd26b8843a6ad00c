-- Rules of the installation's own, tried before those that ship; each as its JSON.
CREATE TABLE classification_rules (
    name TEXT NOT NULL CONSTRAINT classification_rules_name PRIMARY KEY,
    rule TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Answers that no text of a rule knew, grouped; bounded by their age and number.
CREATE TABLE unclassified_replies (
    id BIGINT NOT NULL CONSTRAINT unclassified_replies_id PRIMARY KEY,
    operator TEXT NOT NULL,
    text TEXT NOT NULL,
    sample TEXT NOT NULL,
    count BIGINT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    CONSTRAINT unclassified_replies_text UNIQUE (operator, text)
);

INSERT INTO id_blocks (name, next) VALUES ('unclassified_reply', 1);
