-- Values of the field are sealed; not 0: it is so. They stand in contacts.more.
ALTER TABLE contact_fields ADD COLUMN encrypted INTEGER NOT NULL DEFAULT 0;
