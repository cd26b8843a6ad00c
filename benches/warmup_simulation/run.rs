//! One run: a sender, his operators, a way to warm up, day by day.
//!
//! Owns:       demand, retries, what became of each mail, the figures.
//! Promises:   a mail is counted as put off once, however often it is tried again.
//! Knows not:  how a way decides.

use std::collections::VecDeque;
use std::time::Duration;

use postroad::clock::Clock;
use postroad::model::{StreamClass, Timestamp};
use postroad::world::tolerance::{Answer, Model, Offer, Trust};

pub const TICKS: u64 = 144;
pub const TICK: Duration = Duration::from_secs(600);
const DAY: i64 = 86_400;
/// Midnight, UTC.
const EPOCH: i64 = 1_800_057_600 / DAY * DAY;
/// The run without an incident.
const DAYS: u32 = 60;
const RECOVERY_DAYS_MAX: u32 = 60;
/// Of the day's good mail, what must have been delivered.
const FULL_SHARE: f64 = 0.97;
/// What was delivered on these last days, on average, is what an incident takes away.
const DAYS_BEFORE: usize = 7;
/// What was put off is tried again after so many ticks.
const RETRY_TICKS: usize = 6;

/// Where some mails are to go: a source (the relay is the last), and how many.
pub struct Placed {
    pub source: usize,
    pub count: u64,
}

/// A way to warm up.
pub trait Scheme {
    fn begin_day(&mut self, now: Timestamp);
    fn tick(&mut self, now: Timestamp);
    /// Where up to `count` mails go now; None when they are to wait.
    fn place(
        &mut self,
        class: StreamClass,
        operator: usize,
        count: u64,
        now: Timestamp,
    ) -> Option<Placed>;
    fn told(
        &mut self,
        placed: &Placed,
        operator: usize,
        class: StreamClass,
        answer: &Answer,
        now: Timestamp,
    );
    fn complained(&mut self, source: usize, operator: usize, count: u64, now: Timestamp);
    /// It can send those first that lately opened or clicked.
    fn picks_engaged(&self) -> bool {
        false
    }
    fn note(&self) -> String {
        String::new()
    }
}

/// Mails of marketing for one operator that wait.
#[derive(Clone, Debug, Default)]
struct Backlog {
    engaged: f64,
    other: f64,
    /// Put off before: not counted again.
    again: u64,
    later: VecDeque<u64>,
}

/// What one day came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct DayFigures {
    pub delivered: u64,
    /// Of recipients that exist.
    pub good: u64,
    pub unwelcome: u64,
    pub transactional_delayed: u64,
    pub invalid: u64,
}

impl DayFigures {
    fn is_full(&self) -> bool {
        self.delivered as f64 >= FULL_SHARE * self.good as f64
    }
}

#[derive(Clone, Copy, Debug)]
pub struct WarmUpFigures {
    pub full_on: Option<u32>,
    pub unwelcome: u64,
    pub transactional_delayed: u64,
}

struct State {
    trusts: Vec<Vec<Trust>>,
    backlogs: Vec<Backlog>,
    transactional: Vec<f64>,
    delayed: Vec<u64>,
    complaints: VecDeque<(Timestamp, usize, usize, u64)>,
    relay_used: u64,
    day: u32,
}

pub struct Run<'a> {
    model: &'a Model,
    dice: Clock,
    scheme: Box<dyn Scheme>,
    state: State,
    full_on: Option<u32>,
    /// Delivered on the last days without an incident.
    before: VecDeque<u64>,
    pub print_days: bool,
}

