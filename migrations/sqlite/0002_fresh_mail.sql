-- Mail taken into memory at its acceptance stands at site 0, among the unrouted, until a settlement
-- names its site: most of it is delivered before that. It enters and leaves the index of what waits
-- on a few pages there, and no index by domain is left that would scatter it again.
DROP INDEX deliveries_unrouted;

-- What is held expires too.
CREATE INDEX deliveries_held_until ON deliveries (expires_at, id) WHERE state = 'held';
