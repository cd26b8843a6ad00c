-- Which node makes the snapshot of a campaign, and until when nobody else does. The same as in
-- ../sqlite.
ALTER TABLE campaigns ADD COLUMN preparer BIGINT;
ALTER TABLE campaigns ADD COLUMN prepared_until BIGINT;
