-- Contacts, their fields, lists, tags and consent. The same tables as in ../sqlite.

-- What a person reads about a contact; what is counted and filtered by stands in contact_facts.
CREATE TABLE contacts (
    id BIGINT NOT NULL CONSTRAINT contacts_id PRIMARY KEY
        CHECK (id > 0 AND id < 9007199254740992),
    organization BIGINT NOT NULL,
    -- In lower case: it is who the contact is.
    email TEXT NOT NULL,
    name TEXT NOT NULL,
    -- Values of fields that have no column in contact_facts, as a JSON object by 'f' and the
    -- field's id.
    more TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT contacts_email UNIQUE (organization, email)
);

-- Narrow, and an organization's rows lie together, so that a segment over a million contacts is
-- one walk of about a tenth of a second, whatever it asks for. n1 … are numbers (dates as days,
-- birthdays as month and day, choices by their place, several choices as bits), t1 … short texts;
-- contact_fields says which field has which column.
CREATE TABLE contact_facts (
    organization BIGINT NOT NULL,
    contact BIGINT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'blocked')),
    created_at BIGINT NOT NULL,
    -- By a person, as far as can be told; robots and privacy proxies are left out.
    last_open_at BIGINT,
    last_click_at BIGINT,
    language TEXT,
    time_zone TEXT,
    n1 BIGINT,
    n2 BIGINT,
    n3 BIGINT,
    n4 BIGINT,
    n5 BIGINT,
    n6 BIGINT,
    n7 BIGINT,
    n8 BIGINT,
    n9 BIGINT,
    n10 BIGINT,
    n11 BIGINT,
    n12 BIGINT,
    n13 BIGINT,
    n14 BIGINT,
    n15 BIGINT,
    n16 BIGINT,
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
);

CREATE TABLE contact_fields (
    id BIGINT NOT NULL CONSTRAINT contact_fields_id PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    label TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- A JSON array of texts. Values hold their places in it, so it only ever grows.
    choices TEXT NOT NULL,
    -- The column in contact_facts; NULL: in contacts.more.
    slot TEXT,
    created_at BIGINT NOT NULL,
    CONSTRAINT contact_fields_slot UNIQUE (organization, slot),
    CONSTRAINT contact_fields_name UNIQUE (organization, name)
);

CREATE TABLE lists (
    id BIGINT NOT NULL CONSTRAINT lists_id PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    visibility TEXT NOT NULL CHECK (visibility IN ('public', 'private')),
    opt_in TEXT NOT NULL CHECK (opt_in IN ('single', 'double')),
    created_at BIGINT NOT NULL,
    CONSTRAINT lists_name UNIQUE (organization, name)
);

CREATE TABLE memberships (
    list BIGINT NOT NULL,
    contact BIGINT NOT NULL,
    status TEXT NOT NULL,
    since BIGINT NOT NULL,
    -- The row of consents that tells how the status came about.
    consent BIGINT NOT NULL,
    CONSTRAINT memberships_contact PRIMARY KEY (list, contact)
);

CREATE INDEX memberships_of_contact ON memberships (contact, list);

-- Who agreed to what, when, where: only ever added to. One row serves a whole import, which has no
-- contact of its own.
CREATE TABLE consents (
    id BIGINT NOT NULL CONSTRAINT consents_id PRIMARY KEY,
    organization BIGINT NOT NULL,
    contact BIGINT,
    list BIGINT,
    action TEXT NOT NULL,
    at BIGINT NOT NULL,
    source TEXT NOT NULL,
    -- The address of the person's own computer, where there was one.
    address TEXT,
    -- The words agreed to, the version of the form, or the declaration of who imported.
    wording TEXT NOT NULL
);

CREATE INDEX consents_contact ON consents (contact, id) WHERE contact IS NOT NULL;

CREATE TABLE tags (
    id BIGINT NOT NULL CONSTRAINT tags_id PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    CONSTRAINT tags_name UNIQUE (organization, name)
);

CREATE TABLE contact_tags (
    tag BIGINT NOT NULL,
    contact BIGINT NOT NULL,
    CONSTRAINT contact_tags_contact PRIMARY KEY (tag, contact)
);

CREATE INDEX contact_tags_of_contact ON contact_tags (contact, tag);

-- Saved segments: the text as a person wrote it.
CREATE TABLE contact_segments (
    id BIGINT NOT NULL CONSTRAINT contact_segments_id PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    expression TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT contact_segments_name UNIQUE (organization, name)
);

INSERT INTO id_blocks (name, next) VALUES
    ('contact', 1), ('contact_field', 1), ('list', 1), ('consent', 1), ('tag', 1), ('segment', 1);
