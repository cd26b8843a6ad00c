//! The durable queue: which delivery is owed, to whom, and when it is next due.
//!
//! Owns:       the order of writes (body, rows, outcome log), claims, the outcome log.
//! Promises:   what is enqueued is on disk; a delivery has one holder at a time.
//! Knows not:  SMTP, DNS, HTTP, campaigns.
//! After a crash a delivery may be tried twice; it is never lost. See `tests/crash`.

pub mod outcome_log;

use bytes::Bytes;

use crate::model::*;
use crate::spool::SpoolError;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A message that is to be owed; the queue gives it its id, body place and times of acceptance.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub organization: OrganizationId,
    pub stream: StreamId,
    pub credential: Option<CredentialId>,
    pub domain: Option<DomainId>,
    pub envelope: Envelope,
    pub message_id_header: String,
    pub subject: String,
    pub tag: Option<String>,
    pub metadata: Option<String>,
    pub idempotency_key: Option<String>,
    /// 0 transactional, 1 marketing.
    pub rank: i64,
    pub not_before: Option<Timestamp>,
    pub not_after: Option<Timestamp>,
    /// Header section and body as they will be sent but for signatures, CRLF lines only. The parts
    /// of it that need the message's id are made by the caller from `Queue::message_id`.
    pub body: Bytes,
}

/// A cheap handle.
#[derive(Clone)]
pub struct Queue {}

impl Queue {
    /// The id for a message about to be enqueued (it stands in its Received field).
    pub async fn message_id(&self) -> Result<MessageId, QueueError> {
        todo!()
    }
    /// Body on disk, then rows committed, then it returns: this is what a `250` stands for.
    /// The earlier message's id when the idempotency key was used before.
    pub async fn enqueue(&self, id: MessageId, new: NewMessage) -> Result<MessageId, QueueError> {
        todo!()
    }
    /// There is room for a mail of this size now; the reply to MAIL FROM depends on it (P5).
    pub fn has_room(&self, bytes: u64) -> bool {
        todo!()
    }
}
