//! Rows for tests of any module, in which a test says only what it is about.
//!
//! Owns:       the sample of a message.
//! Promises:   it is of organization 1 and its first stream, lies nowhere, and asks for nothing.
//! Knows not:  the ledger.

use super::rows::MessageRow;
use crate::model::*;

/// From this sender; of the null sender where it is empty.
pub fn message(sender: &str) -> MessageRow {
    MessageRow {
        id: MessageId(1),
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
        body: BodyRef { segment: SegmentId(1), offset: 0, length: 0 },
        body_node: 1,
        accepted_at: Timestamp(0),
        due_at: Timestamp(0),
        expires_at: Timestamp(0),
        rank: 0,
        tracking: None,
    }
}
