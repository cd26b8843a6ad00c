//! Messages, their events, and the keys that make a submission unique.
//!
//! Owns:       the reads of `messages` and `events`.
//! Promises:   what was put in comes out the same.
//! Knows not:  bodies; a message says where its body lies.

use std::time::Duration;

use crate::model::*;

use super::database::{Row, within};
use super::dialect::{Statement, json_ids};
use super::error::{Result, StoreError};
use super::rows::{EventRow, MessageRow};
use super::{Store, collect};

/// A client waits for the answer.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(6);

/// With the six seconds of the writer's own deadline a client hears within ten.
const READ_BACK_WAIT: Duration = Duration::from_secs(2);
const READ_BACK_PAUSE: Duration = Duration::from_millis(100);

pub static MESSAGES_BY_ID: Statement = Statement::new(
    "SELECT m.id, m.organization, m.stream, m.credential, m.domain, m.sender, m.eight_bit, \
     m.smtputf8, m.dsn_return, m.dsn_envelope_id, m.message_id_header, m.subject, m.tag, \
     m.metadata, m.idempotency_key, m.body_segment, m.body_offset, m.body_length, m.body_node, \
     m.accepted_at, m.due_at, m.expires_at, m.rank, m.tracking \
     FROM {ids:1} AS wanted JOIN messages m ON m.id = wanted.id",
);

pub static BY_IDEMPOTENCY_KEY: Statement = Statement::new(
    "SELECT id FROM messages WHERE organization = $1 AND idempotency_key = $2 \
     AND idempotency_key IS NOT NULL",
);

pub static IS_THERE: Statement = Statement::new("SELECT 1 FROM messages WHERE id = $1");

pub static EVENTS_OF_MESSAGE: Statement = Statement::new(
    "SELECT id, at, kind, organization, message, delivery, fields FROM events \
     WHERE message = $1 ORDER BY id LIMIT $2",
);

/// Of one delivery and of all together, where $4 names one.
pub static EVENTS_OF_MESSAGE_AFTER: Statement = Statement::new(
    "SELECT id, at, kind, organization, message, delivery, fields FROM events \
     WHERE message = $1 AND id > $2 AND (delivery IS NULL OR delivery = $4 OR $4 IS NULL) \
     ORDER BY id LIMIT $3",
);

pub static EVENTS_OF_DELIVERIES: Statement = Statement::new(
    "SELECT e.id, e.at, e.kind, e.organization, e.message, e.delivery, e.fields \
     FROM {ids:1} AS w CROSS JOIN events AS e WHERE e.message = w.id \
     AND e.delivery IN (SELECT id FROM {ids:2} AS wanted) ORDER BY e.id + 0 LIMIT $3",
);

pub static EVENTS_AFTER: Statement = Statement::new(
    "SELECT id, at, kind, organization, message, delivery, fields FROM events \
     WHERE id > $1 AND id < $3 ORDER BY id LIMIT $2",
);

pub static EVENTS_OF_ORGANIZATION: Statement = Statement::new(
    "SELECT id, at, kind, organization, message, delivery, fields FROM events \
     WHERE organization = $4 AND id > $1 AND id < $3 ORDER BY id LIMIT $2",
);

pub static LAST_EVENT: Statement = Statement::new("SELECT COALESCE(MAX(id), 0) FROM events");

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &MESSAGES_BY_ID,
    &BY_IDEMPOTENCY_KEY,
    &IS_THERE,
    &EVENTS_OF_MESSAGE,
    &EVENTS_OF_MESSAGE_AFTER,
    &EVENTS_OF_DELIVERIES,
    &EVENTS_AFTER,
    &EVENTS_OF_ORGANIZATION,
    &LAST_EVENT,
];

impl Store {
    /// The message a key was used for within this credential's organization, if it was.
    pub async fn message_by_idempotency_key(
        &self,
        organization: OrganizationId,
        key: &str,
    ) -> Result<Option<MessageId>> {
        let values = vec![organization.0.into(), key.into()];
        let reading = self.read(&BY_IDEMPOTENCY_KEY, values);
        let rows = within(LOOKUP_DEADLINE, "looking for a key", reading).await?;
        rows.first().map(|row| Ok(MessageId(row.int(0)?))).transpose()
    }

    /// Those that there are, in no order.
    pub async fn messages(&self, ids: &[MessageId]) -> Result<Vec<MessageRow>> {
        let ids = json_ids(ids.iter().map(|id| id.0));
        collect(self.read(&MESSAGES_BY_ID, vec![ids.into()]).await?, message)
    }

