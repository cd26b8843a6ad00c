-- How an organization's public pages look.
CREATE TABLE public_themes (
    organization INTEGER NOT NULL PRIMARY KEY REFERENCES organizations (id),
    -- As in '#0a7f5a'.
    color TEXT,
    -- An image of media.
    logo INTEGER,
    footer TEXT NOT NULL
) STRICT;

-- Where links in an organization's mail lead; without a row they lead to the installation's host.
CREATE TABLE public_hosts (
    organization INTEGER NOT NULL PRIMARY KEY REFERENCES organizations (id),
    host TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT public_hosts_host UNIQUE (host)
) STRICT;
