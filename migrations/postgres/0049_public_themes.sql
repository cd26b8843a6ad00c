-- How an organization's public pages look.
CREATE TABLE public_themes (
    organization BIGINT NOT NULL PRIMARY KEY REFERENCES organizations (id),
    -- As in '#0a7f5a'.
    color TEXT,
    -- An image of media.
    logo BIGINT,
    footer TEXT NOT NULL
);
