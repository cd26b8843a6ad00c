//! Gates: what a day's results allow.
//!
//! Owns:       thresholds, and when a rate says something.
//! Promises:   below `ATTEMPTS_MIN` only what an operator said in words acts, never a rate.
//! Knows not:  plans, days.

use serde::{Deserialize, Serialize};

use crate::model::{Marks, Share};

/// A rate of fewer attempts is noise.
pub const ATTEMPTS_MIN: u64 = 50;
/// So many refusals in words are no accident of one mailbox.
const WORDS_MIN: u64 = 3;
/// And they are at least this share of what was offered.
const WORDS_SHARE: f64 = 0.002;
/// One-sided confidence of 95 %.
const CONFIDENCE: f64 = 1.645;

/// Two thresholds a kind: from the first the day counts as no progress, from the second the
/// volume goes back. Rates are shares of recipients offered, complaints of those accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gates {
    /// The share of the day's volume that must have been accepted before the next step.
    pub volume: f64,
    /// Put off for reputation.
    pub deferral_hold: f64,
    pub deferral_back: f64,
    /// Refused for reputation.
    pub block_hold: f64,
    pub block_back: f64,
    /// Google and Yahoo ask bulk senders to stay below 0.1 % and never to reach 0.3 %
    /// (support.google.com/a/answer/81126, read in 2026).
    pub complaint_hold: f64,
    pub complaint_back: f64,
    pub invalid_hold: f64,
    pub invalid_back: f64,
}

impl Default for Gates {
    fn default() -> Gates {
        Gates {
            volume: 0.7,
            deferral_hold: 0.01,
            deferral_back: 0.15,
            block_hold: 0.002,
            block_back: 0.01,
            complaint_hold: 0.001,
            complaint_back: 0.003,
            invalid_hold: 0.05,
            invalid_back: 0.08,
        }
    }
}

/// Why a gate is closed, from the mildest to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    Invalid,
    Complaints,
    Deferrals,
    Blocks,
}

impl Trouble {
    pub const fn text(self) -> &'static str {
        match self {
            Trouble::Invalid => "too many recipients do not exist",
            Trouble::Complaints => "too many complaints",
            Trouble::Deferrals => "mail is put off for reputation",
            Trouble::Blocks => "mail is refused for reputation",
        }
    }
}

impl Gates {
    pub fn check(&self) -> Result<(), String> {
        if !(0.1..=1.0).contains(&self.volume) {
            return Err(format!("volume: {} is not between 0.1 and 1", self.volume));
        }
        let pairs = [
            ("deferral", self.deferral_hold, self.deferral_back),
            ("block", self.block_hold, self.block_back),
            ("complaint", self.complaint_hold, self.complaint_back),
            ("invalid", self.invalid_hold, self.invalid_back),
        ];
        for (name, hold, back) in pairs {
            if !(hold > 0.0 && hold <= back && back <= 1.0) {
                return Err(format!("{name}: it must hold that 0 < hold ≤ back ≤ 1"));
            }
        }
        Ok(())
    }

    /// In the middle of a day: what has become so plain that the rest of it must not be sent.
    pub fn stops(&self, marks: &Marks) -> Option<Trouble> {
        let words =
            |count: u64| count >= WORDS_MIN && count as f64 >= WORDS_SHARE * marks.offered as f64;
        if words(marks.blocked) {
            return Some(Trouble::Blocks);
        }
        if words(marks.deferred) {
            return Some(Trouble::Deferrals);
        }
        if surely_above(marks.complaints, marks.accepted, self.complaint_back) {
            return Some(Trouble::Complaints);
        }
        surely_above(marks.invalid, marks.offered, self.invalid_hold).then_some(Trouble::Invalid)
    }

    /// At the end of a day: what keeps it from counting as progress.
    pub fn holds(&self, marks: &Marks) -> Option<Trouble> {
        let rate = |count: u64, of: u64, gate: f64| of >= ATTEMPTS_MIN && share(count, of) > gate;
        if marks.blocked >= WORDS_MIN && rate(marks.blocked, marks.offered, self.block_hold) {
            return Some(Trouble::Blocks);
        }
        if marks.deferred >= WORDS_MIN && rate(marks.deferred, marks.offered, self.deferral_hold) {
            return Some(Trouble::Deferrals);
        }
        // One complaint of a hundred mails is one person, so the first alone never holds.
        if marks.complaints > 1 && rate(marks.complaints, marks.accepted, self.complaint_hold) {
            return Some(Trouble::Complaints);
        }
        surely_above(marks.invalid, marks.offered, self.invalid_hold).then_some(Trouble::Invalid)
    }

