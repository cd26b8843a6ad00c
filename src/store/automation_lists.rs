//! Ways through automations as people look at them.
//!
//! Owns:       no table: it reads what `automation_runs` writes.
//! Promises:   lists come in pages.
//! Knows not:  steps, what is sent.

use crate::model::*;

use super::automation_runs::small;
use super::database::Row;
use super::dialect::Statement;
use super::error::Result;
use super::narrow::Narrowed;
use super::{Store, collect};

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct RunRow {
    pub id: RunId,
    pub contact: ContactId,
    pub email: Option<String>,
    pub version: u64,
    pub state: RunState,
    /// The step that comes next, from 0.
    pub step: u32,
    pub wake_at: Timestamp,
    pub reason: Option<RunEnd>,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

/// What a step of a version has done how often.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct StepCount {
    pub version: u64,
    /// From 0.
    pub step: u32,
    pub did: StepDone,
    pub count: u64,
}

macro_rules! runs {
    ($where:literal) => {
        Statement::new(concat!(
            "SELECT u.id, u.contact, c.email, u.version, u.state, u.step, u.wake_at, u.reason, \
             u.started_at, u.ended_at FROM automation_runs AS u \
             LEFT JOIN contacts AS c ON c.id = u.contact WHERE ",
            $where,
            " AND (u.id < $2 OR $2 = 0) ORDER BY u.id DESC LIMIT $3"
        ))
    };
}
pub static RUNS: Statement = runs!(
    "u.automation = $1 AND LOWER(COALESCE(c.email, '')) LIKE $4 ESCAPE '!' \
     AND ($5 = '' OR u.state = $5)"
);
pub static RUNS_OF_CONTACT: Statement = runs!("u.contact = $1");
pub static STEP_COUNTS: Statement = Statement::new(
    "SELECT version, step, did, count FROM automation_counts WHERE automation = $1 \
     ORDER BY version, step, did",
);
/// Where those stand who are in it now.
pub static STANDING: Statement = Statement::new(
    "SELECT version, step, COUNT(*) FROM automation_runs \
     WHERE automation = $1 AND state = 'waiting' GROUP BY version, step ORDER BY version, step",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[&RUNS, &RUNS_OF_CONTACT, &STEP_COUNTS, &STANDING];

impl Store {
    /// Newest first, older than `before` (0: all).
    pub async fn runs(
        &self,
        automation: AutomationId,
        before: RunId,
        limit: u32,
        narrowed: &Narrowed,
    ) -> Result<Vec<RunRow>> {
        let mut values = vec![automation.0.into(), before.0.into(), i64::from(limit).into()];
        narrowed.put_to(&mut values);
        collect(self.read(&RUNS, values).await?, run)
    }

    pub async fn runs_of_contact(&self, contact: ContactId, limit: u32) -> Result<Vec<RunRow>> {
        let values = vec![contact.0.into(), 0.into(), i64::from(limit).into()];
        collect(self.read(&RUNS_OF_CONTACT, values).await?, run)
    }

    pub async fn step_counts(&self, automation: AutomationId) -> Result<Vec<StepCount>> {
        collect(self.read(&STEP_COUNTS, vec![automation.0.into()]).await?, |row| {
            Ok(StepCount {
                version: row.unsigned(0)?,
                step: small(row.int(1)?)?,
                did: row.parsed(2)?,
                count: row.unsigned(3)?,
            })
        })
    }

    /// How many wait before which step of which version.
    pub async fn runs_standing(&self, automation: AutomationId) -> Result<Vec<(u64, u32, u64)>> {
        collect(self.read(&STANDING, vec![automation.0.into()]).await?, |row| {
            Ok((row.unsigned(0)?, small(row.int(1)?)?, row.unsigned(2)?))
        })
    }
}

fn run(row: &Row) -> Result<RunRow> {
    Ok(RunRow {
        id: RunId(row.int(0)?),
        contact: ContactId(row.int(1)?),
        email: row.maybe_text(2)?,
        version: row.unsigned(3)?,
        state: row.parsed(4)?,
        step: small(row.int(5)?)?,
        wake_at: Timestamp(row.int(6)?),
        reason: row.maybe_parsed(7)?,
        started_at: Timestamp(row.int(8)?),
        ended_at: row.maybe_int(9)?.map(Timestamp),
    })
}
