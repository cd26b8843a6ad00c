//! The controller: from what was answered to limits, with a decision for each change.
//!
//! Owns:       warm-ups, adaptive controls and stops in memory; which limit carries out which.
//! Promises:   the same answers at the same moments give the same limits, in the daemon, in the
//!             forecast and in the simulation; what a person has pinned is left alone.
//! Knows not:  rows, clocks, connections, which source is asked.

pub mod book; // what was answered since the last look
mod person; // undone and pinned by hand
mod quiet; // sources that are not warmed up
mod stops; // campaigns and From domains that stop at an operator

pub use person::PersonError;

use std::collections::{BTreeMap, HashMap, HashSet};

use super::adaptive::{Change, Control, Facts, Place, Stops, What};
use super::warmup::course::Turn;
use super::warmup::overflow::Standing;
use super::warmup::{Planner, Step};
use crate::model::*;
use crate::store::{DecisionChange, SourceHour, WarmupDayRow};
use book::{Book, PairSum};
use quiet::Quiet;

type SourcePair = (SourceId, OperatorId);

/// Where new ids come from.
pub trait Numbers {
    fn limit(&mut self) -> LimitId;
    fn warmup(&mut self) -> WarmupId;
    fn decision(&mut self) -> DecisionId;
}

/// What follows from one look.
#[derive(Debug, Default)]
pub struct Thoughts {
    pub put: Vec<Limit>,
    pub removed: Vec<LimitId>,
    pub decisions: Vec<Decision>,
    pub changed: Vec<DecisionChange>,
    pub days: Vec<WarmupDayRow>,
    pub hours: Vec<SourceHour>,
    /// Warm-ups whose course has changed.
    pub touched: Vec<super::warmup::Pair>,
    /// For the log: what a person should look at now.
    pub alarms: Vec<String>,
}

#[derive(Clone, Default)]
pub struct Governor {
    pub planner: Planner,
    controls: HashMap<SourcePair, Control>,
    stops: Stops,
    quiet: HashMap<SourcePair, Quiet>,
    relays: HashSet<SourceId>,
    /// Ours that may send.
    own: HashSet<SourceId>,
    /// The row of each adaptive change that is in force, and of each stop.
    rows: HashMap<(SourcePair, What), LimitId>,
    stop_rows: HashMap<(WhoScope, Place), (LimitId, Timestamp)>,
    /// In force, by the limit and the rule that made them.
    active: BTreeMap<(LimitId, DecisionRule), Decision>,
    /// What is known of open connections.
    facts: HashMap<SourcePair, Facts>,
}

impl Governor {
    /// Another's services among the sources: they are never warmed up.
    pub fn set_relays(&mut self, relays: HashSet<SourceId>) {
        self.relays = relays;
    }

    pub fn set_facts(&mut self, facts: HashMap<SourcePair, Facts>) {
        self.facts = facts;
    }

    pub fn standing(&self, source: SourceId, operator: OperatorId, now: Timestamp) -> Standing {
        let pair = (source, operator);
        let standing = self.planner.standing(pair, self.relays.contains(&source), now);
        let slowed = self.controls.get(&pair).is_some_and(|one| one.pace.value.is_some());
        match standing {
            Standing::Cold { .. } if slowed => Standing::Strained,
            standing => standing,
        }
    }

    /// Takes in what the book holds, and lets time pass. `bounds` are those of the day of `now`.
    pub fn think(
        &mut self,
        book: Book,
        now: Timestamp,
        bounds: (Timestamp, Timestamp),
        numbers: &mut dyn Numbers,
    ) -> Thoughts {
        let mut thoughts = Thoughts::default();
        for step in self.planner.roll(now, bounds) {
            self.take_step(step, now, numbers, &mut thoughts);
        }
        self.rewarm_idle(now, bounds, numbers, &mut thoughts);
        let mut pairs: Vec<_> = book.pairs.into_iter().collect();
        pairs.sort_by_key(|(pair, _)| *pair);
        for (pair, sum) in &pairs {
            self.learn_pair(*pair, sum, (now, bounds), numbers, &mut thoughts);
        }
        let mut whos: Vec<_> = book.whos.into_iter().collect();
        whos.sort_by_key(|(who, _)| *who);
        for ((who, operator, place), sum) in &whos {
            if let WhoScope::SendingDomain(domain) = who {
                let pair = (WarmSubject::Domain(*domain), *operator);
                self.learn_course(pair, &sum.marks, &sum.samples, now, numbers, &mut thoughts);
            }
            let offered = sum.marks.offered;
            if let Some(stop) =
                self.stops.note((*who, *place), offered, sum.words, &sum.samples, now)
            {
                self.take_stop(stop, now, numbers, &mut thoughts);
            }
        }
        self.pass_time(now, numbers, &mut thoughts);
        thoughts
    }

