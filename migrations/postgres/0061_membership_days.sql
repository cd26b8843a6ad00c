-- Memberships counted by day and status, so that a list's growth and size need no walk over its
-- members. The same table as in ../sqlite.
CREATE TABLE membership_days (
    list BIGINT NOT NULL,
    -- Since 1970, in UTC: when the memberships came to be as they are.
    day BIGINT NOT NULL,
    status TEXT NOT NULL,
    count BIGINT NOT NULL,
    CONSTRAINT membership_days_day PRIMARY KEY (list, day, status)
);

INSERT INTO membership_days (list, day, status, count)
    SELECT list, since / 86400000000, status, COUNT(*) FROM memberships
    GROUP BY list, since / 86400000000, status;
