-- Bounces are few among all events, and gates look for them every few seconds.
CREATE INDEX events_bounced ON events (kind, id) WHERE kind = 'bounced';
