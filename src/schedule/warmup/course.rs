//! The course of one warm-up: a plan as the ceiling, results as the governor.
//!
//! Owns:       the stage, the day's budget, the verdict of each day.
//! Promises:   a day without mail changes nothing but the calendar; a volume that was not accepted
//!             is not exceeded the next day; trouble is acted on the moment it is plain; a frozen
//!             course has a moment at which it thaws.
//! Knows not:  rows, clocks, who sends. A course is the same in the daemon, the forecast and the
//!             simulation.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::calendar::{Day, Window};
use super::gates::Trouble;
use super::overflow::Standing;
use super::plan::{Plan, PlanError};
use crate::model::*;
use crate::schedule::adaptive::HUSH;

/// Stages that a clean day is worth at most, and at least.
const PACE_MAX: f64 = 1.0;
const PACE_MIN: f64 = 0.25;
/// What a clean day gives back of a pace that trouble had cut.
const PACE_RECOVERY: f64 = 1.5;
/// Of the volume that was refused for reputation: where the next day begins.
const BACK_SHARE: f64 = 0.5;
/// A day cut short says little of its later hours: the volume is not cut below this part at once.
const CUT_FLOOR: f64 = 0.25;
/// Steps back within `BACKS_WITHIN` that freeze.
const BACKS_MAX: usize = 3;
const BACKS_WITHIN: Duration = Duration::from_secs(7 * 86_400);
const THAWS_AFTER: Duration = Duration::from_secs(48 * 3600);
/// Clean days at the target that end a warm-up.
const FULL_DAYS: u32 = 3;
const HOUR_SECONDS: i64 = 3600;
/// Of what a pair has held on a day: what transactional mail may use of it without finding out what
/// the operator makes of more.
const SAFE_SHARE: f64 = 0.6;
/// A pair that sent nothing for so long is warmed up again, from half of what it held before,
/// and half of that for each further week.
pub const IDLE_AFTER: Duration = Duration::from_secs(21 * 86_400);
const IDLE_HALVES: Duration = Duration::from_secs(7 * 86_400);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Course {
    pub plan: Plan,
    /// The plan's factor for this operator.
    pub factor: f64,
    /// Mails a day at the end of the plan.
    pub target: u64,
    pub window: Window,
    pub state: WarmupState,
    pub frozen_until: Option<Timestamp>,
    pub stage: f64,
    pub pace: f64,
    /// Days that counted.
    pub send_days: u32,
    /// The most that was accepted on a day without trouble.
    pub proven: u64,
    pub full_days: u32,
    pub last_sent: Option<Timestamp>,
    pub backs: Vec<Timestamp>,
    pub today: Option<Today>,
    /// A person has taken something back: no gate closes in the middle of a day before.
    #[serde(default)]
    pub hushed_until: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Today {
    pub day: Day,
    pub cap: u64,
    pub marks: Marks,
    pub stop: Option<Trouble>,
    /// Offered before it was stopped.
    pub spent: u64,
    pub samples: Vec<String>,
    /// Offered in the hour that begins then.
    #[serde(default)]
    pub hour: (Timestamp, u64),
}

/// What a day came to, or what happened in its middle.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    pub rule: DecisionRule,
    pub verdict: Option<WarmupVerdict>,
    pub cause: String,
    pub before: u64,
    pub after: u64,
    pub marks: Marks,
    pub samples: Vec<String>,
    /// The day that ended, for a turn at its end.
    pub day: Option<Day>,
}

impl Today {
    fn stop_for(&mut self, trouble: Trouble) {
        self.stop = Some(trouble);
        self.spent = self.marks.offered;
    }

    fn note(&mut self, marks: &Marks, now: Timestamp) {
        self.marks.add(marks);
        self.hour = (hour_of(now), self.offered_this_hour(now) + marks.offered);
    }

    fn offered_this_hour(&self, now: Timestamp) -> u64 {
        if self.hour.0 == hour_of(now) { self.hour.1 } else { 0 }
    }

    /// Of the sending window; at least one.
    fn hours(&self) -> f64 {
        (self.day.closes.since(self.day.opens).as_secs_f64() / HOUR_SECONDS as f64).max(1.0)
    }

    /// The part of the sending window that has passed.
    fn passed(&self, now: Timestamp) -> f64 {
        let window = self.day.closes.since(self.day.opens).as_secs_f64().max(1.0);
        (now.since(self.day.opens).as_secs_f64() / window).min(1.0)
    }
}

fn hour_of(now: Timestamp) -> Timestamp {
    Timestamp::from_seconds(now.seconds().div_euclid(HOUR_SECONDS) * HOUR_SECONDS)
}

