//! Sites, the spool's segments, and what is still owed in them.
//!
//! Owns:       the table `segments`, the list of `sites`, and the census for `postroad check`.
//! Promises:   a segment's owed bodies are found by the range of its messages, not by a scan.
//! Knows not:  files.

use std::collections::HashMap;

use crate::model::*;

use super::changes::Change;
use super::dialect::{Statement, json_ids};
use super::error::Result;
use super::rows::{Census, SegmentRow, SiteRow};
use super::{Store, collect};

pub static SITES: Statement = Statement::new("SELECT id, key, operator FROM sites ORDER BY id");

pub static SITE_KEYS: Statement =
    Statement::new("SELECT id, key FROM sites WHERE id IN (SELECT id FROM {ids:1} AS wanted)");

pub static SEGMENTS: Statement = Statement::new(
    "SELECT id, live_bytes, live_bodies, message_last FROM segments WHERE node = $1 ORDER BY id",
);

pub static OWED_BODIES: Statement = Statement::new(
    "SELECT m.id, m.body_segment, m.body_offset, m.body_length \
     FROM segments s JOIN messages m ON m.id BETWEEN s.message_first AND s.message_last \
     WHERE s.node = $1 AND s.id = $2 AND m.body_node = $1 AND m.body_segment = $2 \
     AND EXISTS (SELECT 1 FROM deliveries d \
       WHERE d.id BETWEEN m.delivery_first AND m.delivery_last AND d.message = m.id \
       AND d.state IN ('waiting', 'leased', 'held')) \
     ORDER BY m.id",
);

/// Both sides in one statement, so that they tell of the same moment.
pub static CENSUS: Statement = Statement::new(
    "SELECT 'accepted', CAST(COALESCE(SUM( \
       CASE name WHEN 'accepted' THEN count ELSE -count END), 0) AS BIGINT) FROM totals \
     WHERE name IN ('accepted', 'forgotten') \
     UNION ALL SELECT state, COUNT(*) FROM deliveries GROUP BY state",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[&SITES, &SITE_KEYS, &SEGMENTS, &OWED_BODIES, &CENSUS];

impl Store {
    pub async fn sites(&self) -> Result<Vec<SiteRow>> {
        collect(self.read(&SITES, vec![]).await?, |row| {
            Ok(SiteRow {
                id: SiteId(row.int(0)?),
                key: row.text(1)?,
                operator: row.maybe_int(2)?.map(OperatorId),
            })
        })
    }

    /// What these sites are known by.
    pub async fn site_keys(&self, sites: &[SiteId]) -> Result<HashMap<SiteId, String>> {
        let ids = json_ids(sites.iter().map(|site| site.0));
        let found = self.read(&SITE_KEYS, vec![ids.into()]).await?;
        let rows = collect(found, |row| Ok((SiteId(row.int(0)?), row.text(1)?)))?;
        Ok(rows.into_iter().collect())
    }

    /// Those of this node's spool.
    pub async fn segments(&self) -> Result<Vec<SegmentRow>> {
        collect(self.read(&SEGMENTS, vec![self.node().into()]).await?, |row| {
            Ok(SegmentRow {
                id: SegmentId(row.int(0)?),
                // A count below zero is a defect that `check` shows as bodies owed in a segment
                // that counts none; it must not keep the daemon from starting.
                live_bytes: row.int(1)?.max(0).unsigned_abs(),
                live_bodies: row.int(2)?.max(0).unsigned_abs(),
                message_last: MessageId(row.int(3)?),
            })
        })
    }

    /// Forgets a segment whose file is gone.
    pub async fn remove_segment(&self, id: SegmentId) -> Result<()> {
        self.change(Change::RemoveSegment(id)).await?;
        Ok(())
    }

    /// Bodies still owed in a segment, for `check`: every ref that some delivery needs.
    pub async fn owed_bodies(&self, segment: SegmentId) -> Result<Vec<(MessageId, BodyRef)>> {
        let values = vec![self.node().into(), segment.0.into()];
        collect(self.read(&OWED_BODIES, values).await?, |row| {
            let body = BodyRef {
                segment: SegmentId(row.int(1)?),
                offset: row.unsigned(2)?,
                length: row.unsigned(3)?,
            };
            Ok((MessageId(row.int(0)?), body))
        })
    }

    pub async fn census(&self) -> Result<Census> {
        let mut census = Census::default();
        for row in self.read(&CENSUS, vec![]).await? {
            let (word, count) = (row.text(0)?, row.unsigned(1)?);
            match word.parse::<State>() {
                _ if word == "accepted" => census.accepted = count,
                Ok(state) => {
                    census.by_state.insert(state, count);
                }
                Err(_) => census.damaged += count,
            }
        }
        Ok(census)
    }
}
