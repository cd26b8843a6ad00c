//! When will it be done? The planner's own code in dry run.
//!
//! Owns:       the question (an audience by operator, what waits before it), the answer.
//! Promises:   what it tells is what would be sent if operators go on answering as they did: the
//!             same plans, gates, limits and order of sources decide; it ends, with an answer or
//!             with "not within the horizon".
//! Knows not:  rows; the caller brings warm-ups, limits and rates.

mod dry_run;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use dry_run::{Counter, DryRun, Placed, Whose, Wish};

use super::governor::Governor;
use super::governor::book::{Answered, Lesson};
use super::limits::Limits;
use super::warmup::Warmup;
use super::warmup::course::Course;
use super::warmup::overflow;
use super::warmup::plan::Plan;
use crate::model::*;

/// What a new source is led to at least, where nothing says how much an operator takes.
const TARGET_MIN: u64 = 10_000;
const TICK: Duration = Duration::from_secs(900);
/// How far a forecast looks.
pub const HORIZON: Duration = Duration::from_secs(120 * 86_400);
/// Where nothing was measured: mails an hour that one source brings to one operator.
pub const HOURLY_ASSUMED: u64 = 36_000;

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Recipients at each operator.
    pub audience: BTreeMap<OperatorId, u64>,
    /// What waits before them.
    pub backlog: BTreeMap<OperatorId, u64>,
    /// Mails of the class transactional a day at each operator, which go first.
    pub transactional: BTreeMap<OperatorId, u64>,
    /// Of what is offered, the share that is accepted; 1 where nothing is known.
    pub accepted: BTreeMap<OperatorId, f64>,
    /// Mails an hour that one source has brought there; `HOURLY_ASSUMED` where nothing is known.
    pub hourly: BTreeMap<OperatorId, u64>,
    /// Whose mail the audience's is; what waits before it is anybody's.
    pub whose: Whose,
    /// From and until when the audience's mail is not sent, in order.
    pub closed: Vec<(Timestamp, Timestamp)>,
    pub begins_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorForecast {
    pub operator: OperatorId,
    pub recipients: u64,
    /// None: not within the horizon.
    pub ends_at: Option<Timestamp>,
    /// What it waited for most, in the limit's own words.
    pub bottleneck: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    pub operators: Vec<OperatorForecast>,
    pub ends_at: Option<Timestamp>,
    /// The operator that ends last, and why.
    pub bottleneck: Option<String>,
}

/// One operator on the way.
struct Left {
    before: f64,
    audience: f64,
    transactional: f64,
    share: f64,
    hourly: u64,
    ends_at: Option<Timestamp>,
    waited_for: BTreeMap<String, u64>,
}

/// Everything that decides, as it stands now. It is used up by one answer.
pub struct Standing {
    pub governor: Governor,
    /// A copy: with what is used of them already.
    pub limits: Limits,
    pub pool: Vec<PoolMember>,
    /// Where rules lead mail to an operator elsewhere.
    pub pools: BTreeMap<OperatorId, Vec<PoolMember>>,
}

impl Standing {
    /// One more source of ours, for mail to these operators: cold everywhere, as any new address
    /// is. Its plans are those of the others, or the standard one up to what the best of them has
    /// brought there on a day.
    #[must_use]
    pub fn with_one_more(mut self, operators: impl Iterator<Item = OperatorId>) -> Standing {
        // Far above those of the ledger, as ids of a dry run are.
        let new = SourceId(1 << 52);
        let mut numbers = Counter((1 << 52) - (1 << 20));
        let mut models: BTreeMap<OperatorId, Warmup> = BTreeMap::new();
        for warmup in self.governor.planner.all() {
            if matches!(warmup.subject, WarmSubject::Source(_)) {
                models.entry(warmup.operator).or_insert_with(|| warmup.clone());
            }
        }
        for operator in operators {
            if let Entry::Vacant(free) = models.entry(operator)
                && let Some(model) = self.first_days(operator)
            {
                free.insert(model);
            }
        }
        for (_, mut warmup) in models {
            use super::governor::Numbers as _;
            warmup.subject = WarmSubject::Source(new);
            (warmup.id, warmup.limit) = (numbers.warmup(), numbers.limit());
            warmup.course.restart();
            warmup.course.today = None;
            warmup.course.last_sent = None;
            self.governor.planner.put(warmup);
        }
        for pool in std::iter::once(&mut self.pool).chain(self.pools.values_mut()) {
            if let Some(other) = pool.iter().max_by_key(|member| member.weight).copied() {
                self.limits.stand_in(new, other.source);
                pool.push(PoolMember { source: new, share_max: None, ..other });
            }
        }
        self
    }

    /// Where nobody was ever warmed up.
    fn first_days(&self, operator: OperatorId) -> Option<Warmup> {
        let target = self.governor.held_at(operator).max(TARGET_MIN);
        let plan = Plan::named("standard").ok()?;
        let course = Course::new(plan, "", target, Default::default()).ok()?;
        let subject = WarmSubject::Source(SourceId::SYSTEM);
        Some(Warmup { id: WarmupId(0), subject, operator, limit: LimitId(0), course })
    }
}

/// None where there is no source at all.
pub fn forecast(question: &Question, standing: Standing) -> Option<Forecast> {
    if standing.pool.is_empty() && standing.pools.values().all(Vec::is_empty) {
        return None;
    }
    let mut run = DryRun::new(standing.governor, standing.limits, standing.pool)?;
    run.pools = standing.pools;
    let mut left: BTreeMap<OperatorId, Left> =
        question.audience.iter().map(|(id, count)| (*id, left_of(question, *id, *count))).collect();
    let mut now = question.begins_at;
    run.begin(now);
    let end = now + HORIZON;
    while now < end && left.values().any(|one| one.ends_at.is_none()) {
        run.look(now);
        let is_open = question.is_open(now);
        for (operator, one) in &mut left {
            tick(&mut run, *operator, one, (question.whose, is_open, now));
        }
        now = now + TICK;
    }
    Some(answer(question, left))
}

