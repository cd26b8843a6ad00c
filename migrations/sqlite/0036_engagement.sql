-- How warm a contact is, and how mail to it fared. The same tables as in ../postgres.

-- A thousandth of the base-2 logarithm of what a person has done, each deed doubled for each half-
-- life (30 days) since 1970: what decays is the number that it is compared with, so that the order
-- holds for ever and no row is touched by the passing of time. NULL: nothing was done.
ALTER TABLE contact_facts ADD COLUMN heat INTEGER;
-- By campaigns and automations: when a host last took, put off or refused a mail, why it was
-- refused, and who runs the host.
ALTER TABLE contact_facts ADD COLUMN delivered_at INTEGER;
ALTER TABLE contact_facts ADD COLUMN deferred_at INTEGER;
ALTER TABLE contact_facts ADD COLUMN bounced_at INTEGER;
ALTER TABLE contact_facts ADD COLUMN bounce_class TEXT;
ALTER TABLE contact_facts ADD COLUMN operator INTEGER;

CREATE INDEX contact_facts_heat ON contact_facts (organization, heat) WHERE heat IS NOT NULL;

-- As if each had opened or clicked once, when it last did. 2322: a click and its open, 5 in all.
UPDATE contact_facts SET heat = CASE
    WHEN last_click_at IS NOT NULL THEN 2322 + last_click_at / 2592000000
    ELSE last_open_at / 2592000000 END
    WHERE last_open_at IS NOT NULL OR last_click_at IS NOT NULL;
