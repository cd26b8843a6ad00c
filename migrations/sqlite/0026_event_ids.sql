-- One writer gives ids to events from the blocks in `id_blocks`: here nothing changes. On PostgreSQL
-- each transaction takes its own; see src/store/event_ids.rs.
SELECT 1;
