-- How the certificate of an organization's host stands.
CREATE TABLE host_certificates (
    host TEXT NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    -- settings, authority, none.
    origin TEXT NOT NULL,
    -- Of the one in use.
    valid_from INTEGER,
    valid_until INTEGER,
    -- Since the last success.
    failures INTEGER NOT NULL,
    last_error TEXT,
    tried_at INTEGER,
    -- NULL: at the next look.
    again_at INTEGER
) STRICT;

-- What was asked of the authority in the last day, since authorities count.
CREATE TABLE certificate_orders (
    host TEXT NOT NULL,
    ordered_at INTEGER NOT NULL,
    organization INTEGER NOT NULL,
    PRIMARY KEY (host, ordered_at)
) STRICT;