impl Course {
    pub fn new(
        plan: Plan,
        operator: &str,
        target: u64,
        window: Window,
    ) -> Result<Course, PlanError> {
        plan.check()?;
        if target == 0 {
            return Err(PlanError::Target);
        }
        Ok(Course {
            factor: plan.factor_of(operator),
            plan,
            target,
            window,
            state: WarmupState::Running,
            frozen_until: None,
            stage: 0.0,
            pace: PACE_MAX,
            send_days: 0,
            proven: 0,
            full_days: 0,
            last_sent: None,
            backs: Vec::new(),
            today: None,
            hushed_until: Timestamp::default(),
        })
    }

    /// Mails a day at the present stage.
    pub fn cap(&self) -> u64 {
        self.plan.cap_at(self.stage, self.factor, self.target)
    }

    /// Mails of marketing that today may carry; None when nothing is limited.
    pub fn budget(&self) -> Option<u64> {
        match self.state {
            WarmupState::Stopped => None,
            WarmupState::Frozen => Some(0),
            _ if self.today.as_ref().is_some_and(|today| today.stop.is_some()) => Some(0),
            WarmupState::Finished => None,
            WarmupState::Running | WarmupState::Paused => Some(self.cap()),
        }
    }

    /// Mails that transactional mail may add now to what was offered today: this pair has held so
    /// many before, with a margin, in the part of the day that has passed and in an hour of it.
    /// Operators count by the hour too, and what a day has not used is no leave for a burst.
    fn safe_now(&self, today: &Today, now: Timestamp) -> u64 {
        let held = self.proven.min(self.cap()) as f64 * SAFE_SHARE;
        let of_day = (held * today.passed(now)) as u64;
        let of_hour = (held / today.hours()) as u64;
        let left = of_day.saturating_sub(today.marks.offered);
        left.min(of_hour.saturating_sub(today.offered_this_hour(now)))
    }

    pub fn standing(&self, now: Timestamp) -> Standing {
        let Some(today) = &self.today else { return Standing::Warm };
        if today.stop.is_some_and(|trouble| trouble >= Trouble::Deferrals) {
            return Standing::Strained;
        }
        match self.budget() {
            None => Standing::Warm,
            Some(budget) => Standing::Cold {
                left: budget.saturating_sub(today.marks.offered),
                safe: self.safe_now(today, now),
            },
        }
    }

    /// Brings the course to this moment, whose day has these bounds: a day that ended is judged, a
    /// new one begins.
    pub fn roll(&mut self, now: Timestamp, bounds: (Timestamp, Timestamp)) -> Vec<Turn> {
        let mut turns = Vec::new();
        if let Some(today) = self.today.take_if(|today| today.day.end <= now) {
            turns.extend(self.judge(today));
        }
        if self.state == WarmupState::Frozen && self.frozen_until.is_some_and(|end| end <= now) {
            self.state = WarmupState::Running;
            self.frozen_until = None;
            turns.push(self.turn(DecisionRule::WarmupThaw, "the freeze is over".into(), 0));
        }
        turns.extend(self.rewarm_after_idle(now));
        if self.today.is_none() && self.state != WarmupState::Stopped {
            let day = self.window.on(bounds);
            let cap = self.cap();
            let marks = Marks::default();
            let (stop, spent, samples, hour) = Default::default();
            self.today = Some(Today { day, cap, marks, stop, spent, samples, hour });
        }
        turns
    }

    /// Takes in what was answered today, after `roll`.
    pub fn learn(&mut self, marks: &Marks, samples: &[String], now: Timestamp) -> Option<Turn> {
        if marks.offered > 0 {
            self.last_sent = Some(now);
        }
        let today = self.today.as_mut()?;
        today.note(marks, now);
        let places = DECISION_SAMPLES_MAX.saturating_sub(today.samples.len());
        today.samples.extend(samples.iter().take(places).cloned());
        if today.stop.is_some() || now < self.hushed_until {
            return None;
        }
        let trouble = self.plan.gates.stops(&today.marks)?;
        match self.state {
            WarmupState::Running => {
                today.stop_for(trouble);
                let cause = format!("{}: no more today", trouble.text());
                Some(self.turn(DecisionRule::WarmupStop, cause, self.cap()))
            }
            // Bad recipients and complaints of one list are no lost standing, yet.
            WarmupState::Finished if trouble < Trouble::Deferrals => {
                today.stop_for(trouble);
                let cause = format!("{}: no more today", trouble.text());
                Some(self.turn(DecisionRule::WarmupStop, cause, self.target))
            }
            // A source that was warm lost its standing: it is warmed up again.
            WarmupState::Finished => {
                today.stop_for(trouble);
                self.state = WarmupState::Running;
                self.full_days = 0;
                let cause = format!("{}: warmed up again", trouble.text());
                Some(self.turn(DecisionRule::Rewarm, cause, self.target))
            }
            _ => None,
        }
    }

