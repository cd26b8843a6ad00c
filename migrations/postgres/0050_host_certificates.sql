-- How the certificate of an organization's host stands.
CREATE TABLE host_certificates (
    host TEXT NOT NULL PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organizations (id),
    -- settings, authority, none.
    origin TEXT NOT NULL,
    -- Of the one in use.
    valid_from BIGINT,
    valid_until BIGINT,
    -- Since the last success.
    failures BIGINT NOT NULL,
    last_error TEXT,
    tried_at BIGINT,
    -- NULL: at the next look.
    again_at BIGINT
);

-- What was asked of the authority in the last day, since authorities count.
CREATE TABLE certificate_orders (
    host TEXT NOT NULL,
    ordered_at BIGINT NOT NULL,
    organization BIGINT NOT NULL,
    PRIMARY KEY (host, ordered_at)
);
