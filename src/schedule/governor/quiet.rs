//! Pairs that are not warmed up: what each of them holds, and what ends that.
//!
//! Owns:       how much a source without a warm-up brings to an operator on a day.
//! Promises:   one that loses its standing, or that has slept, is warmed up again from what it
//!             held, after a restart too; a relay never is.
//! Knows not:  rows: what was there before a start is handed in.

use super::{Governor, Numbers, SourcePair, Thoughts};
use crate::model::*;
use crate::schedule::governor::book::PairSum;
use crate::schedule::warmup::course::{Course, IDLE_AFTER};
use crate::schedule::warmup::gates::{Gates, Trouble};
use crate::schedule::warmup::plan::Plan;
use crate::schedule::warmup::{Step, Warmup};
use crate::store::{SourceHour, SourcePeak};

/// Who never brought so many on a day has nothing to be led back to.
const PEAK_MIN: u64 = 100;
/// Pairs that begin in one look; the others do in the next ones.
const BEGUN_AT_ONCE: usize = 500;

/// The day of a pair that is not warmed up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quiet {
    day: Timestamp,
    today: Marks,
    /// The most accepted on a day.
    peak: u64,
    last_sent: Timestamp,
}

impl Quiet {
    fn turn_to(&mut self, day: Timestamp) {
        if self.day != day {
            self.peak = self.peak.max(self.today.accepted);
            (self.day, self.today) = (day, Marks::default());
        }
    }

    fn add(&mut self, marks: &Marks, at: Timestamp) {
        self.today.add(marks);
        if marks.offered > 0 {
            self.last_sent = self.last_sent.max(at);
        }
    }

    fn held(&self) -> u64 {
        self.peak.max(self.today.accepted)
    }
}

impl Governor {
    /// Ours that may send: those that are warmed up again when they have slept.
    pub fn set_own(&mut self, own: std::collections::HashSet<SourceId>) {
        self.own = own;
    }

    /// After a start: what each pair has held on its best day, and the hours of the day that began
    /// with `today`.
    pub fn remember(&mut self, peaks: &[SourcePeak], today: Timestamp, hours: &[SourceHour]) {
        for one in peaks {
            let quiet = self.quiet.entry((one.source, one.operator)).or_default();
            (quiet.day, quiet.peak, quiet.last_sent) = (today, one.accepted, one.last_hour);
        }
        for hour in hours {
            let quiet = self.quiet.entry((hour.source, hour.operator)).or_default();
            quiet.turn_to(today);
            quiet.add(&hour.marks, hour.hour);
        }
    }

    /// The most that a source without a warm-up has brought to an operator on a day.
    pub fn held_at(&self, operator: OperatorId) -> u64 {
        let there = self.quiet.iter().filter(|((_, at), _)| *at == operator);
        there.map(|(_, quiet)| quiet.held()).max().unwrap_or(0)
    }

    /// A source that was never warmed up here: when it loses its standing, it is.
    pub(super) fn learn_quiet(
        &mut self,
        pair: SourcePair,
        sum: &PairSum,
        (now, bounds): (Timestamp, (Timestamp, Timestamp)),
        numbers: &mut dyn Numbers,
        thoughts: &mut Thoughts,
    ) {
        if self.relays.contains(&pair.0) {
            return;
        }
        let quiet = self.quiet.entry(pair).or_default();
        quiet.turn_to(bounds.0);
        quiet.add(&sum.marks, now);
        let (today, held) = (quiet.today, quiet.held().max(PEAK_MIN));
        let trouble = Gates::default().stops(&today);
        let Some(trouble) = trouble.filter(|trouble| *trouble >= Trouble::Deferrals) else {
            return;
        };
        self.quiet.remove(&pair);
        let Some(mut course) = course_from(held) else { return };
        course.roll(now, bounds);
        let subject = self.begin_course(pair, course, numbers);
        thoughts.touched.push(subject);
        if let Some(mut step) = self.planner.learn(subject, &today, &sum.samples(), now) {
            step.turn.rule = DecisionRule::Rewarm;
            step.turn.cause = format!("{}: warmed up again", trouble.text());
            self.take_step(step, now, numbers, thoughts);
        }
    }

    /// Pairs that were warm without a course, and have brought nothing for weeks.
    pub(super) fn rewarm_idle(
        &mut self,
        now: Timestamp,
        bounds: (Timestamp, Timestamp),
        numbers: &mut dyn Numbers,
        thoughts: &mut Thoughts,
    ) {
        let slept = |quiet: &Quiet| now.since(quiet.last_sent) >= IDLE_AFTER;
        let mut idle: Vec<SourcePair> = self
            .quiet
            .iter()
            .filter(|(pair, quiet)| self.own.contains(&pair.0) && slept(quiet))
            .map(|(pair, _)| *pair)
            .collect();
        idle.sort_unstable();
        for pair in idle.into_iter().take(BEGUN_AT_ONCE) {
            let Some(quiet) = self.quiet.remove(&pair) else { continue };
            if self.planner.get((WarmSubject::Source(pair.0), pair.1)).is_some() {
                continue;
            }
            let Some(mut course) = course_from(quiet.held()).filter(|_| quiet.held() >= PEAK_MIN)
            else {
                continue;
            };
            course.state = WarmupState::Finished;
            course.last_sent = Some(quiet.last_sent);
            let turns = course.roll(now, bounds);
            let pair = self.begin_course(pair, course, numbers);
            let Some(warmup) = self.planner.get(pair).map(|warmup| warmup.id) else { continue };
            for turn in turns {
                self.take_step(Step { warmup, pair, turn }, now, numbers, thoughts);
            }
        }
    }

    fn begin_course(
        &mut self,
        (source, operator): SourcePair,
        course: Course,
        numbers: &mut dyn Numbers,
    ) -> crate::schedule::warmup::Pair {
        let subject = WarmSubject::Source(source);
        let (id, limit) = (numbers.warmup(), numbers.limit());
        self.planner.put(Warmup { id, subject, operator, limit, course });
        (subject, operator)
    }
}

/// At the stage of what was held, which is where it ends, too.
fn course_from(held: u64) -> Option<Course> {
    let plan = Plan::named("standard").ok()?;
    let mut course = Course::new(plan, "", held, Default::default()).ok()?;
    course.proven = held;
    course.stage = course.plan.stage_of(held, course.factor);
    Some(course)
}