    fn turn(&self, rule: DecisionRule, cause: String, before: u64) -> Turn {
        let today = self.today.as_ref();
        Turn {
            rule,
            verdict: None,
            cause,
            before,
            after: self.budget().unwrap_or(self.target),
            marks: today.map(|today| today.marks).unwrap_or_default(),
            samples: today.map(|today| today.samples.clone()).unwrap_or_default(),
            day: None,
        }
    }

    /// The end of a day.
    fn judge(&mut self, today: Today) -> Option<Turn> {
        if today.marks.offered == 0 || self.state == WarmupState::Stopped {
            return None;
        }
        let before = today.cap;
        let (verdict, cause) = self.verdict(&today);
        Some(Turn {
            rule: if verdict == WarmupVerdict::Freeze {
                DecisionRule::WarmupFreeze
            } else {
                DecisionRule::WarmupDay
            },
            verdict: Some(verdict),
            cause,
            before,
            after: self.budget().unwrap_or(self.target),
            marks: today.marks,
            samples: today.samples,
            day: Some(today.day),
        })
    }

    fn verdict(&mut self, today: &Today) -> (WarmupVerdict, String) {
        let gates = &self.plan.gates;
        let marks = &today.marks;
        let blocks = today.stop == Some(Trouble::Blocks);
        let back = if blocks { Some(Trouble::Blocks) } else { gates.steps_back(marks) };
        if self.state != WarmupState::Running {
            return (WarmupVerdict::Hold, format!("it is {}", self.state));
        }
        if let Some(trouble) = back {
            return self.step_back(today, trouble);
        }
        if let Some(trouble) = today.stop.or_else(|| gates.holds(marks)) {
            if trouble == Trouble::Deferrals {
                // What was accepted is what the operator holds for right, today.
                let floor = (today.cap as f64 * CUT_FLOOR) as u64;
                self.fall_to(marks.accepted.max(floor));
                self.pace = (self.pace / 2.0).max(PACE_MIN);
            }
            return (WarmupVerdict::Hold, trouble.text().to_owned());
        }
        if (marks.accepted as f64) < gates.volume * today.cap as f64 {
            let cause = format!("only {} of {} were accepted", marks.accepted, today.cap);
            return (WarmupVerdict::Hold, cause);
        }
        self.advance(today)
    }

    fn advance(&mut self, today: &Today) -> (WarmupVerdict, String) {
        self.send_days += 1;
        self.proven = self.proven.max(today.marks.accepted);
        if today.cap >= self.target {
            self.full_days += 1;
            if self.full_days >= FULL_DAYS {
                self.state = WarmupState::Finished;
                return (WarmupVerdict::Advance, "the target is reached and held".into());
            }
        }
        self.stage += self.pace;
        self.pace = (self.pace * PACE_RECOVERY).min(PACE_MAX);
        (WarmupVerdict::Advance, format!("send-day {} was clean", self.send_days))
    }

    fn step_back(&mut self, today: &Today, trouble: Trouble) -> (WarmupVerdict, String) {
        let held = if trouble >= Trouble::Deferrals {
            today.marks.accepted.max((today.cap as f64 * 2.0 * CUT_FLOOR) as u64)
        } else {
            today.cap
        };
        self.fall_to((held as f64 * BACK_SHARE) as u64);
        self.pace = (self.pace / 2.0).max(PACE_MIN);
        self.proven = self.proven.min(self.cap());
        let end = today.day.end;
        self.backs.retain(|at| end.since(*at) < BACKS_WITHIN);
        self.backs.push(end);
        if self.backs.len() < BACKS_MAX {
            return (WarmupVerdict::StepBack, trouble.text().to_owned());
        }
        self.backs.clear();
        self.state = WarmupState::Frozen;
        self.frozen_until = Some(end + THAWS_AFTER);
        let cause = format!("{}, for the third time within a week", trouble.text());
        (WarmupVerdict::Freeze, cause)
    }

    /// Never up.
    fn fall_to(&mut self, volume: u64) {
        self.stage = self.plan.stage_of(volume, self.factor).min(self.stage);
        self.full_days = 0;
    }