impl<'a> Run<'a> {
    pub fn new(model: &'a Model, seed: u64, scheme: Box<dyn Scheme>) -> Run<'a> {
        let dice = Clock::standing(seed.wrapping_mul(0x9E37_79B9));
        let trusts = (0..model.sender.sources)
            .map(|_| model.operator.iter().map(|one| Trust::new(one, &dice)).collect())
            .collect();
        let operators = model.operator.len();
        let state = State {
            trusts,
            backlogs: vec![Backlog::default(); operators],
            transactional: vec![0.0; operators],
            delayed: vec![0; operators],
            complaints: VecDeque::new(),
            relay_used: 0,
            day: 0,
        };
        let (full_on, before, print_days) = (None, VecDeque::new(), false);
        Run { model, dice, scheme, state, full_on, before, print_days }
    }

    /// Days without an incident.
    pub fn warm_up(&mut self) -> WarmUpFigures {
        let mut figures = WarmUpFigures { full_on: None, unwelcome: 0, transactional_delayed: 0 };
        let sender = &self.model.sender;
        let calm = (sender.invalid, None);
        // The incident follows a week after the full volume, so the calm run ends there.
        while self.state.day < DAYS && self.full_on.is_none_or(|day| self.state.day < day + 7) {
            let day = self.day(calm);
            self.before.push_back(day.delivered);
            if self.before.len() > DAYS_BEFORE {
                self.before.pop_front();
            }
            figures.unwelcome += day.unwelcome;
            figures.transactional_delayed += day.transactional_delayed;
            if day.is_full() && self.full_on.is_none() {
                self.full_on = Some(self.state.day);
            }
        }
        figures.full_on = self.full_on;
        figures
    }

    /// Delivered a day at last.
    pub fn level(&self) -> u64 {
        self.before.iter().sum::<u64>() / self.before.len().max(1) as u64
    }

    /// The days that a bad list costs, its own included, until as much is delivered as before it:
    /// the full volume, or what there was instead on the last day of the model.
    pub fn incident(&mut self) -> u32 {
        let sender = &self.model.sender;
        let incident = &self.model.incident;
        let before = self.level() as f64;
        self.day((incident.invalid, Some(incident.complaint)));
        let calm = (sender.invalid, None);
        let is_over =
            |day: DayFigures| day.delivered as f64 >= FULL_SHARE * before.min(day.good as f64);
        (1..RECOVERY_DAYS_MAX).find(|_| is_over(self.day(calm))).unwrap_or(RECOVERY_DAYS_MAX)
    }

    /// One day; `list` is the share of bad addresses, and of complaints where it is unusual.
    fn day(&mut self, list: (f64, Option<f64>)) -> DayFigures {
        let mut figures = DayFigures::default();
        let start = Timestamp::from_seconds(EPOCH + i64::from(self.state.day) * DAY);
        self.state.relay_used = 0;
        self.state.backlogs.fill(Backlog::default());
        self.scheme.begin_day(start);
        for tick in 0..TICKS {
            let now = start + TICK * u32::try_from(tick).unwrap_or(0);
            self.hear_complaints(now);
            self.scheme.tick(now);
            for operator in 0..self.model.operator.len() {
                self.transactional(operator, now, &mut figures);
                self.marketing(operator, tick, list, now, &mut figures);
            }
        }
        self.state.day += 1;
        let wanted = self.model.sender.wanted as f64;
        let marketing = 1.0 - self.model.sender.transactional_share;
        let bad = list.0 * marketing;
        figures.good = (wanted * (1.0 - bad)) as u64;
        if self.print_days {
            let share = 100.0 * figures.delivered as f64 / figures.good as f64;
            let (day, note) = (self.state.day, self.scheme.note());
            println!("  day {day}: {share:.1} % {figures:?} {note}");
        }
        figures
    }

    fn hear_complaints(&mut self, now: Timestamp) {
        while self.state.complaints.front().is_some_and(|(at, ..)| *at <= now) {
            if let Some((_, source, operator, count)) = self.state.complaints.pop_front() {
                self.scheme.complained(source, operator, count, now);
            }
        }
    }

    fn transactional(&mut self, operator: usize, now: Timestamp, figures: &mut DayFigures) {
        let sender = &self.model.sender;
        let class = StreamClass::Transactional;
        let share = self.model.operator[operator].share;
        let due = &mut self.state.transactional[operator];
        *due += sender.wanted as f64 * sender.transactional_share * share / TICKS as f64;
        let fresh = *due as u64;
        *due -= fresh as f64;
        let old = std::mem::take(&mut self.state.delayed[operator]);
        let complaint = sender.complaint_transactional;
        let mut waits = [old, fresh];
        for (at, count) in waits.iter_mut().enumerate() {
            let mut put_off = 0;
            while *count > 0 {
                let Some(placed) = self.scheme.place(class, operator, *count, now) else { break };
                let offer = Offer { count: placed.count, invalid: 0.0, complaint };
                let answer = self.offer(&placed, operator, class, offer, now);
                *count -= placed.count;
                figures.delivered += answer.accepted;
                put_off += answer.deferred_volume + answer.deferred_rate + answer.blocked;
                if at == 1 {
                    figures.unwelcome += answer.deferred_volume + answer.blocked;
                }
            }
            self.state.delayed[operator] += *count + put_off;
            if at == 1 {
                figures.transactional_delayed += *count + put_off;
            }
        }
    }

    fn marketing(
        &mut self,
        operator: usize,
        tick: u64,
        (invalid, complaint): (f64, Option<f64>),
        now: Timestamp,
        figures: &mut DayFigures,
    ) {
        self.arrive(operator, tick);
        let class = StreamClass::Marketing;
        // Bounded by what the scheme takes; a way that never says no still ends with the backlog.
        loop {
            let (count, engaged, again) = self.next_batch(operator);
            if count == 0 {
                return;
            }
            let Some(placed) = self.scheme.place(class, operator, count, now) else { return };
            let sender = &self.model.sender;
            let mean = sender.engaged_share * sender.complaint_engaged
                + (1.0 - sender.engaged_share) * sender.complaint_other;
            let usual = match engaged {
                Some(true) => sender.complaint_engaged,
                Some(false) => sender.complaint_other,
                None => mean,
            };
            let complaint = complaint.unwrap_or(usual);
            let offer = Offer { count: placed.count, invalid, complaint };
            let answer = self.offer(&placed, operator, class, offer, now);
            figures.delivered += answer.accepted;
            figures.invalid += answer.invalid;
            if !again {
                figures.unwelcome += answer.deferred_volume + answer.blocked;
            }
            let put_off = answer.deferred_volume + answer.deferred_rate + answer.blocked;
            let backlog = &mut self.state.backlogs[operator];
            take(backlog, placed.count, engaged, again, sender.engaged_share);
            if let Some(last) = backlog.later.back_mut() {
                *last += put_off;
            }
        }
    }

    /// The day's campaign comes evenly over its first twenty hours.
    fn arrive(&mut self, operator: usize, tick: u64) {
        let sender = &self.model.sender;
        let backlog = &mut self.state.backlogs[operator];
        backlog.later.push_back(0);
        if backlog.later.len() > RETRY_TICKS {
            backlog.again += backlog.later.pop_front().unwrap_or(0);
        }
        let ticks = TICKS * 20 / 24;
        if tick < ticks {
            let marketing = sender.wanted as f64 * (1.0 - sender.transactional_share);
            let share = marketing * self.model.operator[operator].share / ticks as f64;
            backlog.engaged += share * sender.engaged_share;
            backlog.other += share * (1.0 - sender.engaged_share);
        }
    }

    /// How many, whether they are engaged (None for all alike), whether they were put off before.
    fn next_batch(&self, operator: usize) -> (u64, Option<bool>, bool) {
        let backlog = &self.state.backlogs[operator];
        if self.scheme.picks_engaged() {
            if backlog.engaged >= 1.0 {
                return (backlog.engaged as u64, Some(true), false);
            }
            if backlog.other >= 1.0 {
                return (backlog.other as u64, Some(false), false);
            }
        }
        let fresh = (backlog.engaged + backlog.other) as u64;
        if fresh > 0 && !self.scheme.picks_engaged() {
            return (fresh, None, false);
        }
        (backlog.again, None, true)
    }

    fn offer(
        &mut self,
        placed: &Placed,
        operator: usize,
        class: StreamClass,
        offer: Offer,
        now: Timestamp,
    ) -> Answer {
        let model = &self.model.operator[operator];
        let answer = match self.state.trusts.get_mut(placed.source) {
            Some(trusts) => trusts[operator].offer(model, now, offer, &self.dice),
            None => self.relay(offer),
        };
        if answer.complaints > 0 && model.reports_complaints {
            let at = now + Duration::from_secs(3600 * model.complaint_hours);
            self.state.complaints.push_back((at, placed.source, operator, answer.complaints));
        }
        self.scheme.told(placed, operator, class, &answer, now);
        answer
    }

    /// A large service: its operators know it. What is above its quota it does not take.
    fn relay(&mut self, offer: Offer) -> Answer {
        let left = self.model.sender.relay_quota.saturating_sub(self.state.relay_used);
        let taken = offer.count.min(left);
        self.state.relay_used += taken;
        let invalid = (taken as f64 * offer.invalid).round() as u64;
        Answer {
            accepted: taken - invalid,
            invalid,
            deferred_rate: offer.count - taken,
            ..Answer::default()
        }
    }
}

fn take(backlog: &mut Backlog, count: u64, engaged: Option<bool>, again: bool, share: f64) {
    let count_f = count as f64;
    match (again, engaged) {
        (true, _) => backlog.again -= count.min(backlog.again),
        (false, Some(true)) => backlog.engaged -= count_f,
        (false, Some(false)) => backlog.other -= count_f,
        (false, None) => {
            let total = (backlog.engaged + backlog.other).max(1.0);
            let part = if share > 0.0 { backlog.engaged / total } else { 0.0 };
            backlog.engaged -= count_f * part;
            backlog.other -= count_f * (1.0 - part);
        }
    }
}

/// The figures of all seeds.
#[derive(Default)]
pub struct Scores {
    full: Vec<Option<u32>>,
    unwelcome: Vec<u64>,
    delayed: Vec<u64>,
    lost: Vec<u64>,
    level: Vec<u64>,
}

impl Scores {
    pub fn add(&mut self, figures: WarmUpFigures, level: u64, lost: u32) {
        self.level.push(level);
        self.full.push(figures.full_on);
        self.unwelcome.push(figures.unwelcome);
        self.delayed.push(figures.transactional_delayed);
        self.lost.push(u64::from(lost));
    }
}

impl std::fmt::Display for Scores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let days = |days: &[Option<u32>], never: &str| {
            let known: Vec<u64> = days.iter().flatten().map(|day| u64::from(*day)).collect();
            match (known.len(), days.len()) {
                (0, _) => never.to_owned(),
                (some, all) if some == all => mean_and_worst(&known),
                (some, all) => format!("{} in {some} of {all} seeds", mean_and_worst(&known)),
            }
        };
        write!(
            f,
            "{} | {:.0} | {} | {} | {}",
            days(&self.full, "never in 60"),
            self.level.iter().sum::<u64>() as f64 / self.level.len().max(1) as f64,
            mean_and_worst(&self.unwelcome),
            mean_and_worst(&self.delayed),
            mean_and_worst(&self.lost)
        )
    }
}

fn mean_and_worst(values: &[u64]) -> String {
    let mean = values.iter().sum::<u64>() as f64 / values.len().max(1) as f64;
    let worst = values.iter().max().copied().unwrap_or(0);
    if mean < 100.0 { format!("{mean:.1} ({worst})") } else { format!("{mean:.0} ({worst})") }
}
