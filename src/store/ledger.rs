//! The statements of the batch: what one transaction of the writer may write.
//!
//! Owns:       the hot tables' INSERTs and UPDATEs: messages, deliveries, events, segments, totals.
//! Promises:   each takes any number of rows as one parameter, none included.
//! Knows not:  which rows; `plan` decides that.

use super::dialect::{Column, Statement, int, json, text};

pub const MESSAGE_COLUMNS: &[Column] = &[
    int("id"),
    int("organization"),
    int("stream"),
    int("credential"),
    int("domain"),
    text("sender"),
    int("eight_bit"),
    int("smtputf8"),
    text("dsn_return"),
    text("dsn_envelope_id"),
    text("message_id_header"),
    text("subject"),
    text("tag"),
    text("metadata"),
    text("idempotency_key"),
    int("body_segment"),
    int("body_offset"),
    int("body_length"),
    int("body_node"),
    int("accepted_at"),
    int("due_at"),
    int("expires_at"),
    int("rank"),
    text("tracking"),
    int("delivery_first"),
    int("delivery_last"),
    int("owed"),
    int("hour"),
];

pub static INSERT_MESSAGES: Statement = Statement::with_rows(
    MESSAGE_COLUMNS,
    "INSERT INTO messages (id, organization, stream, credential, domain, sender, eight_bit, \
     smtputf8, dsn_return, dsn_envelope_id, message_id_header, subject, tag, metadata, \
     idempotency_key, body_segment, body_offset, body_length, body_node, accepted_at, due_at, \
     expires_at, rank, tracking, delivery_first, delivery_last, owed, hour) \
     SELECT id, organization, stream, credential, domain, sender, eight_bit, \
     smtputf8, dsn_return, dsn_envelope_id, message_id_header, subject, tag, metadata, \
     idempotency_key, body_segment, body_offset, body_length, body_node, accepted_at, due_at, \
     expires_at, rank, tracking, delivery_first, delivery_last, owed, hour FROM {rows} AS r",
);

pub const DELIVERY_COLUMNS: &[Column] = &[
    int("id"),
    int("message"),
    int("organization"),
    int("stream"),
    int("domain"),
    int("rank"),
    int("site"),
    text("state"),
    int("due_at"),
    int("expires_at"),
    int("body_node"),
    text("recipient"),
    text("recipient_domain"),
    int("notify"),
    text("original_recipient"),
    text("text"),
    int("lease_node"),
    int("lease_epoch"),
    int("lease_until"),
    int("hour"),
    int("campaign"),
    int("contact"),
    int("score"),
];

pub static INSERT_DELIVERIES: Statement = Statement::with_rows(
    DELIVERY_COLUMNS,
    "INSERT INTO deliveries (id, message, organization, stream, domain, rank, site, state, \
     due_at, expires_at, body_node, recipient, recipient_domain, notify, original_recipient, \
     text, lease_node, lease_epoch, lease_until, hour, campaign, contact, score) \
     SELECT id, message, organization, stream, domain, rank, site, state, \
     due_at, expires_at, body_node, recipient, recipient_domain, notify, original_recipient, \
     text, lease_node, lease_epoch, lease_until, hour, campaign, contact, score FROM {rows} AS r",
);

pub const MOVE_COLUMNS: &[Column] = &[
    int("id"),
    text("was"),
    int("tries_were"),
    text("state"),
    int("tries"),
    int("site"),
    int("due_at"),
    text("text"),
    text("blame"),
    int("answer_not_seen"),
    int("delay_reported"),
    text("pin"),
    int("delivered_at"),
];

/// Guarded by state and tries. No text means that the text and blame stay as they are; what was
/// once reported or not seen stays so.
pub static MOVE: Statement = Statement::with_rows(
    MOVE_COLUMNS,
    "UPDATE deliveries SET state = r.state, tries = r.tries, \
     site = COALESCE(r.site, deliveries.site), \
     due_at = COALESCE(r.due_at, deliveries.due_at), \
     text = COALESCE(r.text, deliveries.text), \
     blame = CASE WHEN r.text IS NULL THEN deliveries.blame ELSE r.blame END, \
     answer_not_seen = \
       CASE WHEN r.answer_not_seen = 1 THEN 1 ELSE deliveries.answer_not_seen END, \
     delay_reported = CASE WHEN r.delay_reported = 1 THEN 1 ELSE deliveries.delay_reported END, \
     pin = COALESCE(r.pin, deliveries.pin), \
     delivered_at = COALESCE(r.delivered_at, deliveries.delivered_at), \
     lease_node = NULL, lease_epoch = NULL, lease_until = NULL \
     FROM {rows} AS r \
     WHERE deliveries.id = r.id AND deliveries.state = r.was AND deliveries.tries = r.tries_were",
);

