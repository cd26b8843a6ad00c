-- Which node makes the snapshot of a campaign, and until when nobody else does. The same as in
-- ../postgres.
ALTER TABLE campaigns ADD COLUMN preparer INTEGER;
ALTER TABLE campaigns ADD COLUMN prepared_until INTEGER;
