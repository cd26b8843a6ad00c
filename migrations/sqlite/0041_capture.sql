-- All mail of the organization ends here: it is kept for a while to be looked at, and sent nowhere.

ALTER TABLE organizations ADD COLUMN capture INTEGER NOT NULL DEFAULT 0;