pub const OWED_COLUMNS: &[Column] = &[int("id"), int("owed")];

pub static SET_OWED: Statement = Statement::with_rows(
    OWED_COLUMNS,
    "UPDATE messages SET owed = r.owed FROM {rows} AS r WHERE messages.id = r.id",
);

pub const EVENT_COLUMNS: &[Column] = &[
    int("id"),
    int("at"),
    text("kind"),
    int("organization"),
    int("message"),
    int("delivery"),
    json("fields"),
];

pub static INSERT_EVENTS: Statement = Statement::with_rows(
    EVENT_COLUMNS,
    "INSERT INTO events (id, at, kind, organization, message, delivery, fields) \
     SELECT id, at, kind, organization, message, delivery, CAST(fields AS TEXT) FROM {rows} AS r",
);

pub const SEGMENT_COLUMNS: &[Column] = &[
    int("node"),
    int("id"),
    int("live_bytes"),
    int("live_bodies"),
    int("message_first"),
    int("message_last"),
];

/// The rows are differences. `WHERE true` tells SQLite's parser that ON CONFLICT is no join.
pub static COUNT_SEGMENTS: Statement = Statement::with_rows(
    SEGMENT_COLUMNS,
    "INSERT INTO segments (node, id, live_bytes, live_bodies, message_first, message_last) \
     SELECT node, id, live_bytes, live_bodies, message_first, message_last FROM {rows} AS r \
     WHERE true \
     ON CONFLICT (node, id) DO UPDATE SET \
     live_bytes = segments.live_bytes + excluded.live_bytes, \
     live_bodies = segments.live_bodies + excluded.live_bodies, \
     message_first = CASE WHEN excluded.message_first < segments.message_first \
       THEN excluded.message_first ELSE segments.message_first END, \
     message_last = CASE WHEN excluded.message_last > segments.message_last \
       THEN excluded.message_last ELSE segments.message_last END",
);

pub const TOTAL_COLUMNS: &[Column] = &[text("name"), int("node"), int("count")];

pub static COUNT_TOTALS: Statement = Statement::with_rows(
    TOTAL_COLUMNS,
    "INSERT INTO totals (name, node, count) SELECT name, node, count FROM {rows} AS r WHERE true \
     ON CONFLICT (name, node) DO UPDATE SET count = totals.count + excluded.count",
);

pub const FED_COLUMNS: &[Column] =
    &[int("campaign"), int("slice"), int("message"), int("variant"), int("count")];

/// A slice that was fed before stands in the way of its whole message.
pub static INSERT_FED: Statement = Statement::with_rows(
    FED_COLUMNS,
    "INSERT INTO campaign_fed (campaign, slice, message, variant, count) \
     SELECT campaign, slice, message, variant, count FROM {rows} AS r",
);

/// One line of numbers and words for each delivery, all in one value: a row of thirteen columns
/// costs four times as much to fetch.
pub static STANDINGS: Statement = Statement::new(
    "SELECT string_agg(line, ',') FROM (\
       SELECT CAST(d.id AS TEXT) || ' ' || d.state || ' ' || CAST(d.tries AS TEXT) \
         || ' ' || CAST(COALESCE(d.lease_node, -1) AS TEXT) \
         || ' ' || CAST(COALESCE(d.lease_epoch, -1) AS TEXT) \
         || ' ' || CAST(d.organization AS TEXT) || ' ' || CAST(m.id AS TEXT) \
         || ' ' || CAST(m.delivery_last - m.delivery_first AS TEXT) \
         || ' ' || CAST(m.owed AS TEXT) || ' ' || CAST(m.body_node AS TEXT) \
         || ' ' || CAST(m.body_segment AS TEXT) || ' ' || CAST(m.body_length AS TEXT) AS line \
       FROM {ids:1} AS wanted JOIN deliveries d ON d.id = wanted.id \
       JOIN messages m ON m.id = d.message ORDER BY d.id {lock:d, m}) AS standing",
);

pub const BATCH_STATEMENTS: usize = 8;

/// In the order in which a transaction runs them; the positions are those of `Plan::parameters`.
pub static BATCH: [&Statement; BATCH_STATEMENTS] = [
    &INSERT_MESSAGES,
    &INSERT_DELIVERIES,
    &MOVE,
    &SET_OWED,
    &INSERT_EVENTS,
    &COUNT_SEGMENTS,
    &COUNT_TOTALS,
    &INSERT_FED,
];

pub static BEGIN: Statement = Statement::pair("BEGIN IMMEDIATE", "BEGIN");
pub static COMMIT: Statement = Statement::new("COMMIT");
pub static ROLLBACK: Statement = Statement::new("ROLLBACK");