    fn learn_pair(
        &mut self,
        pair: SourcePair,
        sum: &PairSum,
        (now, bounds): (Timestamp, (Timestamp, Timestamp)),
        numbers: &mut dyn Numbers,
        thoughts: &mut Thoughts,
    ) {
        let hour = Timestamp::from_seconds(now.seconds().div_euclid(3600) * 3600);
        let (source, operator) = pair;
        thoughts.hours.push(SourceHour { source, operator, hour, marks: sum.marks });
        let subject = (WarmSubject::Source(source), operator);
        if self.planner.get(subject).is_none() {
            self.learn_quiet(pair, sum, (now, bounds), numbers, thoughts);
        } else {
            self.learn_course(subject, &sum.marks, &sum.samples(), now, numbers, thoughts);
        }
        let facts = self.facts.get(&pair).copied().unwrap_or_default();
        let control = self.controls.entry(pair).or_default();
        control.accepted(sum.marks.accepted, now);
        let mut changes = Vec::new();
        for (signal, count, samples) in &sum.signals {
            let count = match signal {
                // What is put off for reputation is for the warm-up alone.
                Signal::Reputation => sum.marks.blocked,
                _ => *count,
            };
            let refused_all = *signal == Signal::Reputation && sum.marks.accepted > 0;
            if count > 0 && !refused_all {
                changes.extend(control.note(*signal, count, samples, facts, now));
            }
        }
        for change in changes {
            self.take_change(pair, change, now, numbers, thoughts);
        }
    }

    fn learn_course(
        &mut self,
        pair: super::warmup::Pair,
        marks: &Marks,
        samples: &[String],
        now: Timestamp,
        numbers: &mut dyn Numbers,
        thoughts: &mut Thoughts,
    ) {
        if self.planner.get(pair).is_none() {
            return;
        }
        thoughts.touched.push(pair);
        if let Some(step) = self.planner.learn(pair, marks, samples, now) {
            self.take_step(step, now, numbers, thoughts);
        }
    }

    /// What time alone brings: recovery, probes, ends.
    fn pass_time(&mut self, now: Timestamp, numbers: &mut dyn Numbers, thoughts: &mut Thoughts) {
        let mut changes = Vec::new();
        for (pair, control) in &mut self.controls {
            control.accepted(0, now);
            changes.extend(control.tick(now).into_iter().map(|change| (*pair, change)));
        }
        changes.sort_by_key(|(pair, _)| *pair);
        for (pair, change) in changes {
            self.take_change(pair, change, now, numbers, thoughts);
        }
        self.controls.retain(|_, control| !control.is_at_rest(now));
        self.stop_rows.retain(|_, (limit, until)| {
            if *until > now {
                return true;
            }
            thoughts.removed.push(*limit);
            false
        });
        let over: Vec<_> = self
            .active
            .iter()
            .filter(|(_, one)| !one.pinned && one.expires_at.is_some_and(|end| end <= now))
            .map(|(key, _)| *key)
            .collect();
        for key in over {
            self.end(key, thoughts);
        }
    }
}

/// From what rules say to limits and decisions.
impl Governor {
    fn take_step(
        &mut self,
        step: Step,
        now: Timestamp,
        numbers: &mut dyn Numbers,
        thoughts: &mut Thoughts,
    ) {
        let Some(warmup) = self.planner.get(step.pair) else { return };
        thoughts.touched.push(step.pair);
        let turn = step.turn;
        if let (Some(verdict), Some(day)) = (turn.verdict, turn.day) {
            thoughts.days.push(WarmupDayRow {
                warmup: step.warmup,
                day: day.start,
                volume: turn.before,
                next_volume: turn.after,
                marks: turn.marks,
                verdict,
                cause: turn.cause.clone(),
            });
        }
        // A pair that slept begins with less, and nothing is wrong with it.
        let has_lost = turn.rule == DecisionRule::Rewarm && turn.after == 0;
        if has_lost || turn.rule == DecisionRule::WarmupFreeze {
            thoughts.alarms.push(format!("warm-up {}: {}", step.warmup, turn.cause));
        }
        let (id, scope) = (warmup.limit, warmup.scope());
        let expires_at = warmup.course.ends_at(turn.rule, now);
        // A day's end is the end of what was decided in its middle.
        let over = match turn.rule {
            _ if turn.verdict.is_some() => Some(DecisionRule::WarmupStop),
            DecisionRule::WarmupThaw => Some(DecisionRule::WarmupFreeze),
            _ => None,
        };
        let decision = Decision { expires_at, ..decision_of(turn, scope, id, now, numbers) };
        if let Some(rule) = over {
            self.end((id, rule), thoughts);
        }
        self.begin(decision, thoughts);
    }

