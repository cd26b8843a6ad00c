//! Campaigns and From domains that stop at a place: for what it said, or for their health.
//!
//! Owns:       the limit and the decision that carry a stop out.
//! Promises:   one stop at a time for each at a place; a stop for health leaves transactional
//!             mail alone.
//! Knows not:  when a stop is due.

use super::{Governor, Numbers, Thoughts, row};
use crate::model::*;
use crate::schedule::adaptive::Stop;

impl Governor {
    pub(super) fn take_stop(
        &mut self,
        stop: Stop,
        now: Timestamp,
        numbers: &mut dyn Numbers,
        thoughts: &mut Thoughts,
    ) {
        let rule = match stop.who {
            WhoScope::SendingDomain(_) => DecisionRule::SendingDomain,
            _ => DecisionRule::CampaignContent,
        };
        if self.is_pinned(&stop) {
            return;
        }
        thoughts.alarms.push(stop.cause.clone());
        self.put_stop((stop, rule, None), now, numbers, thoughts);
    }

    /// A person holds it there already, without an end.
    fn is_pinned(&self, stop: &Stop) -> bool {
        let known = self.stop_rows.get(&(stop.who, stop.place));
        known.is_some_and(|(_, until)| until.0 == i64::MAX)
    }

    /// Its marketing mail goes no more there until then; nothing where it is stopped.
    pub fn stop_for_health(
        &mut self,
        stop: Stop,
        now: Timestamp,
        numbers: &mut dyn Numbers,
    ) -> Thoughts {
        let mut thoughts = Thoughts::default();
        let known = self.stop_rows.get(&(stop.who, stop.place));
        if known.is_none_or(|(_, until)| *until <= now) {
            let class = Some(StreamClass::Marketing);
            self.put_stop((stop, DecisionRule::Health, class), now, numbers, &mut thoughts);
        }
        thoughts
    }

    fn put_stop(
        &mut self,
        (stop, rule, class): (Stop, DecisionRule, Option<StreamClass>),
        now: Timestamp,
        numbers: &mut dyn Numbers,
        thoughts: &mut Thoughts,
    ) {
        let id = numbers.limit();
        let old = self.stop_rows.insert((stop.who, stop.place), (id, stop.until));
        thoughts.removed.extend(old.map(|(limit, _)| limit));
        let scope = LimitScope {
            from: FromScope::Installation,
            to: stop.place.scope(),
            who: stop.who,
            class,
        };
        let metric = (Metric::Messages, 0, None);
        thoughts.put.push(row(id, scope.clone(), metric, &stop.cause, Some(stop.until)));
        let decision = Decision {
            id: numbers.decision(),
            at: now,
            rule,
            cause: stop.cause,
            samples: stop.samples,
            scope,
            metric: Metric::Messages,
            before: None,
            after: Some(0),
            expires_at: Some(stop.until),
            state: DecisionState::Active,
            pinned: false,
            limit: Some(id),
        };
        self.begin(decision, thoughts);
    }
}
