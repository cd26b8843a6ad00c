//! Warm-up: plans write day limits, results decide how they go on.
//!
//! Owns:       the courses of all sources (and of new sending domains) at all operators.
//! Promises:   it only writes limits, of the class marketing: transactional mail never waits for
//!             it. The same code decides in the daemon, in the forecast and in the simulation.
//! Knows not:  rows, clocks, what a limit does.

pub mod calendar; // the hours of a day
pub mod course; // one warm-up
pub mod gates; // what results allow
pub mod overflow; // which source is asked first
pub mod plan; // how many mails a day

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::*;
use course::{Course, Turn};
use gates::Trouble;
use overflow::Standing;

const DAY: Duration = Duration::from_secs(86_400);

/// Whose course: what is warmed up, at which operator.
pub type Pair = (WarmSubject, OperatorId);

#[derive(Clone, Debug)]
pub struct Warmup {
    pub id: WarmupId,
    pub subject: WarmSubject,
    pub operator: OperatorId,
    /// The row that carries it out.
    pub limit: LimitId,
    pub course: Course,
}

/// What changed in one course.
#[derive(Clone, Debug)]
pub struct Step {
    pub warmup: WarmupId,
    pub pair: Pair,
    pub turn: Turn,
}

/// All courses there are.
#[derive(Clone, Debug, Default)]
pub struct Planner {
    courses: BTreeMap<Pair, Warmup>,
}

impl Planner {
    /// Takes one in, in the place of an older one of the pair.
    pub fn put(&mut self, warmup: Warmup) {
        self.courses.insert((warmup.subject, warmup.operator), warmup);
    }

    pub fn remove(&mut self, pair: Pair) -> Option<Warmup> {
        self.courses.remove(&pair)
    }

    pub fn get(&self, pair: Pair) -> Option<&Warmup> {
        self.courses.get(&pair)
    }

    pub fn get_mut(&mut self, pair: Pair) -> Option<&mut Warmup> {
        self.courses.get_mut(&pair)
    }

    pub fn all(&self) -> impl Iterator<Item = &Warmup> {
        self.courses.values()
    }

    /// Brings all courses to this moment, whose day has these bounds.
    pub fn roll(&mut self, now: Timestamp, bounds: (Timestamp, Timestamp)) -> Vec<Step> {
        let mut steps = Vec::new();
        for (pair, warmup) in &mut self.courses {
            let turns = warmup.course.roll(now, bounds);
            let step = |turn| Step { warmup: warmup.id, pair: *pair, turn };
            steps.extend(turns.into_iter().map(step));
        }
        steps
    }

    /// What was answered to a subject at an operator since the last call.
    pub fn learn(
        &mut self,
        pair: Pair,
        marks: &Marks,
        samples: &[String],
        now: Timestamp,
    ) -> Option<Step> {
        let warmup = self.courses.get_mut(&pair)?;
        let turn = warmup.course.learn(marks, samples, now)?;
        Some(Step { warmup: warmup.id, pair, turn })
    }

    /// How a source of ours stands with an operator; `relay` for another's service.
    pub fn standing(&self, pair: (SourceId, OperatorId), relay: bool, now: Timestamp) -> Standing {
        if relay {
            return Standing::Relay;
        }
        match self.courses.get(&(WarmSubject::Source(pair.0), pair.1)) {
            Some(warmup) => warmup.course.standing(now),
            None => Standing::Warm,
        }
    }
}

impl Warmup {
    pub fn scope(&self) -> LimitScope {
        let (from, who) = match self.subject {
            WarmSubject::Source(source) => (FromScope::Source(source), WhoScope::Everybody),
            WarmSubject::Domain(domain) => {
                (FromScope::Installation, WhoScope::SendingDomain(domain))
            }
        };
        let to = ToScope::Operator(self.operator);
        LimitScope { from, to, who, class: Some(StreamClass::Marketing) }
    }

    /// The row of the table of limits that says what this course allows; None when it limits
    /// nothing.
    pub fn limit(&self) -> Option<Limit> {
        let course = &self.course;
        let budget = course.budget()?;
        let today = course.today.as_ref();
        let stop = today.and_then(|today| today.stop);
        // What is stopped keeps its count: a row that was 0 for a while would count anew after it.
        let spent = today.map_or(0, |today| today.spent);
        let value = if stop.is_some() { spent.max(1) } else { budget };
        Some(Limit {
            id: self.limit,
            scope: self.scope(),
            metric: Metric::Messages,
            value,
            window: Some(DAY),
            pace: course.window.pace(),
            origin: Origin::WarmUp,
            reason: self.reason(stop),
            expires_at: None,
            pinned: false,
        })
    }

    fn reason(&self, stop: Option<Trouble>) -> String {
        let course = &self.course;
        let days = course.plan.days(course.factor, course.target);
        let day = (course.stage as u32 + 1).min(days);
        let name = &course.plan.name;
        match (course.state, stop) {
            (WarmupState::Frozen, _) if course.frozen_until.is_none() => {
                "warm-up frozen until a person resumes it".into()
            }
            (WarmupState::Frozen, _) => "warm-up frozen after three steps back".into(),
            (_, Some(trouble)) => format!("warm-up stopped for today: {}", trouble.text()),
            (WarmupState::Paused, _) => format!("warm-up paused at day {day} of {days}"),
            _ => format!("warm-up day {day} of {days}, plan {name}"),
        }
    }
}

#[cfg(test)]
mod tests;