    fn rewarm_after_idle(&mut self, now: Timestamp) -> Option<Turn> {
        let idle = now.since(self.last_sent?);
        let warms = matches!(self.state, WarmupState::Running | WarmupState::Finished);
        if idle < IDLE_AFTER || !warms {
            return None;
        }
        let before = self.budget().unwrap_or(self.target);
        let weeks = (idle - IDLE_AFTER).as_secs_f64() / IDLE_HALVES.as_secs_f64();
        let left = self.proven as f64 * 0.5f64.powf(1.0 + weeks);
        let fallen = self.plan.stage_of(left as u64, self.factor);
        if self.state == WarmupState::Running && fallen >= self.stage {
            return None;
        }
        self.stage = fallen;
        self.state = WarmupState::Running;
        self.full_days = 0;
        // Counted anew from here, so that one sleep is acted on step by step and not every second.
        self.proven = left as u64;
        self.last_sent = Some(now - IDLE_AFTER + IDLE_HALVES);
        let cause = format!("nothing was sent for {} days", idle.as_secs() / 86_400);
        Some(self.turn(DecisionRule::Rewarm, cause, before))
    }
}

/// By hand.
impl Course {
    /// What is frozen carries nothing while it is paused either: it stays so without an end.
    pub fn pause(&mut self) {
        match self.state {
            WarmupState::Running => self.state = WarmupState::Paused,
            WarmupState::Frozen => self.frozen_until = None,
            WarmupState::Paused | WarmupState::Finished | WarmupState::Stopped => {}
        }
    }

    /// Nothing more until a person says so.
    pub fn freeze(&mut self) {
        if self.state != WarmupState::Stopped {
            (self.state, self.frozen_until) = (WarmupState::Frozen, None);
        }
    }

    /// Out of a person's hand: rules go on, or it is frozen until then.
    pub fn release(&mut self, frozen_until: Option<Timestamp>) {
        if matches!(self.state, WarmupState::Paused | WarmupState::Frozen) {
            let is_frozen = frozen_until.is_some();
            self.state = if is_frozen { WarmupState::Frozen } else { WarmupState::Running };
            self.frozen_until = frozen_until;
        }
    }

    pub fn resume(&mut self) {
        if matches!(self.state, WarmupState::Paused | WarmupState::Frozen) {
            self.state = WarmupState::Running;
            self.frozen_until = None;
            if let Some(today) = &mut self.today {
                today.stop = None;
                today.marks = Marks::default();
            }
        }
    }

    /// On to a later (or earlier) stage without waiting for results.
    pub fn skip(&mut self, stages: i32) {
        self.stage = (self.stage + f64::from(stages)).clamp(0.0, 3660.0);
        self.reopen();
    }

    pub fn restart(&mut self) {
        *self = Course {
            stage: 0.0,
            pace: PACE_MAX,
            send_days: 0,
            proven: 0,
            full_days: 0,
            backs: Vec::new(),
            state: WarmupState::Running,
            frozen_until: None,
            ..self.clone()
        };
        self.reopen();
    }

    pub fn stop(&mut self) {
        self.state = WarmupState::Stopped;
        self.today = None;
    }

    /// When what this rule has decided is over by itself.
    pub fn ends_at(&self, rule: DecisionRule, now: Timestamp) -> Option<Timestamp> {
        match rule {
            DecisionRule::WarmupFreeze => self.frozen_until,
            DecisionRule::Rewarm => {
                let days = f64::from(self.plan.days(self.factor, self.target) + FULL_DAYS);
                let left = (days - self.stage).max(1.0);
                Some(now + Duration::from_secs(86_400).mul_f64(left))
            }
            _ => self.today.as_ref().map(|today| today.day.end),
        }
    }

    /// Takes a decision of one of the warm-up's rules back.
    pub fn undo(&mut self, rule: DecisionRule, before: Option<u64>, now: Timestamp) {
        self.hushed_until = now + HUSH;
        match rule {
            DecisionRule::WarmupStop | DecisionRule::WarmupFreeze => {
                if self.state == WarmupState::Frozen {
                    self.state = WarmupState::Running;
                    self.frozen_until = None;
                }
                if let Some(today) = &mut self.today {
                    today.stop = None;
                    today.marks = Marks::default();
                }
            }
            DecisionRule::WarmupThaw => self.freeze(),
            DecisionRule::Rewarm => {
                self.state = WarmupState::Finished;
                if let Some(today) = &mut self.today {
                    today.stop = None;
                }
            }
            _ => self.stage = self.plan.stage_of(before.unwrap_or(0), self.factor),
        }
        self.reopen();
    }

    fn reopen(&mut self) {
        let cap = self.cap();
        if let Some(today) = &mut self.today {
            today.cap = cap;
        }
    }
}
