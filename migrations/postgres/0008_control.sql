-- People and what they may do; what a credential may do; what was changed by whom.

ALTER TABLE organizations ADD COLUMN suspended_at BIGINT;
ALTER TABLE organizations ADD COLUMN suspended_reason TEXT;

-- A JSON object: scopes, allowed senders, networks, rate, expiry.
ALTER TABLE credentials ADD COLUMN rules TEXT NOT NULL DEFAULT '{}';
-- The secret before the last rotation; it is valid until it is dropped.
ALTER TABLE credentials ADD COLUMN secret_hash_before TEXT;
ALTER TABLE credentials ADD COLUMN used_at BIGINT;

CREATE TABLE users (
    id BIGINT NOT NULL CONSTRAINT users_id PRIMARY KEY,
    -- In lower case.
    email TEXT NOT NULL,
    name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    installation_admin BIGINT NOT NULL,
    -- Base32; `totp_pending` until its first code was right.
    totp_secret TEXT,
    totp_pending TEXT,
    -- The last step whose code was taken: a code is good once.
    totp_step BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    disabled_at BIGINT,
    CONSTRAINT users_email UNIQUE (email)
);

CREATE TABLE recovery_codes (
    owner BIGINT NOT NULL REFERENCES users (id),
    hash TEXT NOT NULL,
    CONSTRAINT recovery_codes_hash PRIMARY KEY (owner, hash)
);

CREATE TABLE members (
    organization BIGINT NOT NULL REFERENCES organizations (id),
    member BIGINT NOT NULL REFERENCES users (id),
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT members_member PRIMARY KEY (organization, member)
);

CREATE INDEX members_organizations ON members (member, organization);

CREATE TABLE invites (
    id BIGINT NOT NULL CONSTRAINT invites_id PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organizations (id),
    email TEXT NOT NULL,
    role TEXT NOT NULL,
    token_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    CONSTRAINT invites_token UNIQUE (token_hash)
);

CREATE TABLE sessions (
    id BIGINT NOT NULL CONSTRAINT sessions_id PRIMARY KEY,
    owner BIGINT NOT NULL REFERENCES users (id),
    token_hash TEXT NOT NULL,
    address TEXT NOT NULL,
    agent TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    CONSTRAINT sessions_token UNIQUE (token_hash)
);

CREATE INDEX sessions_owner ON sessions (owner, id);

CREATE TABLE audit (
    id BIGINT NOT NULL CONSTRAINT audit_id PRIMARY KEY,
    at BIGINT NOT NULL,
    -- NULL for what concerns the installation.
    organization BIGINT,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    -- JSON: what there was before, and what is there now.
    was TEXT,
    becomes TEXT
);

CREATE INDEX audit_organization ON audit (organization, id);

-- The hour since 1970 in which the mail was accepted. Searches name a time, so that what they walk,
-- and what each mail has to write, is the part of an index that belongs to an hour.
ALTER TABLE messages ADD COLUMN hour BIGINT NOT NULL DEFAULT 0;
UPDATE messages SET hour = accepted_at / 3600000000;
CREATE INDEX messages_hour_sender ON messages (hour, sender);
CREATE INDEX messages_hour_message_id ON messages (hour, message_id_header);
CREATE INDEX messages_hour_tag ON messages (hour, tag) WHERE tag IS NOT NULL;
ALTER TABLE deliveries ADD COLUMN hour BIGINT NOT NULL DEFAULT 0;
UPDATE deliveries SET hour = COALESCE(
    (SELECT m.hour FROM messages m WHERE m.id = deliveries.message), 0);
CREATE INDEX deliveries_hour_recipient ON deliveries (hour, recipient);

-- The feed of one organization.
CREATE INDEX events_organization ON events (organization, id);

INSERT INTO id_blocks (name, next) VALUES
    ('organization', 2), ('stream', 3), ('user', 1), ('invite', 1), ('session', 1), ('audit', 1);
