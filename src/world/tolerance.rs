//! Operators who come to trust a source: the rules behind `benches/warmup-models`.
//!
//! Owns:       the hidden tolerance of each source at each operator, what is answered for it, how
//!             it grows and shrinks.
//! Promises:   the same seed gives the same answers; nothing here is told to who sends.
//! Knows not:  SMTP, and what a sender does to stay welcome.
//! What the parameters mean and what the model leaves out: `benches/warmup-models/README.md`.

use std::time::Duration;

use serde::Deserialize;

use crate::clock::Clock;
use crate::model::Timestamp;

const DAY: i64 = 86_400;
/// Of the first tolerance: nobody's falls below.
const FLOOR_SHARE: f64 = 0.3;
/// Blocks that follow each other within it are longer each time.
const BLOCKS_REMEMBERED: i64 = 10 * DAY;

/// One file of `benches/warmup-models`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub name: String,
    pub sender: Sender,
    pub incident: Incident,
    pub operator: Vec<OperatorModel>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sender {
    /// Mails a day.
    pub wanted: u64,
    pub transactional_share: f64,
    pub sources: usize,
    /// Mails a day that the relay takes.
    pub relay_quota: u64,
    pub invalid: f64,
    pub engaged_share: f64,
    pub complaint_engaged: f64,
    pub complaint_other: f64,
    pub complaint_transactional: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incident {
    pub day_latest: u32,
    pub invalid: f64,
    pub complaint: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorModel {
    pub name: String,
    pub share: f64,
    pub tolerance_first: f64,
    pub tolerance_max: f64,
    pub growth: f64,
    pub use_full: f64,
    pub noise: f64,
    pub burst_share: f64,
    pub push_free: f64,
    pub push_block: f64,
    pub block_hours: f64,
    pub block_hours_max: f64,
    pub block_shrink: f64,
    pub invalid_max: f64,
    pub invalid_block: f64,
    pub complaint_max: f64,
    pub complaint_block: f64,
    pub shrink: f64,
    pub marks_from: u64,
    pub idle_days: i64,
    pub reports_complaints: bool,
    pub complaint_hours: u64,
}

impl Model {
    pub fn read(text: &str) -> Result<Model, toml::de::Error> {
        toml::from_str(text)
    }
}

/// Some mails of one kind, offered together.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    pub count: u64,
    /// The share of recipients that do not exist.
    pub invalid: f64,
    /// The share of recipients that will complain.
    pub complaint: f64,
}

/// What became of an offer; the counts add up to it, but for the complaints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub accepted: u64,
    pub invalid: u64,
    /// 4xx: more than the operator wants from this source today.
    pub deferred_volume: u64,
    /// 4xx: more than it wants in this hour.
    pub deferred_rate: u64,
    /// 5xx, or 4xx to everything: the source is blocked.
    pub blocked: u64,
    pub complaints: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Today {
    limit: f64,
    offered: u64,
    accepted: u64,
    invalid: u64,
    complaints: u64,
    pushed: u64,
    pushed_in_block: u64,
    blocked: bool,
}

/// One source at one operator.
#[derive(Clone, Debug)]
pub struct Trust {
    tolerance: f64,
    day: i64,
    hour: i64,
    accepted_hour: u64,
    today: Today,
    last_used: Option<i64>,
    blocked_until: Timestamp,
    blocks: u32,
    last_block: i64,
}

impl Trust {
    /// As the operator knows a source that he has never seen.
    pub fn new(operator: &OperatorModel, dice: &Clock) -> Trust {
        Trust {
            tolerance: operator.tolerance_first * spread(operator.noise, dice),
            day: i64::MIN,
            hour: i64::MIN,
            accepted_hour: 0,
            today: Today::default(),
            last_used: None,
            blocked_until: Timestamp(0),
            blocks: 0,
            last_block: i64::MIN / 2,
        }
    }

    /// Hidden from the sender; for what is printed about a run.
    pub fn tolerance(&self) -> f64 {
        self.tolerance
    }

    pub fn is_blocked(&self, at: Timestamp) -> bool {
        self.blocked_until > at
    }

    pub fn offer(
        &mut self,
        operator: &OperatorModel,
        at: Timestamp,
        offer: Offer,
        dice: &Clock,
    ) -> Answer {
        self.roll_over(operator, at, dice);
        let mut answer = Answer::default();
        if self.is_blocked(at) {
            answer.blocked = offer.count;
            self.today.pushed_in_block += offer.count;
            let pushes_max = (operator.push_block * self.today.limit).max(20.0);
            if self.today.pushed_in_block as f64 > pushes_max {
                self.block(operator, at);
            }
            return answer;
        }
        let room_day = room(self.today.limit, self.today.offered);
        let room_hour = room(self.today.limit * operator.burst_share, self.accepted_hour);
        let taken = offer.count.min(room_day).min(room_hour);
        let rest = offer.count - taken;
        if room_day <= room_hour {
            answer.deferred_volume = rest;
        } else {
            answer.deferred_rate = rest;
        }
        answer.invalid = draw(taken, offer.invalid, dice);
        answer.accepted = taken - answer.invalid;
        answer.complaints = draw(answer.accepted, offer.complaint, dice);
        self.note(answer, taken);
        if self.is_too_much(operator) {
            self.block(operator, at);
        }
        answer
    }

    fn note(&mut self, answer: Answer, taken: u64) {
        self.accepted_hour += taken;
        let today = &mut self.today;
        today.offered += taken;
        today.accepted += answer.accepted;
        today.invalid += answer.invalid;
        today.complaints += answer.complaints;
        today.pushed += answer.deferred_volume;
        if answer.accepted > 0 {
            self.last_used = Some(self.day);
        }
    }

    fn is_too_much(&self, operator: &OperatorModel) -> bool {
        let today = &self.today;
        let pushed = today.pushed as f64 > (operator.push_block * today.limit).max(10.0);
        let (invalid, complaints) = self.rates(operator);
        pushed || invalid > operator.invalid_block || complaints > operator.complaint_block
    }

    /// Of recipients that do not exist and of complaints; zero below a number that says something.
    fn rates(&self, operator: &OperatorModel) -> (f64, f64) {
        let today = &self.today;
        let rate = |bad: u64, of: u64, from: u64| {
            if of < from { 0.0 } else { bad as f64 / of.max(1) as f64 }
        };
        (
            rate(today.invalid, today.offered, operator.marks_from),
            rate(today.complaints, today.accepted, operator.marks_from * 10),
        )
    }

    fn block(&mut self, operator: &OperatorModel, at: Timestamp) {
        self.blocks =
            if at.seconds() - self.last_block < BLOCKS_REMEMBERED { self.blocks + 1 } else { 0 };
        self.last_block = at.seconds();
        let doubled = operator.block_hours * f64::from(2u32.saturating_pow(self.blocks));
        let hours = doubled.min(operator.block_hours_max);
        self.blocked_until = at + Duration::from_secs_f64(hours * 3600.0);
        let floor = operator.tolerance_first * FLOOR_SHARE;
        self.tolerance = (self.tolerance * operator.block_shrink).max(floor);
        self.today.blocked = true;
        self.today.pushed_in_block = 0;
        self.today.pushed = 0;
        // What made this block does not make the next one too.
        self.today.invalid = 0;
        self.today.complaints = 0;
    }

    /// New days and hours since the last offer.
    fn roll_over(&mut self, operator: &OperatorModel, at: Timestamp, dice: &Clock) {
        let hour = at.seconds().div_euclid(3600);
        if hour != self.hour {
            (self.hour, self.accepted_hour) = (hour, 0);
        }
        let day = at.seconds().div_euclid(DAY);
        if day == self.day {
            return;
        }
        if self.day != i64::MIN {
            self.end_day(operator);
        }
        let idle = self.last_used.map_or(0, |used| day - used) - operator.idle_days;
        if idle > 0 {
            let halves = idle as f64 / 5.0;
            let forgotten = self.tolerance * 0.5f64.powf(halves);
            self.tolerance = forgotten.max(operator.tolerance_first.min(self.tolerance));
        }
        let floor = operator.tolerance_first * FLOOR_SHARE;
        self.tolerance = self.tolerance.clamp(floor, operator.tolerance_max);
        self.day = day;
        let limit = self.tolerance * spread(operator.noise, dice);
        self.today = Today { limit, ..Today::default() };
    }

    fn end_day(&mut self, operator: &OperatorModel) {
        let today = &self.today;
        let (invalid, complaints) = self.rates(operator);
        let pushed = today.pushed as f64 / today.limit.max(1.0);
        let bad = invalid > operator.invalid_max
            || complaints > operator.complaint_max
            || pushed > 2.0 * operator.push_free;
        if bad {
            self.tolerance *= operator.shrink;
        } else if !today.blocked && pushed <= operator.push_free {
            let used = today.accepted as f64 / self.tolerance.max(1.0);
            let earned = (used / operator.use_full).min(1.0);
            self.tolerance *= 1.0 + (operator.growth - 1.0) * earned;
        }
    }
}

fn room(limit: f64, used: u64) -> u64 {
    (limit.max(1.0) as u64).saturating_sub(used)
}

/// Log-normal around one.
fn spread(deviation: f64, dice: &Clock) -> f64 {
    (deviation * normal(dice)).exp()
}

/// The sum of twelve throws is near enough to a normal distribution here.
fn normal(dice: &Clock) -> f64 {
    (0..12).map(|_| dice.dice()).sum::<f64>() - 6.0
}

/// How many of `count` meet a fate of this probability.
fn draw(count: u64, probability: f64, dice: &Clock) -> u64 {
    if count == 0 || probability <= 0.0 {
        return 0;
    }
    if count <= 64 {
        return (0..count).filter(|_| dice.dice() < probability).count() as u64;
    }
    let mean = count as f64 * probability;
    let deviation = (mean * (1.0 - probability)).sqrt();
    // Rounded by a throw, so that rare fates keep their mean.
    let value = (mean + deviation * normal(dice)).max(0.0) + dice.dice();
    (value as u64).min(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator() -> OperatorModel {
        let text = include_str!("../../benches/warmup-models/common.toml");
        let mut model = Model::read(text).expect("lawful");
        let mut first = model.operator.swap_remove(0);
        first.noise = 0.0;
        first
    }

    fn at(day: i64, hour: i64) -> Timestamp {
        Timestamp::from_seconds(day * DAY + hour * 3600)
    }

    fn offer(count: u64) -> Offer {
        Offer { count, invalid: 0.0, complaint: 0.0 }
    }

    #[test]
    fn every_model_reads_and_its_shares_add_up() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/warmup-models");
        for folder in [folder.clone(), folder.join("unseen")] {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.extension().is_some_and(|end| end == "toml") {
                    let text = std::fs::read_to_string(&path).expect("a file");
                    let model = Model::read(&text).unwrap_or_else(|why| panic!("{path:?}: {why}"));
                    let sum: f64 = model.operator.iter().map(|one| one.share).sum();
                    assert!((sum - 1.0).abs() < 1e-9, "{path:?}: {sum}");
                }
            }
        }
    }

    #[test]
    fn good_days_earn_trust_and_pushing_costs_it() {
        let (operator, dice) = (operator(), Clock::standing(1));
        let mut trust = Trust::new(&operator, &dice);
        for hour in 0..24 {
            let answer = trust.offer(&operator, at(0, hour), offer(5), &dice);
            assert_eq!(answer.accepted, 5);
        }
        trust.offer(&operator, at(1, 0), offer(1), &dice);
        assert!((trust.tolerance() - 150.0 * 1.45).abs() < 1.0, "{}", trust.tolerance());
        let mut deferred = 0;
        for hour in 1..24 {
            deferred += trust.offer(&operator, at(1, hour), offer(40), &dice).deferred_volume;
        }
        assert!(deferred > 0);
        trust.offer(&operator, at(2, 0), offer(1), &dice);
        assert!(trust.tolerance() < 150.0 * 1.45);
    }

    #[test]
    fn who_goes_on_after_deferrals_is_blocked_for_longer_each_time() {
        let (operator, dice) = (operator(), Clock::standing(1));
        let mut trust = Trust::new(&operator, &dice);
        for hour in 0..24 {
            trust.offer(&operator, at(0, hour), offer(200), &dice);
        }
        assert!(trust.is_blocked(at(0, 23)));
        assert!(trust.tolerance() < 100.0);
        assert!(trust.offer(&operator, at(1, 0), offer(3), &dice).blocked > 0);
    }

    #[test]
    fn an_idle_source_is_forgotten() {
        let (operator, dice) = (operator(), Clock::standing(1));
        let mut trust = Trust::new(&operator, &dice);
        for day in 0..12i32 {
            let count = (5.0 * 1.4f64.powi(day)) as u64;
            for hour in 0..24 {
                trust.offer(&operator, at(day.into(), hour), offer(count), &dice);
            }
        }
        let known = trust.tolerance();
        trust.offer(&operator, at(50, 0), offer(1), &dice);
        assert!(trust.tolerance() < known / 4.0, "{known} {}", trust.tolerance());
    }
}
