//! The question that a forecast answers, from what was measured.
//!
//! Owns:       which hours say how operators will answer.
//! Promises:   a forecast changes nothing, and holds up neither looks nor lanes.
//! Knows not:  who asks.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Controller, ControllerError};
use crate::model::*;
use crate::schedule::forecast::{self, Forecast, Question, Standing, Whose};
use crate::schedule::warmup::gates::ATTEMPTS_MIN;
use crate::store::SourceHour;

/// How far back is looked.
const MEASURED: Duration = Duration::from_secs(7 * 86_400);

/// Mail that somebody thinks of sending.
#[derive(Clone, Debug, Default)]
pub struct Mailing {
    pub audience: BTreeMap<OperatorId, u64>,
    /// What waits before it.
    pub backlog: BTreeMap<OperatorId, u64>,
    /// The sources that would carry it.
    pub pool: Vec<PoolMember>,
    /// Where rules lead mail to an operator elsewhere.
    pub pools: BTreeMap<OperatorId, Vec<PoolMember>>,
    pub whose: Whose,
    /// From and until when it would not be sent.
    pub closed: Vec<(Timestamp, Timestamp)>,
    /// Limits that it would have of its own.
    pub limits: Vec<Limit>,
}

impl Controller {
    /// When this mail would be sent, behind what waits; and when with one more source. None where
    /// there is no source.
    pub async fn forecast(
        &self,
        mailing: Mailing,
    ) -> Result<Option<(Forecast, Option<Forecast>)>, ControllerError> {
        let now = self.0.clock.now();
        let hours = self.0.store.source_hours(now - MEASURED).await?;
        let question = question_of(&mailing, &hours, now);
        let Mailing { pool, pools, limits: own, .. } = mailing;
        let governor = self.0.state.lock().await.governor.clone();
        let limits = self.0.limits.clone();
        // Some hundred thousand reservations: not on a thread that serves connections.
        let work = tokio::task::spawn_blocking(move || {
            let standing = || {
                let limits = limits.copied();
                own.iter().cloned().for_each(|limit| limits.put(limit));
                let (governor, pool, pools) = (governor.clone(), pool.clone(), pools.clone());
                Standing { governor, limits, pool, pools }
            };
            let told = forecast::forecast(&question, standing())?;
            let operators = question.audience.keys().copied();
            let more = forecast::forecast(&question, standing().with_one_more(operators));
            Some((told, more))
        });
        work.await.map_err(|_| ControllerError::Fault)
    }
}

/// What was measured in the last days says how operators will answer.
fn question_of(mailing: &Mailing, hours: &[SourceHour], now: Timestamp) -> Question {
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
        audience: mailing.audience.clone(),
        backlog: mailing.backlog.clone(),
        transactional: marks.iter().map(|(id, marks)| (*id, daily(marks))).collect(),
        accepted: marks
            .iter()
            .filter_map(|(id, marks)| Some(marks).filter(known).map(|marks| (*id, share(marks))))
            .collect(),
        hourly,
        whose: mailing.whose,
        closed: mailing.closed.clone(),
        begins_at: now,
    }
}