    /// At the end of a day: what sends the volume back.
    pub fn steps_back(&self, marks: &Marks) -> Option<Trouble> {
        let rate = |count: u64, of: u64, gate: f64| of >= ATTEMPTS_MIN && share(count, of) > gate;
        let few_blocks = marks.offered < ATTEMPTS_MIN && marks.blocked >= WORDS_MIN;
        if few_blocks || rate(marks.blocked, marks.offered, self.block_back) {
            return Some(Trouble::Blocks);
        }
        if rate(marks.deferred, marks.offered, self.deferral_back) {
            return Some(Trouble::Deferrals);
        }
        if surely_above(marks.complaints, marks.accepted, self.complaint_back) {
            return Some(Trouble::Complaints);
        }
        surely_above(marks.invalid, marks.offered, self.invalid_back).then_some(Trouble::Invalid)
    }
}

fn share(count: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { count as f64 / of as f64 }
}

/// Even the lower end of Wilson's interval lies above the gate.
fn surely_above(count: u64, of: u64, gate: f64) -> bool {
    of >= ATTEMPTS_MIN && Share::within(count, of, CONFIDENCE).low > gate
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(offered: u64, deferred: u64, blocked: u64, complaints: u64, invalid: u64) -> Marks {
        let accepted = offered - deferred - blocked - invalid;
        Marks { offered, accepted, deferred, blocked, complaints, invalid, ..Marks::default() }
    }

    #[test]
    fn below_fifty_attempts_only_words_act() {
        let gates = Gates::default();
        assert_eq!(gates.stops(&marks(40, 0, 0, 9, 30)), None);
        assert_eq!(gates.steps_back(&marks(40, 0, 0, 9, 30)), None);
        assert_eq!(gates.stops(&marks(4, 3, 0, 0, 0)), Some(Trouble::Deferrals));
        assert_eq!(gates.stops(&marks(4, 0, 3, 0, 0)), Some(Trouble::Blocks));
        assert_eq!(gates.stops(&marks(4, 2, 0, 0, 0)), None);
    }

    #[test]
    fn a_rate_acts_once_chance_cannot_explain_it() {
        let gates = Gates::default();
        // 4 of 50 are 8 %, and yet a list with 3 % bad addresses may show them.
        assert_eq!(gates.stops(&marks(50, 0, 0, 0, 4)), None);
        assert_eq!(gates.stops(&marks(50, 0, 0, 0, 8)), Some(Trouble::Invalid));
        assert_eq!(gates.stops(&marks(1000, 0, 0, 0, 20)), None);
        assert_eq!(gates.stops(&marks(1000, 0, 0, 4, 0)), None);
        assert_eq!(gates.stops(&marks(1000, 0, 0, 10, 0)), Some(Trouble::Complaints));
    }

    #[test]
    fn a_few_refusals_among_many_mails_are_no_reason() {
        let gates = Gates::default();
        assert_eq!(gates.stops(&marks(50_000, 20, 0, 0, 0)), None);
        assert_eq!(gates.holds(&marks(50_000, 20, 0, 0, 0)), None);
        assert_eq!(gates.holds(&marks(50_000, 600, 0, 0, 0)), Some(Trouble::Deferrals));
        assert_eq!(gates.steps_back(&marks(50_000, 600, 0, 0, 0)), None);
        assert_eq!(gates.steps_back(&marks(50_000, 0, 600, 0, 0)), Some(Trouble::Blocks));
    }

    #[test]
    fn gates_that_make_no_sense_are_named() {
        let wrong = Gates { invalid_hold: 0.2, ..Gates::default() };
        assert!(wrong.check().expect_err("refused").starts_with("invalid"));
        let wrong = Gates { volume: -1.0, ..Gates::default() };
        assert!(wrong.check().expect_err("refused").starts_with("volume"));
    }
}
