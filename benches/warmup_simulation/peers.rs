//! The ways that others go, in their shapes, as their documentation tells them.
//!
//! Owns:       no warm-up, a fixed schedule (per source, per operator too), a staged plan with a
//!             gate and overflow, a score that scales the cap.
//! Promises:   each is given what it is known to have, and the benefit of the doubt: budgets are
//!             spread over the day, and transactional mail above a cap goes to the relay at once.
//! Knows not:  what operators tolerate.

use postroad::model::{StreamClass, Timestamp};
use postroad::world::tolerance::{Answer, Model};

use crate::run::{Placed, Scheme, TICK, TICKS};

const DAY: i64 = 86_400;

/// Caps by source, or by source and operator, with what was used of them today.
struct Caps {
    sources: usize,
    operators: usize,
    caps: Vec<f64>,
    used: Vec<u64>,
    turn: usize,
}

impl Caps {
    fn new(model: &Model) -> Caps {
        let (sources, operators) = (model.sender.sources, model.operator.len());
        let cells = sources * operators;
        Caps { sources, operators, caps: vec![0.0; cells], used: vec![0; cells], turn: 0 }
    }

    /// The next source whose cap has room at this moment, and how much.
    fn next(&mut self, operator: usize, count: u64, now: Timestamp) -> Option<Placed> {
        let passed = now.seconds().rem_euclid(DAY) as f64 + TICK.as_secs_f64();
        let share = (passed / DAY as f64).min(1.0);
        for _ in 0..self.sources {
            self.turn = (self.turn + 1) % self.sources;
            let cell = self.turn * self.operators + operator;
            let room = ((self.caps[cell] * share).ceil() as u64).saturating_sub(self.used[cell]);
            if room > 0 {
                // Not all on one source: they take turns.
                let count = count.min(room).min((count / self.sources as u64).max(10));
                return Some(Placed { source: self.turn, count });
            }
        }
        None
    }

    fn use_up(&mut self, placed: &Placed, operator: usize) {
        if placed.source < self.sources {
            self.used[placed.source * self.operators + operator] += placed.count;
        }
    }

    fn relay(&self, count: u64) -> Placed {
        Placed { source: self.sources, count }
    }
}

/// Everything at once, on all sources in turn.
pub struct NoWarmUp(Caps);

impl NoWarmUp {
    pub fn new(model: &Model) -> NoWarmUp {
        let mut caps = Caps::new(model);
        caps.caps.fill(1e12 * TICKS as f64);
        NoWarmUp(caps)
    }
}

impl Scheme for NoWarmUp {
    fn begin_day(&mut self, _: Timestamp) {}
    fn tick(&mut self, _: Timestamp) {}

    fn place(&mut self, _: StreamClass, operator: usize, n: u64, now: Timestamp) -> Option<Placed> {
        self.0.next(operator, n, now)
    }

    fn told(&mut self, _: &Placed, _: usize, _: StreamClass, _: &Answer, _: Timestamp) {}
    fn complained(&mut self, _: usize, _: usize, _: u64, _: Timestamp) {}
}

/// 50 on the first day, doubled every two and a half days.
pub struct Fixed {
    caps: Caps,
    shares: Vec<f64>,
    per_operator: bool,
    relay_left: u64,
    quota: u64,
    day: i32,
}

impl Fixed {
    pub fn per_source(model: &Model) -> Fixed {
        Fixed::new(model, false)
    }

    pub fn per_operator(model: &Model) -> Fixed {
        Fixed::new(model, true)
    }

    fn new(model: &Model, per_operator: bool) -> Fixed {
        let quota = model.sender.relay_quota;
        Fixed {
            caps: Caps::new(model),
            shares: model.operator.iter().map(|one| one.share).collect(),
            per_operator,
            relay_left: quota,
            quota,
            day: 0,
        }
    }
}

impl Scheme for Fixed {
    fn begin_day(&mut self, _: Timestamp) {
        let cap = 50.0 * (f64::from(self.day) / 2.5).exp2();
        for (at, cell) in self.caps.caps.iter_mut().enumerate() {
            // A cap of the source alone is used in the shares in which its mail comes.
            let share = if self.per_operator { 1.0 } else { self.shares[at % self.shares.len()] };
            *cell = cap * share;
        }
        self.caps.used.fill(0);
        self.relay_left = self.quota;
        self.day += 1;
    }

    fn tick(&mut self, _: Timestamp) {}

    fn place(
        &mut self,
        class: StreamClass,
        operator: usize,
        count: u64,
        now: Timestamp,
    ) -> Option<Placed> {
        if let Some(placed) = self.caps.next(operator, count, now) {
            return Some(placed);
        }
        relay_for_transactional(&self.caps, class, count, &mut self.relay_left)
    }

    fn told(&mut self, placed: &Placed, op: usize, _: StreamClass, _: &Answer, _: Timestamp) {
        self.caps.use_up(placed, op);
    }

    fn complained(&mut self, _: usize, _: usize, _: u64, _: Timestamp) {}
}

fn relay_for_transactional(
    caps: &Caps,
    class: StreamClass,
    count: u64,
    left: &mut u64,
) -> Option<Placed> {
    let count = count.min(*left);
    if class == StreamClass::Marketing || count == 0 {
        return None;
    }
    *left -= count;
    Some(caps.relay(count))
}

