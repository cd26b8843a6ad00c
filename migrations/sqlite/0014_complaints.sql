-- Complaints are few among all events, and are looked for every minute.
CREATE INDEX events_complained ON events (kind, id) WHERE kind = 'complained';
