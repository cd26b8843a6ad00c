-- How long it is known who opened and clicked what; NULL for good. The same column as in ../sqlite.
ALTER TABLE organizations ADD COLUMN tracking_days BIGINT;