    fn take_change(
        &mut self,
        pair: SourcePair,
        change: Change,
        now: Timestamp,
        numbers: &mut dyn Numbers,
        thoughts: &mut Thoughts,
    ) {
        let key = (pair, change.what);
        let rule = rule_of(change.what);
        let Some(value) = change.after else {
            if let Some(limit) = self.rows.remove(&key) {
                thoughts.removed.push(limit);
                self.end((limit, rule), thoughts);
            }
            return;
        };
        let id = *self.rows.entry(key).or_insert_with(|| numbers.limit());
        let (metric, window) = match change.what {
            What::Connections => (Metric::Connections, None),
            What::Pace => (Metric::Messages, Some(std::time::Duration::from_secs(60))),
            What::Block => (Metric::Messages, None),
        };
        let scope = LimitScope {
            from: FromScope::Source(pair.0),
            to: ToScope::Operator(pair.1),
            who: WhoScope::Everybody,
            class: None,
        };
        let expires_at = change.expires_at;
        thoughts.put.push(row(
            id,
            scope.clone(),
            (metric, value, window),
            &change.cause,
            expires_at,
        ));
        let decision = Decision {
            id: numbers.decision(),
            at: now,
            rule,
            cause: change.cause,
            samples: change.samples,
            scope,
            metric,
            before: change.before,
            after: change.after,
            expires_at,
            state: DecisionState::Active,
            pinned: false,
            limit: Some(id),
        };
        self.begin(decision, thoughts);
    }

    /// In force from now on, in the place of an earlier one of its rule; never of a pinned one.
    fn begin(&mut self, decision: Decision, thoughts: &mut Thoughts) {
        if let Some(limit) = decision.limit {
            let key = (limit, decision.rule);
            if self.active.get(&key).is_some_and(|known| known.pinned) {
                return;
            }
            self.end(key, thoughts);
            self.active.insert((limit, decision.rule), decision.clone());
        }
        thoughts.decisions.push(decision);
    }

    fn end(&mut self, key: (LimitId, DecisionRule), thoughts: &mut Thoughts) {
        if self.active.get(&key).is_some_and(|known| known.pinned) {
            return;
        }
        let Some(old) = self.active.remove(&key) else { return };
        thoughts.changed.push(DecisionChange {
            id: old.id,
            state: DecisionState::Past,
            pinned: false,
            expires_at: old.expires_at,
        });
        // One that began and ended within one look is written as it ended.
        if let Some(at) = thoughts.decisions.iter().position(|one| one.id == old.id) {
            thoughts.decisions[at].state = DecisionState::Past;
        }
    }
}

impl Thoughts {
    /// Of the warm-ups that were touched, once each.
    pub fn touched_once(&mut self) -> Vec<super::warmup::Pair> {
        self.touched.sort_unstable();
        self.touched.dedup();
        std::mem::take(&mut self.touched)
    }
}

fn rule_of(what: What) -> DecisionRule {
    match what {
        What::Connections => DecisionRule::Connections,
        What::Pace => DecisionRule::Pace,
        What::Block => DecisionRule::Block,
    }
}

fn row(
    id: LimitId,
    scope: LimitScope,
    (metric, value, window): (Metric, u64, Option<std::time::Duration>),
    reason: &str,
    expires_at: Option<Timestamp>,
) -> Limit {
    Limit {
        id,
        scope,
        metric,
        value,
        window,
        pace: Pace::Fixed,
        origin: Origin::Adaptive,
        reason: reason.to_owned(),
        expires_at,
        pinned: false,
    }
}

fn decision_of(
    turn: Turn,
    scope: LimitScope,
    limit: LimitId,
    now: Timestamp,
    numbers: &mut dyn Numbers,
) -> Decision {
    Decision {
        id: numbers.decision(),
        at: now,
        rule: turn.rule,
        cause: turn.cause,
        samples: turn.samples,
        scope,
        metric: Metric::Messages,
        before: Some(turn.before),
        after: Some(turn.after),
        expires_at: None,
        state: DecisionState::Active,
        pinned: false,
        limit: Some(limit),
    }
}

#[cfg(test)]
mod tests;