    /// After an `Unsure`, whose client would send a second mail when he was told to come again and
    /// the first was taken: the ledger is asked for as long as a client may wait. A server that
    /// stays away longer may still have taken it.
    pub async fn was_committed(&self, id: MessageId) -> bool {
        let asking = async {
            loop {
                match self.read(&IS_THERE, vec![id.0.into()]).await {
                    Ok(rows) => return !rows.is_empty(),
                    Err(_) => tokio::time::sleep(READ_BACK_PAUSE).await,
                }
            }
        };
        let answer = tokio::time::timeout(READ_BACK_WAIT, asking).await;
        let is_there = answer.unwrap_or(false);
        if is_there {
            tracing::warn!(message = %id, "committed while the database's answer was lost");
        }
        is_there
    }

    pub async fn message(&self, id: MessageId) -> Result<Option<MessageRow>> {
        let rows = self.read(&MESSAGES_BY_ID, vec![json_ids([id.0]).into()]).await?;
        rows.first().map(message).transpose()
    }

    /// Oldest first.
    pub async fn events_of_message(&self, id: MessageId, limit: u32) -> Result<Vec<EventRow>> {
        let values = vec![id.0.into(), i64::from(limit).into()];
        collect(self.read(&EVENTS_OF_MESSAGE, values).await?, event)
    }

    /// Oldest first; of a delivery, those that are about all of the message, too.
    pub async fn events_of_message_after(
        &self,
        id: MessageId,
        delivery: Option<DeliveryId>,
        after: EventId,
        limit: u32,
    ) -> Result<Vec<EventRow>> {
        let delivery = delivery.map(|id| id.0).into();
        let values = vec![id.0.into(), after.0.into(), i64::from(limit).into(), delivery];
        collect(self.read(&EVENTS_OF_MESSAGE_AFTER, values).await?, event)
    }

    /// Of these deliveries alone, oldest first; a mail of many recipients has events of others.
    pub async fn events_of_deliveries(
        &self,
        messages: &[MessageId],
        deliveries: &[DeliveryId],
        limit: u32,
    ) -> Result<Vec<EventRow>> {
        let messages = json_ids(messages.iter().map(|id| id.0));
        let deliveries = json_ids(deliveries.iter().map(|id| id.0));
        let values = vec![messages.into(), deliveries.into(), i64::from(limit).into()];
        collect(self.read(&EVENTS_OF_DELIVERIES, values).await?, event)
    }

    /// Oldest first. Nothing comes later between those that were read.
    pub async fn events_in(
        &self,
        scope: Scope,
        after: EventId,
        limit: u32,
    ) -> Result<Vec<EventRow>> {
        let before = self.settled_before().await?;
        let mut values = vec![after.0.into(), i64::from(limit).into(), before.into()];
        let rows = match scope.organization() {
            Some(organization) => {
                values.push(organization.0.into());
                self.read(&EVENTS_OF_ORGANIZATION, values).await?
            }
            None => self.read(&EVENTS_AFTER, values).await?,
        };
        collect(rows, event)
    }

    /// The newest event there is, or one before it: none comes later below it.
    pub async fn last_event(&self) -> Result<EventId> {
        let before = self.settled_before().await?;
        let newest = self.database().fetch_one(&LAST_EVENT, vec![]).await?.int(0)?;
        Ok(EventId(newest.min(before - 1)))
    }
}

/// From the columns of `EVENTS_OF_MESSAGE`.
pub fn event(row: &Row) -> Result<EventRow> {
    Ok(EventRow {
        id: EventId(row.int(0)?),
        at: Timestamp(row.int(1)?),
        kind: row.parsed(2)?,
        organization: OrganizationId(row.int(3)?),
        message: row.maybe_int(4)?.map(MessageId),
        delivery: row.maybe_int(5)?.map(DeliveryId),
        fields: serde_json::from_str(&row.text(6)?).map_err(StoreError::broken_row)?,
    })
}

/// From the columns of `MESSAGES_BY_ID`.
pub fn message(row: &Row) -> Result<MessageRow> {
    let body = BodyRef {
        segment: SegmentId(row.int(15)?),
        offset: row.unsigned(16)?,
        length: row.unsigned(17)?,
    };
    Ok(MessageRow {
        id: MessageId(row.int(0)?),
        organization: OrganizationId(row.int(1)?),
        stream: StreamId(row.int(2)?),
        credential: row.maybe_int(3)?.map(CredentialId),
        domain: row.maybe_int(4)?.map(DomainId),
        sender: ReversePath::parse(&row.text(5)?).map_err(StoreError::broken_row)?,
        eight_bit: row.flag(6)?,
        smtputf8: row.flag(7)?,
        dsn_return: row.maybe_parsed(8)?,
        dsn_envelope_id: row.maybe_text(9)?,
        message_id_header: row.text(10)?,
        subject: row.text(11)?,
        tag: row.maybe_text(12)?,
        metadata: row.maybe_text(13)?,
        idempotency_key: row.maybe_text(14)?,
        body,
        body_node: row.int(18)?,
        accepted_at: Timestamp(row.int(19)?),
        due_at: Timestamp(row.int(20)?),
        expires_at: Timestamp(row.int(21)?),
        rank: row.int(22)?,
        tracking: row.maybe_parsed(23)?,
    })
}
