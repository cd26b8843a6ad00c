-- What comes back: the domains it comes back to, what was learnt from it, what came in.

-- Where bounces of an organization come back to, instead of the installation's own domain.
CREATE TABLE return_domains (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT return_domains_organization UNIQUE (organization),
    CONSTRAINT return_domains_name UNIQUE (name)
) STRICT;

-- What has come back for a delivery, each kind once: the second of a kind teaches nothing.
CREATE TABLE returns (
    delivery INTEGER NOT NULL,
    kind TEXT NOT NULL,
    at INTEGER NOT NULL,
    CONSTRAINT returns_kind PRIMARY KEY (delivery, kind)
) STRICT;

-- Addresses that bounced softly, until a mail to them is delivered and does not bounce.
CREATE TABLE soft_bounces (
    organization INTEGER NOT NULL,
    -- SHA-256 of the address in lower case, in hexadecimal digits.
    address_hash TEXT NOT NULL,
    bounces INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    -- Mails that hosts have taken since the last bounce, without those that bounced after it.
    deliveries INTEGER NOT NULL,
    CONSTRAINT soft_bounces_address PRIMARY KEY (organization, address_hash)
) STRICT;

-- Mail that came in, for each of its recipients.
CREATE TABLE inbound_mails (
    id INTEGER NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    -- Missing where the mail is the installation's.
    organization INTEGER,
    peer TEXT NOT NULL,
    ehlo TEXT NOT NULL,
    tls TEXT,
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    from_domain TEXT NOT NULL,
    spf TEXT NOT NULL,
    dkim TEXT NOT NULL,
    dmarc TEXT NOT NULL,
    kind TEXT NOT NULL,
    fate TEXT NOT NULL,
    text TEXT NOT NULL,
    message INTEGER,
    delivery INTEGER
) STRICT;

CREATE INDEX inbound_mails_organization ON inbound_mails (organization, id);
CREATE INDEX inbound_mails_at ON inbound_mails (at);

INSERT INTO id_blocks (name, next) VALUES ('return_domain', 1), ('inbound_mail', 1);
