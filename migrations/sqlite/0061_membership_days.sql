-- Memberships counted by day and status, so that a list's growth and size need no walk over its
-- members. The same table as in ../postgres.
CREATE TABLE membership_days (
    list INTEGER NOT NULL,
    -- Since 1970, in UTC: when the memberships came to be as they are.
    day INTEGER NOT NULL,
    status TEXT NOT NULL,
    count INTEGER NOT NULL,
    CONSTRAINT membership_days_day PRIMARY KEY (list, day, status)
) STRICT, WITHOUT ROWID;

INSERT INTO membership_days (list, day, status, count)
    SELECT list, since / 86400000000, status, COUNT(*) FROM memberships
    GROUP BY list, since / 86400000000, status;
