//! Mail that is over and old goes: its messages, deliveries and events.
//!
//! Owns:       the deletion of these rows.
//! Promises:   a message goes whole or not at all, and only when nothing of it is owed; what went
//!             is counted, so that the sums still add up. Mail of campaigns stays: their reports
//!             are made of it.
//! Knows not:  how old is old enough.

use crate::model::*;

use super::changes::RowWrite;
use super::dialect::{Statement, json_ids};
use super::error::Result;
use super::{Store, collect};

/// Messages from old to new, with their age and owner.
pub static WALK_UP: Statement = Statement::new(
    "SELECT id, organization, accepted_at, body_length FROM messages WHERE id > $1 \
     ORDER BY id LIMIT $2",
);

/// Octets by organization, of so many messages behind one.
pub static SIZES: Statement = Statement::new(
    "SELECT organization, CAST(SUM(body_length) AS BIGINT), MAX(id) FROM (\
       SELECT id, organization, body_length FROM messages WHERE id > $1 ORDER BY id LIMIT $2\
     ) AS part GROUP BY organization",
);

/// Those that are over. What is final stays final, so this holds until they are deleted.
pub static OVER_AMONG: Statement = Statement::new(
    "SELECT m.id FROM {ids:1} AS wanted JOIN messages m ON m.id = wanted.id \
     WHERE NOT EXISTS (SELECT 1 FROM deliveries d \
       WHERE d.id BETWEEN m.delivery_first AND m.delivery_last AND d.message = m.id \
       AND (d.state IN ('waiting', 'leased', 'held') OR d.campaign IS NOT NULL))",
);

/// `WHERE true` tells SQLite's parser that ON CONFLICT is no join.
pub static COUNT_FORGOTTEN: Statement = Statement::new(
    "INSERT INTO totals (name, node, count) \
     SELECT 'forgotten', $2, COUNT(*) FROM {ids:1} AS gone JOIN messages m ON m.id = gone.id \
     JOIN deliveries d ON d.id BETWEEN m.delivery_first AND m.delivery_last AND d.message = m.id \
     WHERE true ON CONFLICT (name, node) DO UPDATE SET count = totals.count + excluded.count",
);

pub static FORGET_EVENTS: Statement =
    Statement::new("DELETE FROM events WHERE message IN (SELECT id FROM {ids:1} AS gone)");

pub static FORGET_DELIVERIES: Statement = Statement::new(
    "DELETE FROM deliveries WHERE id IN (SELECT d.id FROM {ids:1} AS gone \
     JOIN messages m ON m.id = gone.id \
     JOIN deliveries d ON d.id BETWEEN m.delivery_first AND m.delivery_last \
     AND d.message = m.id)",
);

pub static FORGET_MESSAGES: Statement =
    Statement::new("DELETE FROM messages WHERE id IN (SELECT id FROM {ids:1} AS gone)");

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &WALK_UP,
    &SIZES,
    &OVER_AMONG,
    &COUNT_FORGOTTEN,
    &FORGET_EVENTS,
    &FORGET_DELIVERIES,
    &FORGET_MESSAGES,
];

/// A message as the walk sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aged {
    pub message: MessageId,
    pub organization: OrganizationId,
    pub accepted_at: Timestamp,
    pub bytes: u64,
}

impl Store {
    /// Messages behind this one, oldest first.
    pub async fn messages_behind(&self, after: MessageId, limit: u32) -> Result<Vec<Aged>> {
        let values = vec![after.0.into(), i64::from(limit).into()];
        collect(self.read(&WALK_UP, values).await?, |row| {
            Ok(Aged {
                message: MessageId(row.int(0)?),
                organization: OrganizationId(row.int(1)?),
                accepted_at: Timestamp(row.int(2)?),
                bytes: row.unsigned(3)?,
            })
        })
    }

    /// Octets by organization of the messages behind this one, and where the next part begins; None
    /// at the end.
    pub async fn sizes_behind(
        &self,
        after: MessageId,
        limit: u32,
    ) -> Result<(Vec<(OrganizationId, u64)>, Option<MessageId>)> {
        let rows = self.read(&SIZES, vec![after.0.into(), i64::from(limit).into()]).await?;
        let mut last = None;
        let sizes = collect(rows, |row| {
            last = last.max(Some(MessageId(row.int(2)?)));
            Ok((OrganizationId(row.int(0)?), row.unsigned(1)?))
        })?;
        Ok((sizes, last))
    }

    /// Deletes those of them that are over, and tells how many.
    pub async fn forget_messages(&self, messages: &[MessageId]) -> Result<usize> {
        let ids = json_ids(messages.iter().map(|id| id.0));
        let over = collect(self.read(&OVER_AMONG, vec![ids.into()]).await?, |row| row.int(0))?;
        if over.is_empty() {
            return Ok(0);
        }
        let count = over.len();
        let ids = json_ids(over);
        let values = || vec![ids.clone().into()];
        let counted = vec![ids.clone().into(), self.node().into()];
        self.write(vec![
            RowWrite::new(&COUNT_FORGOTTEN, counted),
            RowWrite::new(&FORGET_EVENTS, values()),
            RowWrite::new(&FORGET_DELIVERIES, values()),
            RowWrite::new(&FORGET_MESSAGES, values()),
        ])
        .await?;
        Ok(count)
    }
}
