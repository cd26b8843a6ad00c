//! Bodies that move from one spool segment to another.
//!
//! Owns:       the columns of `messages` that say where a body lies, once it was accepted.
//! Promises:   a row points at a body that is still owed, at its old place or its new one, and each
//!             segment's count changes with it in one transaction.
//! Knows not:  files.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::*;

use super::changes::Change;
use super::database::Connection;
use super::dialect::{Column, Rows, Statement, int, json_ids};
use super::error::{Result, StoreError};
use super::ledger::{COUNT_SEGMENTS, SEGMENT_COLUMNS};
use super::{Store, collect};

/// A body that lies at two places, and is to be read at the second from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyMove {
    pub message: MessageId,
    pub from: BodyRef,
    pub to: BodyRef,
}

/// As `OWED_BODIES`, of messages accepted before $3.
pub static OLD_BODIES: Statement = Statement::new(
    "SELECT m.id, m.body_segment, m.body_offset, m.body_length \
     FROM segments s JOIN messages m ON m.id BETWEEN s.message_first AND s.message_last \
     WHERE s.node = $1 AND s.id = $2 AND m.body_node = $1 AND m.body_segment = $2 \
     AND m.accepted_at <= $3 \
     AND EXISTS (SELECT 1 FROM deliveries d \
       WHERE d.id BETWEEN m.delivery_first AND m.delivery_last AND d.message = m.id \
       AND d.state IN ('waiting', 'leased', 'held')) \
     ORDER BY m.id LIMIT $4",
);

/// First, so that what the move sees of their deliveries is what was committed last.
pub static LOCK_MESSAGES: Statement = Statement::new(
    "SELECT m.id FROM {ids:1} AS wanted JOIN messages m ON m.id = wanted.id \
     ORDER BY m.id {lock:m}",
);

const MOVE_COLUMNS: &[Column] = &[
    int("id"),
    int("node"),
    int("was_segment"),
    int("was_offset"),
    int("to_segment"),
    int("to_offset"),
];

/// A body that is owed no longer was counted out of its old segment already, and stays.
pub static MOVE_BODIES: Statement = Statement::with_rows(
    MOVE_COLUMNS,
    "UPDATE messages SET body_segment = r.to_segment, body_offset = r.to_offset \
     FROM {rows} AS r WHERE messages.id = r.id AND messages.body_node = r.node \
     AND messages.body_segment = r.was_segment AND messages.body_offset = r.was_offset \
     AND EXISTS (SELECT 1 FROM deliveries d \
       WHERE d.id BETWEEN messages.delivery_first AND messages.delivery_last \
       AND d.message = messages.id AND d.state IN ('waiting', 'leased', 'held')) \
     RETURNING messages.id",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[&OLD_BODIES, &LOCK_MESSAGES, &MOVE_BODIES];

impl Store {
    /// At most so many bodies of this segment that are owed since before `accepted`.
    pub async fn old_bodies(
        &self,
        segment: SegmentId,
        accepted: Timestamp,
        limit: usize,
    ) -> Result<Vec<(MessageId, BodyRef)>> {
        let limit = i64::try_from(limit).map_err(StoreError::broken_row)?;
        let values = vec![self.node().into(), segment.0.into(), accepted.0.into(), limit.into()];
        collect(self.read(&OLD_BODIES, values).await?, |row| {
            let body = BodyRef {
                segment: SegmentId(row.int(1)?),
                offset: row.unsigned(2)?,
                length: row.unsigned(3)?,
            };
            Ok((MessageId(row.int(0)?), body))
        })
    }

    /// Returns how many rows point at the new place now; the others are owed no longer.
    pub async fn move_bodies(&self, moves: Vec<BodyMove>) -> Result<u64> {
        Ok(self.change(Change::MoveBodies(moves)).await?.unsigned_abs())
    }
}

pub(super) async fn apply(
    connection: &mut Connection,
    node: i64,
    moves: &[BodyMove],
) -> Result<i64> {
    let ids = json_ids(moves.iter().map(|one| one.message.0));
    connection.fetch(&LOCK_MESSAGES, vec![ids.into()]).await?;
    let mut rows = Rows::new(connection.dialect(), MOVE_COLUMNS);
    for one in moves {
        rows.int(one.message.0).int(node).int(one.from.segment.0).unsigned(one.from.offset);
        rows.int(one.to.segment.0).unsigned(one.to.offset);
    }
    let moved = connection.fetch(&MOVE_BODIES, vec![rows.finish().into()]).await?;
    let moved: BTreeSet<i64> = collect(moved, |row| row.int(0))?.into_iter().collect();
    let mut segments: BTreeMap<i64, Difference> = BTreeMap::new();
    for one in moves.iter().filter(|one| moved.contains(&one.message.0)) {
        let length = i64::try_from(one.from.length).map_err(StoreError::broken_row)?;
        segments.entry(one.from.segment.0).or_default().add(one.message.0, -length, -1);
        segments.entry(one.to.segment.0).or_default().add(one.message.0, length, 1);
    }
    let mut rows = Rows::new(connection.dialect(), SEGMENT_COLUMNS);
    for (segment, difference) in segments {
        rows.int(node).int(segment).int(difference.bytes).int(difference.bodies);
        rows.int(difference.message_first).int(difference.message_last);
    }
    connection.execute(&COUNT_SEGMENTS, vec![rows.finish().into()]).await?;
    i64::try_from(moved.len()).map_err(StoreError::broken_row)
}

/// Of one segment.
struct Difference {
    bytes: i64,
    bodies: i64,
    message_first: i64,
    message_last: i64,
}

impl Default for Difference {
    fn default() -> Difference {
        Difference { bytes: 0, bodies: 0, message_first: i64::MAX, message_last: 0 }
    }
}

impl Difference {
    fn add(&mut self, message: i64, bytes: i64, bodies: i64) {
        self.bytes += bytes;
        self.bodies += bodies;
        self.message_first = self.message_first.min(message);
        self.message_last = self.message_last.max(message);
    }
}
