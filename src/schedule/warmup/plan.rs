//! Plans: how many mails a day, for each day of a warm-up.
//!
//! Owns:       the shipped plans, own plans and their mistakes, the way between stage and volume.
//! Promises:   a plan never shrinks and never leads above the target.
//! Knows not:  results.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::gates::Gates;

const CURVE_DAYS_MAX: usize = 366;
const VOLUME_MAX: u64 = 1_000_000_000;
/// Fewer mails a day teach nothing.
const VOLUME_MIN: f64 = 5.0;
/// Of a curve, below its first day.
const DOUBLING_BELOW: f64 = 2.5;
const FACTOR_MIN: f64 = 0.05;
const FACTOR_MAX: f64 = 20.0;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub name: String,
    #[serde(default)]
    pub summary: String,
    /// Mails on the first day.
    #[serde(default)]
    pub first: u64,
    #[serde(default)]
    pub doubling_days: f64,
    /// Instead of both: mails on each day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<u64>,
    /// By the name of an operator: on all volumes below the target.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub factors: BTreeMap<String, f64>,
    #[serde(default)]
    pub gates: Gates,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    #[error("there is no plan '{0}'; there are: {1}")]
    Unknown(String, String),
    #[error("the plan cannot be read: {0}")]
    Unreadable(String),
    #[error("the plan begins with 0 mails: nothing would ever be learnt")]
    Empty,
    #[error("the plan shrinks: day {day} has {now} mails, the day before {before}")]
    Shrinks { day: usize, before: u64, now: u64 },
    #[error("the plan doubles every {0} days; it must be 0.5 to 30")]
    Doubling(f64),
    #[error("the plan has {0} days; at most {CURVE_DAYS_MAX} are allowed")]
    TooLong(usize),
    #[error("{0} mails a day are more than {VOLUME_MAX}")]
    TooMuch(u64),
    #[error("the factor {1} of {0} is not between {FACTOR_MIN} and {FACTOR_MAX}")]
    Factor(String, f64),
    #[error("gate {0}")]
    Gate(String),
    #[error("the target is 0 mails a day; it must be at least the plan's first day")]
    Target,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plans {
    plan: Vec<Plan>,
}

/// Those that ship; a test reads them, so that they cannot be wrong here.
pub fn shipped() -> Vec<Plan> {
    toml::from_str::<Plans>(include_str!("plans.toml")).map(|plans| plans.plan).unwrap_or_default()
}

impl Plan {
    pub fn named(name: &str) -> Result<Plan, PlanError> {
        let all = shipped();
        let names: Vec<&str> = all.iter().map(|plan| plan.name.as_str()).collect();
        let unknown = PlanError::Unknown(name.to_owned(), names.join(", "));
        all.into_iter().find(|plan| plan.name == name).ok_or(unknown)
    }

    /// One plan of a file, in the form of the shipped ones.
    pub fn read(text: &str) -> Result<Plan, PlanError> {
        let plan: Plan =
            toml::from_str(text).map_err(|why| PlanError::Unreadable(why.message().to_owned()))?;
        plan.check()?;
        Ok(plan)
    }

    /// Mails on each day, such as `50,100,200`.
    pub fn of_curve(curve: Vec<u64>) -> Result<Plan, PlanError> {
        let plan = Plan {
            name: "own".into(),
            summary: String::new(),
            first: 0,
            doubling_days: 0.0,
            curve,
            factors: BTreeMap::new(),
            gates: Gates::default(),
        };
        plan.check()?;
        Ok(plan)
    }

    pub fn check(&self) -> Result<(), PlanError> {
        if self.curve.is_empty() {
            if self.first == 0 {
                return Err(PlanError::Empty);
            }
            if !(0.5..=30.0).contains(&self.doubling_days) {
                return Err(PlanError::Doubling(self.doubling_days));
            }
        }
        if self.curve.len() > CURVE_DAYS_MAX {
            return Err(PlanError::TooLong(self.curve.len()));
        }
        if self.curve.first() == Some(&0) {
            return Err(PlanError::Empty);
        }
        for (at, pair) in self.curve.windows(2).enumerate() {
            if pair[1] < pair[0] {
                return Err(PlanError::Shrinks { day: at + 2, before: pair[0], now: pair[1] });
            }
        }
        let most = self.curve.iter().copied().max().unwrap_or(0).max(self.first);
        if most > VOLUME_MAX {
            return Err(PlanError::TooMuch(most));
        }
        for (operator, factor) in &self.factors {
            if !(FACTOR_MIN..=FACTOR_MAX).contains(factor) {
                return Err(PlanError::Factor(operator.clone(), *factor));
            }
        }
        self.gates.check().map_err(PlanError::Gate)
    }

    pub fn factor_of(&self, operator: &str) -> f64 {
        self.factors.get(operator).copied().unwrap_or(1.0)
    }

    /// Mails on a day at this stage; stage 0 is the first day. Between whole stages it grows;
    /// below the first day it shrinks as fast as the standard plan grows.
    pub fn cap_at(&self, stage: f64, factor: f64, target: u64) -> u64 {
        let volume = if self.curve.is_empty() {
            self.first as f64 * (stage / self.doubling_days).min(60.0).exp2()
        } else if stage < 0.0 {
            self.first_day() * (stage / DOUBLING_BELOW).exp2()
        } else {
            match self.on_curve(stage) {
                Some(volume) => volume,
                None => return target,
            }
        };
        ((volume * factor).round() as u64).clamp(1, target.max(1))
    }

