//! What a person does to decisions: undo, pin.
//!
//! Owns:       how each kind of decision is taken back or held, and that a source which is removed
//!             takes its own with it.
//! Promises:   what is undone is not done again at once; what is pinned stays until it is released.
//! Knows not:  who may.

use super::{Governor, Thoughts};
use crate::model::*;
use crate::schedule::adaptive::{Place, What};
use crate::store::DecisionChange;

/// Why a decision cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PersonError {
    #[error("decision {0} is not in force any more")]
    NotActive(DecisionId),
}

impl Governor {
    /// Those in force.
    pub fn active(&self) -> impl Iterator<Item = &Decision> {
        self.active.values()
    }

    fn key_of(&self, id: DecisionId) -> Result<(LimitId, DecisionRule), PersonError> {
        let found = self.active.iter().find(|(_, one)| one.id == id).map(|(key, _)| *key);
        found.ok_or(PersonError::NotActive(id))
    }

    /// The value is again what it was before.
    pub fn undo(&mut self, id: DecisionId, now: Timestamp) -> Result<Thoughts, PersonError> {
        let key = self.key_of(id)?;
        let mut thoughts = Thoughts::default();
        let Some(decision) = self.active.remove(&key) else {
            return Err(PersonError::NotActive(id));
        };
        thoughts.changed.push(DecisionChange {
            id,
            state: DecisionState::Undone,
            pinned: false,
            expires_at: decision.expires_at,
        });
        match what_of(decision.rule) {
            Some(what) => self.undo_change(&decision, what, now, &mut thoughts),
            None if is_stop(decision.rule) => self.undo_stop(&decision, now, &mut thoughts),
            None => self.undo_warmup(&decision, now, &mut thoughts),
        }
        Ok(thoughts)
    }

    fn undo_change(
        &mut self,
        decision: &Decision,
        what: What,
        now: Timestamp,
        thoughts: &mut Thoughts,
    ) {
        let Some(pair) = pair_of(&decision.scope) else { return };
        if let Some(control) = self.controls.get_mut(&pair) {
            control.undo(what, now);
        }
        thoughts.removed.extend(self.rows.remove(&(pair, what)));
    }

    fn undo_stop(&mut self, decision: &Decision, now: Timestamp, thoughts: &mut Thoughts) {
        let Some(place) = Place::of_scope(&decision.scope.to) else { return };
        let key = (decision.scope.who, place);
        self.stops.undo(key.0, key.1, now);
        thoughts.removed.extend(self.stop_rows.remove(&key).map(|(limit, _)| limit));
    }

    fn undo_warmup(&mut self, decision: &Decision, now: Timestamp, thoughts: &mut Thoughts) {
        let Some(limit) = decision.limit else { return };
        let pair = self.planner.all().find(|one| one.limit == limit);
        let Some(pair) = pair.map(|one| (one.subject, one.operator)) else { return };
        if let Some(warmup) = self.planner.get_mut(pair) {
            if decision.pinned {
                warmup.course.release(None);
            }
            warmup.course.undo(decision.rule, decision.before, now);
            thoughts.touched.push(pair);
        }
    }

    /// Pinned: no rule changes it and it does not end. Released: rules go on from here.
    pub fn pin(
        &mut self,
        id: DecisionId,
        pinned: bool,
        now: Timestamp,
    ) -> Result<Thoughts, PersonError> {
        let key = self.key_of(id)?;
        let mut thoughts = Thoughts::default();
        let Some(decision) = self.active.get_mut(&key) else {
            return Err(PersonError::NotActive(id));
        };
        decision.pinned = pinned;
        let expires_at = decision.expires_at;
        let state = DecisionState::Active;
        thoughts.changed.push(DecisionChange { id, state, pinned, expires_at });
        let decision = decision.clone();
        let what = what_of(decision.rule);
        match (what, pair_of(&decision.scope)) {
            (Some(what), Some(pair)) => {
                self.controls.entry(pair).or_default().pin(what, pinned);
                thoughts.put.extend(row_of(&decision));
            }
            _ if is_stop(decision.rule) => {
                let place = Place::of_scope(&decision.scope.to);
                let Some(place) = place else { return Ok(thoughts) };
                let until =
                    if pinned { Timestamp(i64::MAX) } else { expires_at.unwrap_or_default() };
                if let Some(row) = self.stop_rows.get_mut(&(decision.scope.who, place)) {
                    row.1 = until;
                }
                thoughts.put.extend(row_of(&decision));
            }
            _ => self.pin_warmup(&decision, now, &mut thoughts),
        }
        Ok(thoughts)
    }

    /// A warm-up whose volume is pinned is paused there; one that stands still goes on standing
    /// still, beyond the end of the day or of the freeze.
    fn pin_warmup(&mut self, decision: &Decision, now: Timestamp, thoughts: &mut Thoughts) {
        use DecisionRule::{WarmupFreeze, WarmupStop};
        let pair = self.planner.all().find(|one| Some(one.limit) == decision.limit);
        let Some(pair) = pair.map(|one| (one.subject, one.operator)) else { return };
        let Some(course) = self.planner.get_mut(pair).map(|warmup| &mut warmup.course) else {
            return;
        };
        match (decision.pinned, decision.rule) {
            (true, WarmupFreeze | WarmupStop) => course.freeze(),
            (true, _) => course.pause(),
            (false, WarmupFreeze) => course.release(decision.expires_at.filter(|end| *end > now)),
            (false, _) => course.release(None),
        }
        thoughts.touched.push(pair);
    }