fn left_of(question: &Question, operator: OperatorId, audience: u64) -> Left {
    let count = |map: &BTreeMap<OperatorId, u64>| map.get(&operator).copied().unwrap_or(0);
    Left {
        before: count(&question.backlog) as f64,
        audience: audience as f64,
        transactional: count(&question.transactional) as f64 * TICK.as_secs_f64() / 86_400.0,
        share: question.accepted.get(&operator).copied().unwrap_or(1.0).clamp(0.01, 1.0),
        hourly: question.hourly.get(&operator).copied().unwrap_or(HOURLY_ASSUMED).max(1),
        ends_at: (audience == 0).then_some(question.begins_at),
        waited_for: BTreeMap::new(),
    }
}

impl Question {
    fn is_open(&self, now: Timestamp) -> bool {
        !self.closed.iter().any(|(from, until)| *from <= now && now < *until)
    }
}

/// What its sources bring there together, each as much as it did, and a cold one no more than its
/// day.
fn pace_of(run: &DryRun, operator: OperatorId, hourly: u64, now: Timestamp) -> f64 {
    let each = hourly as f64 * TICK.as_secs_f64() / 3600.0;
    let of = |member: &PoolMember| match run.governor.standing(member.source, operator, now) {
        overflow::Standing::Cold { left, .. } => each.min(left as f64),
        overflow::Standing::Strained => 0.0,
        overflow::Standing::Warm | overflow::Standing::Relay => each,
    };
    run.members(operator).iter().map(of).sum()
}

fn tick(
    run: &mut DryRun,
    operator: OperatorId,
    one: &mut Left,
    (whose, is_open, now): (Whose, bool, Timestamp),
) {
    let mut pace = pace_of(run, operator, one.hourly, now) - one.transactional;
    let class = StreamClass::Transactional;
    let due = one.transactional.round() as u64;
    run.whose = Whose::default();
    send(run, one, Wish { class, operator, count: due, now, within: TICK });
    if run.members(operator).is_empty() {
        *one.waited_for.entry("no source of its pool may send".into()).or_default() += 1;
    }
    // At least one, so that whoever stops it is asked.
    pace = pace.max(1.0);
    while one.ends_at.is_none() && pace >= 1.0 {
        let is_before = one.before >= 0.5;
        if !is_before && !is_open {
            *one.waited_for.entry("the hours in which it is sent".into()).or_default() += 1;
            break;
        }
        run.whose = if is_before { Whose::default() } else { whose };
        let waiting = if is_before { one.before } else { one.audience };
        let count = waiting.min(pace).ceil() as u64;
        let wish = Wish { class: StreamClass::Marketing, operator, count, now, within: TICK };
        let sent = send(run, one, wish);
        if sent == 0 {
            break;
        }
        pace -= sent as f64;
        // What is not accepted at once is mail that is tried again, or that does not exist.
        let done = sent as f64;
        if is_before {
            one.before -= done;
        } else {
            one.audience -= done;
        }
        if one.audience < 0.5 {
            one.ends_at = Some(now + TICK);
        }
    }
}

/// Returns how many found a place.
fn send(run: &mut DryRun, one: &mut Left, wish: Wish) -> u64 {
    if wish.count == 0 {
        return 0;
    }
    let Some(placed) = run.place(&wish) else {
        if wish.class == StreamClass::Marketing {
            for denial in &run.denied {
                *one.waited_for.entry(kind_of(denial)).or_default() += 1;
            }
        }
        return 0;
    };
    let accepted = (placed.count as f64 * one.share).round() as u64;
    let refused = Answered::Refused { signal: Signal::None, for_good: false };
    for (answer, count) in [(Answered::Accepted, accepted), (refused, placed.count - accepted)] {
        if count > 0 {
            run.tell(&Lesson {
                source: placed.source,
                operator: wish.operator,
                site: None,
                class: wish.class,
                campaign: run.whose.campaign,
                sending_domain: run.whose.sending_domain,
                answer,
                count,
                sample: None,
            });
        }
    }
    placed.count
}

/// A warm-up's reason names its day, which changes; its plan does not.
fn kind_of(denial: &Denial) -> String {
    let from = match denial.scope.from {
        FromScope::Source(source) => format!(" of source {source}"),
        _ => String::new(),
    };
    match denial.origin {
        Origin::WarmUp => format!("the warm-up{from}"),
        _ => format!("{}{from}", denial.reason),
    }
}

fn answer(question: &Question, left: BTreeMap<OperatorId, Left>) -> Forecast {
    let mut operators = Vec::with_capacity(left.len());
    for (operator, one) in left {
        let most = one.waited_for.into_iter().max_by_key(|(_, times)| *times);
        operators.push(OperatorForecast {
            operator,
            recipients: question.audience.get(&operator).copied().unwrap_or(0),
            ends_at: one.ends_at,
            bottleneck: most.map(|(reason, _)| reason),
        });
    }
    let never = operators.iter().any(|one| one.ends_at.is_none());
    let last = operators.iter().max_by_key(|one| one.ends_at.map_or(i64::MAX, |at| at.0));
    Forecast {
        ends_at: last.filter(|_| !never).and_then(|one| one.ends_at),
        bottleneck: last.and_then(|one| one.bottleneck.clone()),
        operators,
    }
}

#[cfg(test)]
mod tests;
