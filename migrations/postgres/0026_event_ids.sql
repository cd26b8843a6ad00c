-- Each transaction takes a chunk of ids for its events: blocks that nodes kept for longer gave small
-- ids to late events. Chunks begin behind all that the blocks had given; see
-- src/store/event_ids.rs.
CREATE SEQUENCE event_ids AS bigint INCREMENT BY 16384 MINVALUE 0;
SELECT setval('event_ids', (next / 16384 + 1) * 16384, true) FROM id_blocks WHERE name = 'event';
DELETE FROM id_blocks WHERE name = 'event';