/// 29 stages from 200 to 10,000,000 a day for each source; the next one when 90 % of a stage was
/// delivered; what is above goes to an overflow pool (here the relay, half of its quota).
pub struct Staged {
    caps: Caps,
    shares: Vec<f64>,
    stages: Vec<u32>,
    delivered: Vec<u64>,
    relay_left: u64,
    overflow_left: u64,
    quota: u64,
    started: bool,
}

const STAGE_FACTOR: f64 = 1.4717;

impl Staged {
    pub fn new(model: &Model) -> Staged {
        let sources = model.sender.sources;
        Staged {
            caps: Caps::new(model),
            shares: model.operator.iter().map(|one| one.share).collect(),
            stages: vec![0; sources],
            delivered: vec![0; sources],
            relay_left: 0,
            overflow_left: 0,
            quota: model.sender.relay_quota,
            started: false,
        }
    }

    fn cap(&self, source: usize) -> f64 {
        200.0 * STAGE_FACTOR.powi(self.stages[source].min(28) as i32)
    }
}

impl Scheme for Staged {
    fn begin_day(&mut self, _: Timestamp) {
        for source in 0..self.stages.len() {
            if self.started && self.delivered[source] as f64 >= 0.9 * self.cap(source) {
                self.stages[source] += 1;
            }
            self.delivered[source] = 0;
            let cap = self.cap(source);
            for (operator, share) in self.shares.iter().enumerate() {
                self.caps.caps[source * self.shares.len() + operator] = cap * share;
            }
        }
        self.caps.used.fill(0);
        self.started = true;
        self.relay_left = self.quota / 2;
        self.overflow_left = self.quota / 2;
    }

    fn tick(&mut self, _: Timestamp) {}

    fn place(
        &mut self,
        class: StreamClass,
        operator: usize,
        count: u64,
        now: Timestamp,
    ) -> Option<Placed> {
        if let Some(placed) = self.caps.next(operator, count, now) {
            return Some(placed);
        }
        if let Some(placed) =
            relay_for_transactional(&self.caps, class, count, &mut self.relay_left)
        {
            return Some(placed);
        }
        let count = count.min(self.overflow_left);
        self.overflow_left -= count;
        (count > 0).then(|| self.caps.relay(count))
    }

    fn told(&mut self, placed: &Placed, op: usize, _: StreamClass, answer: &Answer, _: Timestamp) {
        self.caps.use_up(placed, op);
        if let Some(delivered) = self.delivered.get_mut(placed.source) {
            *delivered += answer.accepted;
        }
    }

    fn complained(&mut self, _: usize, _: usize, _: u64, _: Timestamp) {}
}

/// 1,000 on the first day, 10,000 on the seventh, then 1.3 times as many each day, for each source
/// and provider; a score from yesterday's results scales it by 0.1 to 1, and below 40 it begins
/// anew.
pub struct Scored {
    caps: Caps,
    days: Vec<u32>,
    marks: Vec<(u64, u64, u64)>,
    relay_left: u64,
    quota: u64,
}

impl Scored {
    pub fn new(model: &Model) -> Scored {
        let caps = Caps::new(model);
        let cells = caps.caps.len();
        let quota = model.sender.relay_quota;
        Scored { caps, days: vec![0; cells], marks: vec![(0, 0, 0); cells], relay_left: 0, quota }
    }
}

impl Scheme for Scored {
    fn begin_day(&mut self, _: Timestamp) {
        for (cell, (offered, accepted, complaints)) in self.marks.iter_mut().enumerate() {
            let rate = |count: u64, of: u64| count as f64 / of.max(1) as f64;
            let success = if *offered == 0 { 1.0 } else { rate(*accepted, *offered) };
            let score = 100.0 * success - 5000.0 * rate(*complaints, *accepted);
            let day = self.days[cell];
            let base = match day {
                0..7 => 1000.0 + 1500.0 * f64::from(day),
                day => 10_000.0 * 1.3f64.powi(day as i32 - 6),
            };
            self.days[cell] = if score < 40.0 { 0 } else { day + 1 };
            self.caps.caps[cell] = base * (score / 100.0).clamp(0.1, 1.0);
            (*offered, *accepted, *complaints) = (0, 0, 0);
        }
        self.caps.used.fill(0);
        self.relay_left = self.quota;
    }

    fn tick(&mut self, _: Timestamp) {}

    fn place(
        &mut self,
        class: StreamClass,
        operator: usize,
        count: u64,
        now: Timestamp,
    ) -> Option<Placed> {
        if let Some(placed) = self.caps.next(operator, count, now) {
            return Some(placed);
        }
        relay_for_transactional(&self.caps, class, count, &mut self.relay_left)
    }

    fn told(&mut self, placed: &Placed, op: usize, _: StreamClass, answer: &Answer, _: Timestamp) {
        self.caps.use_up(placed, op);
        if placed.source < self.caps.sources {
            let marks = &mut self.marks[placed.source * self.caps.operators + op];
            marks.0 += placed.count;
            marks.1 += answer.accepted;
        }
    }

    fn complained(&mut self, source: usize, operator: usize, count: u64, _: Timestamp) {
        if source < self.caps.sources {
            self.marks[source * self.caps.operators + operator].2 += count;
        }
    }
}
