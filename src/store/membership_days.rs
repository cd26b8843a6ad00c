//! Memberships counted by the day since which they are as they are.
//!
//! Owns:       the table `membership_days`.
//! Promises:   counts change in the transaction that changes the memberships, and agree with them;
//!             the size and growth of a list cost its days, not its members.
//! Knows not:  who asks.

use crate::model::*;

use super::contact_batch::PUT_MEMBERSHIPS_COLUMNS;
use super::database::{Connection, Value};
use super::dialect::Statement;
use super::error::Result;
use super::{DAY, Store, collect};

/// What `PUT_MEMBERSHIPS` is about to change, with its first four parameters; $5 a day. One
/// statement with its rows in order, since two that count for the same lists meet here.
pub static COUNT_PUT: Statement = Statement::with_rows(
    PUT_MEMBERSHIPS_COLUMNS,
    "INSERT INTO membership_days (list, day, status, count) \
     SELECT c.list, c.day, c.status, CAST(SUM(c.step) AS BIGINT) FROM (SELECT r.list, k.step, \
       CASE k.step WHEN 1 THEN CAST($2 AS BIGINT) ELSE m.since END / CAST($5 AS BIGINT) AS day, \
       CASE k.step WHEN 1 THEN r.status ELSE m.status END AS status \
       FROM {rows} AS r \
       LEFT JOIN memberships AS m ON m.list = r.list AND m.contact = r.contact \
       CROSS JOIN (SELECT 1 AS step UNION ALL SELECT -1) AS k \
       WHERE r.list IN (SELECT id FROM lists WHERE organization = $4) \
       AND (k.step = 1 OR m.contact IS NOT NULL) \
       AND (m.contact IS NULL OR (m.status <> r.status \
         AND NOT (m.status = 'subscribed' AND r.status = 'unconfirmed') \
         AND (m.status <> 'unsubscribed' OR $3 = 1)))) AS c \
     GROUP BY c.list, c.day, c.status HAVING SUM(c.step) <> 0 \
     ORDER BY c.list, c.day, c.status \
     ON CONFLICT (list, day, status) DO UPDATE SET count = membership_days.count + excluded.count",
);

/// What goes with contacts that are removed, before it goes: $1 organization, $2 ids, $3 a day.
pub static COUNT_REMOVED: Statement = Statement::new(
    "INSERT INTO membership_days (list, day, status, count) \
     SELECT m.list, m.since / $3, m.status, -COUNT(*) FROM memberships AS m \
     WHERE m.contact IN (SELECT c.id FROM contacts AS c WHERE c.organization = $1 \
     AND c.id IN (SELECT id FROM {ids:2} AS wanted)) \
     GROUP BY m.list, m.since / $3, m.status ORDER BY m.list, m.since / $3, m.status \
     ON CONFLICT (list, day, status) DO UPDATE SET count = membership_days.count + excluded.count",
);

pub static MEMBER_COUNTS: Statement = Statement::new(
    "SELECT d.list, d.status, CAST(SUM(d.count) AS BIGINT) FROM lists AS l \
     JOIN membership_days AS d ON d.list = l.id WHERE l.organization = $1 \
     GROUP BY d.list, d.status HAVING SUM(d.count) > 0",
);

/// $2: the day of the chart's first step.
pub static LIST_GROWTH: Statement = Statement::new(
    "SELECT CASE WHEN day < $2 THEN -1 ELSE day - $2 END, status, CAST(SUM(count) AS BIGINT) \
     FROM membership_days WHERE list = $1 \
     GROUP BY CASE WHEN day < $2 THEN -1 ELSE day - $2 END, status HAVING SUM(count) > 0",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[&COUNT_PUT, &COUNT_REMOVED, &MEMBER_COUNTS, &LIST_GROWTH];

/// Memberships by the step in which they came to be as they are; -1: before the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrowthRow {
    pub step: i64,
    pub status: MembershipStatus,
    pub count: u64,
}

/// Before the memberships are put, with the values they are put with.
pub async fn count_put(connection: &mut Connection, mut values: Vec<Value>) -> Result<()> {
    values.push(DAY.into());
    connection.execute(&COUNT_PUT, values).await?;
    Ok(())
}

/// Before the contacts are removed.
pub async fn count_removed(connection: &mut Connection, mut values: Vec<Value>) -> Result<()> {
    values.push(DAY.into());
    connection.execute(&COUNT_REMOVED, values).await?;
    Ok(())
}

impl Store {
    pub async fn member_counts(
        &self,
        organization: OrganizationId,
    ) -> Result<Vec<(ListId, MembershipStatus, u64)>> {
        collect(self.read(&MEMBER_COUNTS, vec![organization.0.into()]).await?, |row| {
            Ok((ListId(row.int(0)?), row.parsed(1)?, row.unsigned(2)?))
        })
    }

    /// In steps of a day from `from` on.
    pub async fn list_growth(&self, list: ListId, from: Timestamp) -> Result<Vec<GrowthRow>> {
        let values = vec![list.0.into(), from.0.div_euclid(DAY).into()];
        collect(self.read(&LIST_GROWTH, values).await?, |row| {
            Ok(GrowthRow { step: row.int(0)?, status: row.parsed(1)?, count: row.unsigned(2)? })
        })
    }
}
