-- Whether mail to a return domain comes here, as DNS said last.
ALTER TABLE return_domains ADD COLUMN checked_at BIGINT;
ALTER TABLE return_domains ADD COLUMN standing TEXT;
ALTER TABLE return_domains ADD COLUMN found TEXT NOT NULL DEFAULT '';
