//! One number that is cut at once and given back in steps: connections, or messages a minute.
//!
//! Owns:       the arithmetic of slowing down and of recovery (AIMD).
//! Promises:   one event cuts once, however many replies tell of it; what was cut comes back in
//!             even steps of clean time; a lever that a person has taken over does not move.
//! Knows not:  what it limits, rows, clocks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

#[derive(Clone, Copy, Debug)]
pub struct LeverRules {
    /// Replies of so long after a cut still belong to it.
    pub dwell: Duration,
    /// So long without a signal is worth a step.
    pub clean: Duration,
    pub floor: u64,
}

/// Steps from half of what was held to all of it.
const STEPS: u64 = 8;
/// What a person has undone, of whatever kind, is not done again for so long.
pub const HUSH: Duration = Duration::from_secs(3600);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lever {
    /// None: nothing is limited.
    pub value: Option<u64>,
    /// What was held when it was first cut: recovery ends there.
    pub held: u64,
    pub changed_at: Timestamp,
    pub hushed_until: Timestamp,
    pub pinned: bool,
}

impl Lever {
    /// A signal came while `held` of it were in use. The new value, where it changes.
    pub fn cut(&mut self, rules: &LeverRules, held: u64, now: Timestamp) -> Option<u64> {
        let too_soon = self.value.is_some() && now.since(self.changed_at) < rules.dwell;
        if too_soon || self.pinned || now < self.hushed_until {
            return None;
        }
        let known = self.value.unwrap_or(u64::MAX);
        let used = held.min(known).max(rules.floor);
        if self.value.is_none() {
            self.held = used;
        }
        self.changed_at = now;
        let cut = (used / 2).max(rules.floor);
        if self.value == Some(cut) {
            return None;
        }
        self.value = Some(cut);
        self.value
    }

    /// Clean time went by: one step up, or free. `Some(None)` when nothing limits any more.
    pub fn recover(&mut self, rules: &LeverRules, now: Timestamp) -> Option<Option<u64>> {
        let value = self.value?;
        if self.pinned || now.since(self.changed_at) < rules.clean {
            return None;
        }
        self.changed_at = now;
        let step = (self.held / STEPS).max(1);
        let next = value.saturating_add(step);
        self.value = (next < self.held).then_some(next);
        Some(self.value)
    }

    /// To this value, by a block's end; false where a person holds it.
    pub fn begin_at(&mut self, value: u64, held: u64, now: Timestamp) -> bool {
        if self.pinned {
            return false;
        }
        self.held = self.held.max(held);
        self.value = Some(value);
        self.changed_at = now;
        true
    }

    /// Nothing is limited and nothing is remembered that would matter.
    pub fn is_at_rest(&self, now: Timestamp) -> bool {
        self.value.is_none() && !self.pinned && self.hushed_until <= now
    }

    pub fn undo(&mut self, now: Timestamp) {
        *self = Lever { hushed_until: now + HUSH, ..Lever::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: LeverRules =
        LeverRules { dwell: Duration::from_secs(60), clean: Duration::from_secs(300), floor: 1 };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn one_event_cuts_once_and_a_later_one_cuts_again() {
        let mut lever = Lever::default();
        assert_eq!(lever.cut(&RULES, 16, at(1000)), Some(8));
        assert_eq!(lever.cut(&RULES, 16, at(1030)), None);
        assert_eq!(lever.cut(&RULES, 8, at(1061)), Some(4));
        for (second, value) in [(1200, Some(2)), (1300, Some(1)), (1400, None)] {
            assert_eq!(lever.cut(&RULES, 16, at(second)), value);
        }
    }

    #[test]
    fn what_was_cut_comes_back_in_even_steps_of_clean_time() {
        let mut lever = Lever::default();
        lever.cut(&RULES, 16, at(0));
        assert_eq!(lever.recover(&RULES, at(299)), None);
        let mut values = Vec::new();
        for step in 1..10 {
            values.extend(lever.recover(&RULES, at(300 * step)));
        }
        assert_eq!(values, [Some(10), Some(12), Some(14), None]);
        assert_eq!(lever.recover(&RULES, at(9000)), None);
    }

    #[test]
    fn a_lever_in_a_persons_hand_does_not_move() {
        let mut lever = Lever::default();
        lever.cut(&RULES, 16, at(0));
        lever.pinned = true;
        assert_eq!(lever.cut(&RULES, 8, at(600)), None);
        assert_eq!(lever.recover(&RULES, at(9000)), None);
        lever.undo(at(9000));
        assert_eq!(lever.value, None);
        assert_eq!(lever.cut(&RULES, 8, at(9100)), None);
        assert_eq!(lever.cut(&RULES, 8, at(9000 + 3600)), Some(4));
    }
}
