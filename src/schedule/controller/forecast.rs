//! The question that a forecast answers, from what was measured.
//!
//! Owns:       which hours say how operators will answer.
//! Promises:   a forecast changes nothing, and holds up neither looks nor lanes.
//! Knows not:  who asks.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Controller, ControllerError};
use crate::model::*;
use crate::schedule::forecast::{self, Forecast, Question, Standing};
use crate::schedule::warmup::gates::ATTEMPTS_MIN;
use crate::store::SourceHour;

/// How far back is looked.
const MEASURED: Duration = Duration::from_secs(7 * 86_400);

impl Controller {
    /// When mail to this audience would be sent by these sources, behind what waits; and when with
    /// one more source. None where there is no source.
    pub async fn forecast(
        &self,
        audience: BTreeMap<OperatorId, u64>,
        backlog: BTreeMap<OperatorId, u64>,
        pool: Vec<PoolMember>,
    ) -> Result<Option<(Forecast, Option<Timestamp>)>, ControllerError> {
        let now = self.0.clock.now();
        let hours = self.0.store.source_hours(now - MEASURED).await?;
        let question = question_of(audience, backlog, &hours, now);
        let governor = self.0.state.lock().await.governor.clone();
        let limits = self.0.limits.clone();
        // Some hundred thousand reservations: not on a thread that serves connections.
        let work = tokio::task::spawn_blocking(move || {
            let standing = || Standing {
                governor: governor.clone(),
                limits: limits.copied(),
                pool: pool.clone(),
            };
            let told = forecast::forecast(&question, standing())?;
            let more = forecast::forecast(&question, standing().with_one_more());
            Some((told, more.and_then(|told| told.ends_at)))
        });
        work.await.map_err(|_| ControllerError::Fault)
    }
}

/// What was measured in the last days says how operators will answer.
fn question_of(
    audience: BTreeMap<OperatorId, u64>,
    backlog: BTreeMap<OperatorId, u64>,
    hours: &[SourceHour],
    now: Timestamp,
) -> Question {
    let mut marks: BTreeMap<OperatorId, Marks> = BTreeMap::new();
    let mut hourly: BTreeMap<OperatorId, u64> = BTreeMap::new();
    for hour in hours {
        marks.entry(hour.operator).or_default().add(&hour.marks);
        let most = hourly.entry(hour.operator).or_insert(forecast::HOURLY_ASSUMED);
        *most = hour.marks.accepted.max(*most);
    }
    let first = hours.first().map_or(now, |hour| hour.hour);
    let days = (now.since(first).as_secs_f64() / 86_400.0).max(1.0);
    let daily = |marks: &Marks| (marks.transactional as f64 / days) as u64;
    let known = |marks: &&Marks| marks.offered >= ATTEMPTS_MIN;
    let share = |marks: &Marks| marks.accepted as f64 / marks.offered as f64;
    Question {
        audience,
        backlog,
        transactional: marks.iter().map(|(id, marks)| (*id, daily(marks))).collect(),
        accepted: marks
            .iter()
            .filter_map(|(id, marks)| Some(marks).filter(known).map(|marks| (*id, share(marks))))
            .collect(),
        hourly,
        begins_at: now,
    }
}