    fn first_day(&self) -> f64 {
        self.curve.first().copied().unwrap_or(self.first) as f64
    }

    /// None after its last day.
    fn on_curve(&self, stage: f64) -> Option<f64> {
        let day = stage as usize;
        let before = *self.curve.get(day)? as f64;
        let after = self.curve.get(day + 1).map_or(before, |after| *after as f64);
        Some(before * (after / before).powf(stage - day as f64))
    }

    /// The last stage that has at most this many mails; below 0 where even the first has more.
    pub fn stage_of(&self, volume: u64, factor: f64) -> f64 {
        let volume = (volume as f64 / factor).max(VOLUME_MIN);
        if self.curve.is_empty() {
            return (volume / self.first as f64).log2() * self.doubling_days;
        }
        let days = self.curve.iter().take_while(|cap| (**cap as f64) <= volume).count();
        match (days.checked_sub(1), self.curve.get(days)) {
            (None, _) => (volume / self.first_day()).log2() * DOUBLING_BELOW,
            (Some(day), None) => day as f64,
            (Some(day), Some(after)) => {
                let (before, after) = (self.curve[day] as f64, *after as f64);
                day as f64 + ((volume / before).ln() / (after / before).ln()).clamp(0.0, 1.0)
            }
        }
    }

    /// Days until the target may be sent, when every one of them advances.
    pub fn days(&self, factor: f64, target: u64) -> u32 {
        let reached = |day: &u32| self.cap_at(f64::from(*day), factor, target) >= target;
        (0..3660).find(reached).unwrap_or(3660) + 1
    }

    /// The days' volumes up to the target, for people.
    pub fn calendar(&self, factor: f64, target: u64) -> Vec<u64> {
        let days = self.days(factor, target).min(CURVE_DAYS_MAX as u32);
        (0..days).map(|day| self.cap_at(f64::from(day), factor, target)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_plan_begins_with_50_doubles_in_2_to_3_days_and_takes_4_to_6_weeks() {
        let plan = Plan::named("standard").expect("it ships");
        for target in [100_000, 500_000, 1_000_000, 4_000_000] {
            let days = plan.calendar(1.0, target);
            assert_eq!(days[0], 50);
            assert!((28..=42).contains(&days.len()), "{target}: {} days", days.len());
            assert_eq!(days.last(), Some(&target));
            let under = |day: &u64| *day < target;
            for (at, cap) in days.iter().enumerate().filter(|(_, cap)| under(cap)) {
                let doubled = days[at..].iter().position(|later| *later >= 2 * cap);
                if let Some(after) = doubled.filter(|after| under(&days[at + after])) {
                    assert!((2..=3).contains(&after), "{target}: day {at} doubled after {after}");
                }
            }
        }
    }

    #[test]
    fn every_shipped_plan_is_lawful_grows_and_is_capped_at_the_target() {
        let plans = shipped();
        let names: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
        assert_eq!(names, ["standard", "careful", "fast"]);
        for plan in plans {
            plan.check().unwrap_or_else(|why| panic!("{}: {why}", plan.name));
            let days = plan.calendar(1.0, 30_000);
            assert!(days.windows(2).all(|pair| pair[0] <= pair[1]), "{}", plan.name);
            assert_eq!(days.iter().max(), Some(&30_000));
        }
    }

    #[test]
    fn stage_and_volume_lead_to_each_other() {
        let own = Plan::of_curve(vec![50, 100, 100, 400, 1000]).expect("lawful");
        for (plan, factor) in [(Plan::named("fast").expect("ships"), 0.5), (own, 1.0)] {
            for volume in [50, 77, 100, 130, 399, 400, 999] {
                let stage = plan.stage_of(volume, factor);
                let back = plan.cap_at(stage, factor, 1_000_000);
                assert!(back.abs_diff(volume) <= 1, "{}: {volume} → {stage} → {back}", plan.name);
            }
            assert!(plan.stage_of(1, factor) < 0.0);
            let least = plan.cap_at(plan.stage_of(10, factor), factor, 1000);
            assert!(least.abs_diff(10) <= 1, "{}: {least}", plan.name);
        }
    }

    #[test]
    fn what_is_wrong_with_a_plan_is_said() {
        let said = |plan: Result<Plan, PlanError>| plan.expect_err("refused").to_string();
        let shrinking = said(Plan::of_curve(vec![50, 100, 80]));
        assert_eq!(shrinking, "the plan shrinks: day 3 has 80 mails, the day before 100");
        assert!(said(Plan::of_curve(vec![0, 1])).contains("begins with 0"));
        assert!(said(Plan::read("name = 'x'\nfirst = -5")).contains("cannot be read"));
        assert!(said(Plan::read("name = 'x'\nfirst = 5\ndoubling_days = 0.1")).contains("0.5"));
        assert!(said(Plan::read("name = 'x'\nfist = 5")).contains("fist"));
        assert!(said(Plan::named("quick")).contains("standard, careful, fast"));
    }

    #[test]
    fn a_factor_slows_one_operator_and_not_the_others() {
        let text = "name = 'x'\nfirst = 100\ndoubling_days = 2.0\nfactors = { orange = 0.5 }";
        let plan = Plan::read(text).expect("lawful");
        assert_eq!(plan.cap_at(0.0, plan.factor_of("orange"), 1000), 50);
        assert_eq!(plan.cap_at(0.0, plan.factor_of("google"), 1000), 100);
    }
}
