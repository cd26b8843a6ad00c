-- Mail of a stream that is held waits until it is let go.

ALTER TABLE streams ADD COLUMN held_at INTEGER;
ALTER TABLE streams ADD COLUMN held_reason TEXT;
