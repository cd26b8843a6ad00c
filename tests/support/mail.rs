//! A message as it is enqueued, in which a test says only what it is about.

use std::time::Duration;

use postroad::model::*;
use postroad::store::MessageRow;

/// Of organization 1 and its first stream, from this sender (the null sender where it is empty),
/// accepted and due now, for four days.
pub fn message(id: MessageId, sender: &str, now: Timestamp) -> MessageRow {
    MessageRow {
        id,
        organization: OrganizationId::FIRST,
        stream: StreamId(1),
        credential: None,
        domain: None,
        sender: ReversePath::parse(sender).expect("lawful"),
        eight_bit: false,
        smtputf8: false,
        dsn_return: None,
        dsn_envelope_id: None,
        message_id_header: String::new(),
        subject: String::new(),
        tag: None,
        metadata: None,
        idempotency_key: None,
        body: BodyRef { segment: SegmentId(1), offset: 0, length: 100 },
        body_node: 1,
        accepted_at: now,
        due_at: now,
        expires_at: now + Duration::from_secs(4 * 86_400),
        rank: 0,
        tracking: None,
    }
}