    /// A person steers a warm-up itself, by its limit: what was pinned of it is over.
    pub fn let_go(&mut self, limit: LimitId) -> Thoughts {
        let mut thoughts = Thoughts::default();
        let of_it = |(key, one): (&(LimitId, DecisionRule), &mut Decision)| {
            let is_pinned = key.0 == limit && std::mem::take(&mut one.pinned);
            is_pinned.then_some(*key)
        };
        let pinned: Vec<_> = self.active.iter_mut().filter_map(of_it).collect();
        for key in pinned {
            self.end(key, &mut thoughts);
        }
        thoughts
    }

    /// A source is no more: neither are its warm-ups and what was decided of it. Returns the limits
    /// that carried them out.
    pub fn forget(&mut self, source: SourceId) -> Vec<LimitId> {
        let is_own = |pair: &(SourceId, OperatorId)| pair.0 == source;
        let subject = WarmSubject::Source(source);
        let pairs: Vec<_> = self.planner.all().map(|one| (one.subject, one.operator)).collect();
        let own = pairs.into_iter().filter(|pair| pair.0 == subject);
        let warmups: Vec<_> = own.filter_map(|pair| self.planner.remove(pair)).collect();
        let mut limits: Vec<LimitId> = warmups.iter().map(|warmup| warmup.limit).collect();
        limits.extend(self.rows.iter().filter(|((pair, _), _)| is_own(pair)).map(|(_, id)| *id));
        self.rows.retain(|(pair, _), _| !is_own(pair));
        self.controls.retain(|pair, _| !is_own(pair));
        self.quiet.retain(|pair, _| !is_own(pair));
        self.facts.retain(|pair, _| !is_own(pair));
        self.active.retain(|(limit, _), _| !limits.contains(limit));
        limits
    }

    /// After a start, before `restore`: stops and blocks of these days, oldest first. The next ones
    /// are as long as they would have been.
    pub fn recall(&mut self, decisions: &[Decision]) {
        for decision in decisions {
            let Some(end) = decision.expires_at else { continue };
            let place = Place::of_scope(&decision.scope.to);
            match (what_of(decision.rule), pair_of(&decision.scope), place) {
                (Some(What::Block), Some(pair), _) => {
                    self.controls.entry(pair).or_default().recall_block(decision.at, end);
                }
                (None, _, Some(place)) if is_stop(decision.rule) => {
                    self.stops.recall(decision.scope.who, place, decision.at, end);
                }
                _ => {}
            }
        }
    }

    /// After a start: what was in force is again.
    pub fn restore(&mut self, decisions: Vec<Decision>) {
        for decision in decisions {
            let Some(limit) = decision.limit else { continue };
            if let (Some(what), Some(pair)) = (what_of(decision.rule), pair_of(&decision.scope)) {
                self.rows.insert((pair, what), limit);
                self.controls.entry(pair).or_default().restore(what, &decision);
            } else if let (true, Some(place)) =
                (is_stop(decision.rule), Place::of_scope(&decision.scope.to))
            {
                let until = if decision.pinned { None } else { decision.expires_at };
                let until = until.unwrap_or(Timestamp(i64::MAX));
                self.stop_rows.insert((decision.scope.who, place), (limit, until));
            }
            self.active.insert((limit, decision.rule), decision);
        }
    }
}

const fn is_stop(rule: DecisionRule) -> bool {
    use DecisionRule::{CampaignContent, Health, SendingDomain};
    matches!(rule, CampaignContent | SendingDomain | Health)
}

pub(super) const fn what_of(rule: DecisionRule) -> Option<What> {
    match rule {
        DecisionRule::Connections => Some(What::Connections),
        DecisionRule::Pace => Some(What::Pace),
        DecisionRule::Block => Some(What::Block),
        _ => None,
    }
}

fn pair_of(scope: &LimitScope) -> Option<(SourceId, OperatorId)> {
    match (&scope.from, &scope.to) {
        (FromScope::Source(source), ToScope::Operator(operator)) => Some((*source, *operator)),
        _ => None,
    }
}

/// The limit that carries a decision out, as it is to stand now.
fn row_of(decision: &Decision) -> Option<Limit> {
    let minute = std::time::Duration::from_secs(60);
    let window = (decision.rule == DecisionRule::Pace).then_some(minute);
    let values = (decision.metric, decision.after?, window);
    let expires_at = decision.expires_at.filter(|_| !decision.pinned);
    let scope = decision.scope.clone();
    let row = super::row(decision.limit?, scope, values, &decision.cause, expires_at);
    Some(Limit { pinned: decision.pinned, ..row })
}
