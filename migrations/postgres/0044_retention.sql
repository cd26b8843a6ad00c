-- How long an organization's mail is listed once it is over; NULL for good.

ALTER TABLE organizations ADD COLUMN keep_days BIGINT;
