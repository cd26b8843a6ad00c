//! Who opened and clicked what is forgotten after a while; counts stay.
//!
//! Owns:       the column `tracking_days` of organizations, the end of readers' events.
//! Promises:   only what was counted goes; reports stay as they are.
//! Knows not:  when it is time to look.

use crate::model::*;

use super::changes::RowWrite;
use super::dialect::{Statement, json_ids};
use super::error::Result;
use super::{Store, collect};

pub static TRACKING_DAYS: Statement =
    Statement::new("SELECT tracking_days FROM organizations WHERE id = $1");
pub static SET_TRACKING_DAYS: Statement =
    Statement::new("UPDATE organizations SET tracking_days = $2 WHERE id = $1");
pub static TRACKING_LIMITS: Statement = Statement::new(
    "SELECT id, tracking_days FROM organizations WHERE tracking_days IS NOT NULL ORDER BY id",
);
/// Events of readers behind $2, older than $3, that are counted.
pub static OLD_READINGS: Statement = Statement::new(
    "SELECT e.id FROM events AS e WHERE e.organization = $1 AND e.id > $2 AND e.at < $3 \
     AND e.kind IN ('opened', 'clicked') \
     AND e.id <= (SELECT event FROM campaign_counted WHERE id = 1) ORDER BY e.id LIMIT $4",
);
pub static FORGET_READINGS: Statement =
    Statement::new("DELETE FROM events WHERE id IN (SELECT id FROM {ids:1} AS gone)");
pub static FORGET_READERS: Statement = Statement::new(
    "UPDATE campaign_readers SET contact = NULL WHERE contact IS NOT NULL \
     AND COALESCE(first_open_at, first_click_at) < $2 \
     AND campaign IN (SELECT c.id FROM campaigns AS c WHERE c.organization = $1)",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &TRACKING_DAYS,
    &SET_TRACKING_DAYS,
    &TRACKING_LIMITS,
    &OLD_READINGS,
    &FORGET_READINGS,
    &FORGET_READERS,
];

impl Store {
    /// None: for good.
    pub async fn tracking_days(&self, organization: OrganizationId) -> Result<Option<u32>> {
        let row = self.database().fetch_one(&TRACKING_DAYS, vec![organization.0.into()]).await?;
        Ok(row.maybe_int(0)?.and_then(|days| u32::try_from(days).ok()))
    }

    pub async fn set_tracking_days(
        &self,
        organization: OrganizationId,
        days: Option<u32>,
    ) -> Result<()> {
        let values = vec![organization.0.into(), days.map(i64::from).into()];
        self.write(vec![RowWrite::new(&SET_TRACKING_DAYS, values)]).await?;
        Ok(())
    }

    /// Organizations that want it forgotten, and after how many days.
    pub async fn tracking_limits(&self) -> Result<Vec<(OrganizationId, u32)>> {
        collect(self.read(&TRACKING_LIMITS, vec![]).await?, |row| {
            let days = u32::try_from(row.int(1)?).unwrap_or(u32::MAX);
            Ok((OrganizationId(row.int(0)?), days))
        })
    }

    /// Forgets readers' events behind `after` that are older than `before`: at most `limit`, and
    /// the last of them. None when there was none.
    pub async fn forget_readings(
        &self,
        organization: OrganizationId,
        after: EventId,
        before: Timestamp,
        limit: u32,
    ) -> Result<Option<EventId>> {
        let values =
            vec![organization.0.into(), after.0.into(), before.0.into(), i64::from(limit).into()];
        let found = collect(self.read(&OLD_READINGS, values).await?, |row| row.int(0))?;
        let Some(last) = found.last().copied() else { return Ok(None) };
        let ids = json_ids(found);
        self.write(vec![RowWrite::new(&FORGET_READINGS, vec![ids.into()])]).await?;
        Ok(Some(EventId(last)))
    }

    /// Campaigns go on counting who has opened and clicked, and know no more who it was.
    pub async fn forget_readers(
        &self,
        organization: OrganizationId,
        before: Timestamp,
    ) -> Result<i64> {
        let values = vec![organization.0.into(), before.0.into()];
        self.write(vec![RowWrite::new(&FORGET_READERS, values)]).await
    }
}
