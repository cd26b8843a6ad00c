-- Contacts, their fields, lists, tags and consent. The same tables as in ../postgres.

-- What a person reads about a contact; what is counted and filtered by stands in contact_facts.
CREATE TABLE contacts (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id > 0 AND id < 9007199254740992),
    organization INTEGER NOT NULL,
    -- In lower case: it is who the contact is.
    email TEXT NOT NULL,
    name TEXT NOT NULL,
    -- Values of fields that have no column in contact_facts, as a JSON object by 'f' and the
    -- field's id.
    more TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    CONSTRAINT contacts_email UNIQUE (organization, email)
) STRICT;

-- Narrow, and an organization's rows lie together, so that a segment over a million contacts is
-- one walk of about a tenth of a second, whatever it asks for. n1 … are numbers (dates as days,
-- birthdays as month and day, choices by their place, several choices as bits), t1 … short texts;
-- contact_fields says which field has which column.
CREATE TABLE contact_facts (
    organization INTEGER NOT NULL,
    contact INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'blocked')),
    created_at INTEGER NOT NULL,
    -- By a person, as far as can be told; robots and privacy proxies are left out.
    last_open_at INTEGER,
    last_click_at INTEGER,
    language TEXT,
    time_zone TEXT,
    n1 INTEGER,
    n2 INTEGER,
    n3 INTEGER,
    n4 INTEGER,
    n5 INTEGER,
    n6 INTEGER,
    n7 INTEGER,
    n8 INTEGER,
    n9 INTEGER,
    n10 INTEGER,
    n11 INTEGER,
    n12 INTEGER,
    n13 INTEGER,
    n14 INTEGER,
    n15 INTEGER,
    n16 INTEGER,
    t1 TEXT,
    t2 TEXT,
    t3 TEXT,
    t4 TEXT,
    t5 TEXT,
    t6 TEXT,
    t7 TEXT,
    t8 TEXT,
    t9 TEXT,
    t10 TEXT,
    t11 TEXT,
    t12 TEXT,
    CONSTRAINT contact_facts_contact PRIMARY KEY (organization, contact)
) STRICT, WITHOUT ROWID;

CREATE TABLE contact_fields (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    label TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- A JSON array of texts. Values hold their places in it, so it only ever grows.
    choices TEXT NOT NULL,
    -- The column in contact_facts; NULL: in contacts.more.
    slot TEXT,
    created_at INTEGER NOT NULL,
    CONSTRAINT contact_fields_slot UNIQUE (organization, slot),
    CONSTRAINT contact_fields_name UNIQUE (organization, name)
) STRICT;

CREATE TABLE lists (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    visibility TEXT NOT NULL CHECK (visibility IN ('public', 'private')),
    opt_in TEXT NOT NULL CHECK (opt_in IN ('single', 'double')),
    created_at INTEGER NOT NULL,
    CONSTRAINT lists_name UNIQUE (organization, name)
) STRICT;

CREATE TABLE memberships (
    list INTEGER NOT NULL,
    contact INTEGER NOT NULL,
    status TEXT NOT NULL,
    since INTEGER NOT NULL,
    -- The row of consents that tells how the status came about.
    consent INTEGER NOT NULL,
    CONSTRAINT memberships_contact PRIMARY KEY (list, contact)
) STRICT, WITHOUT ROWID;

CREATE INDEX memberships_of_contact ON memberships (contact, list);

-- Who agreed to what, when, where: only ever added to. One row serves a whole import, which has no
-- contact of its own.
CREATE TABLE consents (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL,
    contact INTEGER,
    list INTEGER,
    action TEXT NOT NULL,
    at INTEGER NOT NULL,
    source TEXT NOT NULL,
    -- The address of the person's own computer, where there was one.
    address TEXT,
    -- The words agreed to, the version of the form, or the declaration of who imported.
    wording TEXT NOT NULL
) STRICT;

CREATE INDEX consents_contact ON consents (contact, id) WHERE contact IS NOT NULL;

CREATE TABLE tags (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    CONSTRAINT tags_name UNIQUE (organization, name)
) STRICT;

CREATE TABLE contact_tags (
    tag INTEGER NOT NULL,
    contact INTEGER NOT NULL,
    CONSTRAINT contact_tags_contact PRIMARY KEY (tag, contact)
) STRICT, WITHOUT ROWID;

CREATE INDEX contact_tags_of_contact ON contact_tags (contact, tag);

-- Saved segments: the text as a person wrote it.
CREATE TABLE contact_segments (
    id INTEGER NOT NULL PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    expression TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CONSTRAINT contact_segments_name UNIQUE (organization, name)
) STRICT;

INSERT INTO id_blocks (name, next) VALUES
    ('contact', 1), ('contact_field', 1), ('list', 1), ('consent', 1), ('tag', 1), ('segment', 1);
