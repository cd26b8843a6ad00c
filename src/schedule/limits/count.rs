//! How one limit counts: an even rate, what is open now, or what was used in windows.
//!
//! Owns:       the arithmetic of limits, and the state of one count.
//! Promises:   a count never grants more than its rule; what is given back can be granted again.
//! Knows not:  scopes, rows, who asks.

use std::collections::VecDeque;
use std::time::Duration;

use super::calendar::{Calendar, Span};
use crate::model::{Limit, Metric, Pace, StreamClass, Timestamp};

/// Windows shorter than this are even.
const EVEN_BELOW: Duration = Duration::from_secs(3600);
/// An even rate may run ahead by what it grants in this time, and by one unit at least.
const BURST: Duration = Duration::from_millis(100);
/// Of what a rate may run ahead, the part that transactional mail has on top.
const RESERVED_PART: i64 = 4;
/// A sliding window is counted in so many parts: what was used in a part comes back with its end.
const PARTS: u32 = 60;
/// A spread window grows in steps of this length, or of the share of one unit if that is longer.
const STEP_MIN: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// So many at one time.
    Gauge {
        value: u64,
    },
    /// GCRA, in nanoseconds: one unit each `interval`, ahead by `tolerance` at most.
    Rate {
        interval: i64,
        tolerance: i64,
    },
    Window {
        value: u64,
        length: Duration,
        pace: Pace,
    },
    /// Nothing at all.
    Stop,
}

impl Rule {
    /// None for what is no count but a property of a transaction or of a connection.
    pub fn of(limit: &Limit) -> Option<Rule> {
        let counted = match limit.metric {
            Metric::MessagesPerConnection | Metric::RecipientsPerMessage => return None,
            Metric::Connections => return Some(Rule::gauge(limit.value)),
            Metric::NewConnections | Metric::Messages => limit.window,
        };
        let length = counted.unwrap_or(Duration::from_secs(1)).max(Duration::from_millis(1));
        Some(match limit.pace {
            _ if limit.value == 0 => Rule::Stop,
            Pace::Fixed | Pace::Spread { .. } if length < EVEN_BELOW => {
                Rule::rate(limit.value, length)
            }
            pace => Rule::Window { value: limit.value, length, pace },
        })
    }

    fn gauge(value: u64) -> Rule {
        if value == 0 { Rule::Stop } else { Rule::Gauge { value } }
    }

    fn rate(value: u64, length: Duration) -> Rule {
        let value = u128::from(value);
        // Rounded up: a rate that does not divide its window is a little slower, never faster.
        let interval = length.as_nanos().div_ceil(value);
        let burst = (BURST.as_nanos() / interval.max(1)).max(1);
        let narrow = |number: u128| i64::try_from(number).unwrap_or(i64::MAX / 4);
        Rule::Rate { interval: narrow(interval), tolerance: narrow((burst - 1) * interval) }
    }

    /// Transactional mail may run ahead of an even rate a little further than marketing, which then
    /// waits for both: so it has a share that marketing cannot use up, and that costs nothing while
    /// there is none of it.
    pub fn for_class(self, class: StreamClass) -> Rule {
        match self {
            Rule::Rate { interval, tolerance } if class == StreamClass::Transactional => {
                let reserved = (tolerance / RESERVED_PART).max(interval);
                Rule::Rate { interval, tolerance: tolerance.saturating_add(reserved) }
            }
            other => other,
        }
    }

    /// Kept in the ledger, because a window outlives a restart.
    pub fn is_durable(&self) -> bool {
        matches!(self, Rule::Window { length, .. } if *length >= EVEN_BELOW)
    }

    pub fn is_gauge(&self) -> bool {
        matches!(self, Rule::Gauge { .. })
    }
}

/// What was used in one window, or in one part of a sliding one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub begins: Timestamp,
    /// Granted: offered, or about to be.
    pub used: u64,
    pub offered: u64,
    /// Of `used`, what was beyond the value, by mail that the limit does not bind.
    pub overdrawn: u64,
    /// Of `offered`, what the ledger knows of, and up to where it allows for more.
    pub written: u64,
    pub reserved: u64,
}

impl Bucket {
    pub fn new(begins: Timestamp) -> Bucket {
        Bucket { begins, used: 0, offered: 0, overdrawn: 0, written: 0, reserved: 0 }
    }
}

/// The state of one limit for one of those it counts.
#[derive(Clone, Debug, Default)]
pub struct Count {
    /// Of a gauge.
    open: u64,
    /// Of a rate: when the next unit would be due if all came evenly.
    due: i64,
    /// Of a window; oldest first.
    pub buckets: VecDeque<Bucket>,
}

/// What a look at a count says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Free(u64),
    /// Until when; None when nothing but a release opens it.
    Full(Option<Timestamp>),
}

impl Count {
    pub fn room(&self, rule: &Rule, calendar: &Calendar, now: Timestamp) -> Room {
        match rule {
            Rule::Stop => Room::Full(None),
            Rule::Gauge { value } => free_or(value.saturating_sub(self.open), None),
            Rule::Rate { interval, tolerance } => self.rate_room(*interval, *tolerance, now),
            Rule::Window { value, length, pace } => {
                let window = self.window(*length, pace, calendar, now);
                let used = self.used_in(&window);
                match pace {
                    Pace::Fixed => free_or(value.saturating_sub(used), Some(window.end)),
                    Pace::Sliding => self.sliding_room(*value, *length, &window),
                    Pace::Spread { begins, ends } => {
                        Spread::new(*value, *begins, *ends, window).room(used, now)
                    }
                }
            }
        }
    }

    /// Charges `n` units, whether there is room or not. Returns the bucket they went to.
    pub fn charge(
        &mut self,
        rule: &Rule,
        calendar: &Calendar,
        n: u64,
        now: Timestamp,
    ) -> Timestamp {
        match rule {
            Rule::Stop => {}
            Rule::Gauge { .. } => self.open += n,
            Rule::Rate { interval, .. } => {
                self.due = self.due.max(nanos(now)).saturating_add(times(*interval, n));
            }
            Rule::Window { value, length, pace } => {
                let window = self.window(*length, pace, calendar, now);
                let before = self.used_in(&window);
                let beyond = (before + n).saturating_sub(*value).min(n);
                let begins = match pace {
                    Pace::Sliding => calendar.window(part(*length), now).begin,
                    Pace::Fixed | Pace::Spread { .. } => window.begin,
                };
                let bucket = self.bucket(begins, &window);
                bucket.used += n;
                bucket.overdrawn += beyond;
                return bucket.begins;
            }
        }
        now
    }

    /// Takes back what was charged to the bucket `at` and not offered.
    pub fn give_back(&mut self, rule: &Rule, n: u64, at: Timestamp) {
        match rule {
            Rule::Stop => {}
            Rule::Gauge { .. } => self.open = self.open.saturating_sub(n),
            Rule::Rate { interval, .. } => {
                self.due = self.due.saturating_sub(times(*interval, n));
            }
            Rule::Window { .. } => {
                if let Some(bucket) = self.buckets.iter_mut().find(|one| one.begins == at) {
                    bucket.used = bucket.used.saturating_sub(n);
                    bucket.overdrawn = bucket.overdrawn.saturating_sub(n);
                }
            }
        }
    }

    /// What was charged to the bucket `at` is on its way now; negative: it was not, after all.
    pub fn offer(&mut self, n: i64, at: Timestamp) -> Option<Bucket> {
        let bucket = self.buckets.iter_mut().find(|one| one.begins == at)?;
        bucket.offered = bucket.offered.saturating_add_signed(n);
        Some(*bucket)
    }

    /// The ledger allows for `n` more in the bucket `at`. One that is gone needs nobody's leave.
    pub fn is_reserved(&self, n: u64, at: Timestamp) -> bool {
        let bucket = self.buckets.iter().find(|one| one.begins == at);
        bucket.is_none_or(|bucket| bucket.offered + n <= bucket.reserved)
    }

    /// Puts a bucket of an earlier life in its place.
    pub fn restore(&mut self, bucket: Bucket) {
        let place = self.buckets.partition_point(|one| one.begins < bucket.begins);
        if self.buckets.get(place).is_none_or(|one| one.begins != bucket.begins) {
            self.buckets.insert(place, bucket);
        }
    }

    /// The same, as if every connection were closed.
    pub fn with_none_open(&self) -> Count {
        Count { open: 0, ..self.clone() }
    }

    /// Used and overdrawn in the present window.
    pub fn usage(&self, rule: &Rule, calendar: &Calendar, now: Timestamp) -> (u64, u64) {
        match rule {
            Rule::Gauge { .. } => (self.open, 0),
            Rule::Window { length, pace, .. } => {
                let window = self.window(*length, pace, calendar, now);
                let inside = self.inside(&window);
                inside.fold((0, 0), |sum, one| (sum.0 + one.used, sum.1 + one.overdrawn))
            }
            Rule::Rate { .. } | Rule::Stop => (0, 0),
        }
    }

    /// Nothing would be lost if it were forgotten.
    pub fn is_at_rest(&self, rule: &Rule, calendar: &Calendar, now: Timestamp) -> bool {
        let spent = match rule {
            Rule::Window { length, pace, .. } => {
                self.used_in(&self.window(*length, pace, calendar, now)) == 0
            }
            _ => true,
        };
        spent && self.open == 0 && self.due <= nanos(now)
    }

    fn rate_room(&self, interval: i64, tolerance: i64, now: Timestamp) -> Room {
        let due = self.due.max(nanos(now));
        let ahead = due - nanos(now);
        if ahead > tolerance {
            let wait = u64::try_from(ahead - tolerance).unwrap_or(0).div_ceil(1000);
            return Room::Full(Some(now + Duration::from_micros(wait)));
        }
        let units = (tolerance - ahead) / interval.max(1) + 1;
        Room::Free(u64::try_from(units).unwrap_or(1))
    }

    /// The window at this moment. A clock that was set back does not open an older one.
    fn window(&self, length: Duration, pace: &Pace, calendar: &Calendar, now: Timestamp) -> Span {
        let latest = self.buckets.back().map_or(now, |bucket| bucket.begins.max(now));
        match pace {
            // A part goes out as a whole, once the last moment of it has left the window.
            Pace::Sliding => {
                Span { begin: now - length - part(length), end: latest + part(length) }
            }
            Pace::Fixed | Pace::Spread { .. } => calendar.window(length, latest),
        }
    }

    fn inside(&self, window: &Span) -> impl Iterator<Item = &Bucket> {
        self.buckets.iter().filter(|bucket| window.holds(bucket.begins))
    }

    fn used_in(&self, window: &Span) -> u64 {
        self.inside(window).map(|bucket| bucket.used).sum()
    }

    fn sliding_room(&self, value: u64, length: Duration, window: &Span) -> Room {
        let mut used = self.used_in(window);
        if used < value {
            return Room::Free(value - used);
        }
        for bucket in self.inside(window) {
            used -= bucket.used;
            if used < value {
                // One microsecond later it lies outside.
                let left = bucket.begins + length + part(length);
                return Room::Full(Some(left + Duration::from_micros(1)));
            }
        }
        Room::Full(None)
    }

    fn bucket(&mut self, begins: Timestamp, window: &Span) -> &mut Bucket {
        while self.buckets.front().is_some_and(|oldest| oldest.begins < window.begin) {
            self.buckets.pop_front();
        }
        // A clock that was set back goes on with the latest.
        let is_new = self.buckets.back().is_none_or(|latest| latest.begins < begins);
        if is_new {
            self.buckets.push_back(Bucket::new(begins));
        }
        let last = self.buckets.len() - 1;
        &mut self.buckets[last]
    }
}

fn free_or(free: u64, until: Option<Timestamp>) -> Room {
    if free == 0 { Room::Full(until) } else { Room::Free(free) }
}

fn part(length: Duration) -> Duration {
    (length / PARTS).max(Duration::from_millis(1))
}

fn nanos(moment: Timestamp) -> i64 {
    moment.0.saturating_mul(1000)
}

fn times(interval: i64, n: u64) -> i64 {
    interval.saturating_mul(i64::try_from(n).unwrap_or(i64::MAX))
}

/// A count that grows evenly over a part of its window.
struct Spread {
    value: u128,
    /// In microseconds: where the growth begins, how long it lasts, and its steps.
    begin: Timestamp,
    length: u128,
    step: u128,
    end: Timestamp,
    offset: Duration,
}

impl Spread {
    fn new(value: u64, begins: Duration, ends: Duration, window: Span) -> Spread {
        let length = ends.saturating_sub(begins).as_micros().max(1);
        let value = u128::from(value);
        let step = STEP_MIN.as_micros().max(length / value.max(1)).min(length);
        Spread {
            value,
            begin: window.begin + begins,
            length,
            step,
            end: window.end,
            offset: begins,
        }
    }

    fn room(&self, used: u64, now: Timestamp) -> Room {
        let free = self.allowed(now).saturating_sub(used);
        free_or(free, Some(self.opens(used, now)))
    }

    fn allowed(&self, now: Timestamp) -> u64 {
        if now < self.begin {
            return 0;
        }
        let passed = now.since(self.begin).as_micros();
        let grown = ((passed / self.step + 1) * self.step).min(self.length);
        let allowed = (self.value * grown).div_ceil(self.length).min(self.value);
        u64::try_from(allowed).unwrap_or(u64::MAX)
    }

    /// When more than `used` are allowed.
    fn opens(&self, used: u64, now: Timestamp) -> Timestamp {
        let used = u128::from(used);
        if used >= self.value {
            return self.end + self.offset;
        }
        let steps = used * self.length / (self.value * self.step);
        let wait = u64::try_from(steps * self.step).unwrap_or(u64::MAX);
        (self.begin + Duration::from_micros(wait)).max(now + Duration::from_micros(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::*;

    fn limit(value: u64, window: Duration, pace: Pace) -> Rule {
        let scope = LimitScope {
            from: FromScope::Installation,
            to: ToScope::Anywhere,
            who: WhoScope::Everybody,
            class: None,
        };
        let limit = Limit {
            id: LimitId(1),
            scope,
            metric: Metric::Messages,
            value,
            window: Some(window),
            pace,
            origin: Origin::Admin,
            reason: String::new(),
            expires_at: None,
            pinned: false,
        };
        Rule::of(&limit).expect("it counts")
    }

    const HOUR: Duration = Duration::from_secs(3600);
    const MONDAY: Timestamp = Timestamp::from_seconds(1_767_571_200);

    /// Takes whatever is free at each of the moments that the count itself names.
    fn drained(rule: &Rule, from: Timestamp, until: Timestamp) -> Vec<(Timestamp, u64)> {
        let calendar = Calendar::utc();
        let (mut count, mut now, mut taken) = (Count::default(), from, Vec::new());
        while now < until {
            match count.room(rule, &calendar, now) {
                Room::Free(free) => {
                    count.charge(rule, &calendar, free, now);
                    taken.push((now, free));
                }
                Room::Full(Some(opens)) => {
                    assert!(
                        opens > now,
                        "a moment that does not lie ahead would be asked for ever"
                    );
                    now = opens;
                }
                Room::Full(None) => break,
            }
        }
        taken
    }

    fn most_in_any(taken: &[(Timestamp, u64)], span: Duration) -> u64 {
        let (mut first, mut sum, mut most) = (0, 0, 0);
        for (at, n) in taken {
            sum += n;
            while taken[first].0 + span <= *at {
                sum -= taken[first].1;
                first += 1;
            }
            most = most.max(sum);
        }
        most
    }

    #[test]
    fn an_even_rate_keeps_its_time() {
        for (value, window) in [(1, 60), (7, 1), (100, 1), (30, 60), (600, 60), (5000, 1)] {
            let window = Duration::from_secs(window);
            let rule = limit(value, window, Pace::Fixed);
            let taken = drained(&rule, MONDAY, MONDAY + window * 10);
            let sum: u64 = taken.iter().map(|(_, n)| n).sum();
            assert!(sum >= value * 10 - value / 100, "{value} in {window:?}: {sum}");
            let ahead = (value as f64 * BURST.as_secs_f64() / window.as_secs_f64()).max(1.0);
            let most = most_in_any(&taken, window);
            assert!(most as f64 <= value as f64 + ahead, "{value} in {window:?}: {most}");
        }
    }

    #[test]
    fn transactional_mail_finds_room_in_a_rate_that_marketing_has_used_up() {
        let calendar = Calendar::utc();
        for (value, window) in [(6, 60), (100, 1), (5000, 1)] {
            let rule = limit(value, Duration::from_secs(window), Pace::Fixed);
            let mut count = Count::default();
            let Room::Free(free) = count.room(&rule, &calendar, MONDAY) else { panic!("full") };
            count.charge(&rule, &calendar, free, MONDAY);
            let urgent = rule.for_class(StreamClass::Transactional);
            let Room::Free(reserved) = count.room(&urgent, &calendar, MONDAY) else {
                panic!("nothing is reserved of {value}")
            };
            assert!(reserved >= 1 && reserved <= 1 + value / 40, "{reserved} of {value}");
            count.charge(&urgent, &calendar, reserved, MONDAY);
            assert!(matches!(count.room(&urgent, &calendar, MONDAY), Room::Full(Some(_))));
        }
    }

    #[test]
    fn a_fixed_window_opens_at_its_boundary() {
        let rule = limit(500, Duration::from_secs(24 * 3600), Pace::Fixed);
        let taken = drained(&rule, MONDAY + HOUR, MONDAY + HOUR * 25);
        assert_eq!(taken, [(MONDAY + HOUR, 500), (MONDAY + HOUR * 24, 500)]);
    }

    #[test]
    fn a_sliding_window_is_not_exceeded_in_any_such_span() {
        for (value, window) in [(100, HOUR), (7, HOUR * 6), (60, Duration::from_secs(600))] {
            let rule = limit(value, window, Pace::Sliding);
            let calendar = Calendar::utc();
            let (mut count, mut taken) = (Count::default(), Vec::new());
            for second in 0..window.as_secs() * 3 {
                let now = MONDAY + Duration::from_secs(second);
                if let (0, Room::Free(_)) = (second % 7, count.room(&rule, &calendar, now)) {
                    count.charge(&rule, &calendar, 1, now);
                    taken.push((now, 1));
                }
            }
            assert_eq!(most_in_any(&taken, window), value, "{window:?}");
            let sum = taken.len() as u64;
            assert!(sum >= value * 5 / 2, "what leaves the window comes back: {sum} of {value}");
        }
    }

    #[test]
    fn a_spread_window_grows_evenly_between_its_hours() {
        let pace = Pace::Spread { begins: HOUR * 8, ends: HOUR * 20 };
        for value in [1, 5, 50, 12_345, 400_000] {
            let rule = limit(value, Duration::from_secs(24 * 3600), pace);
            let taken = drained(&rule, MONDAY, MONDAY + HOUR * 24);
            assert_eq!(taken.iter().map(|(_, n)| n).sum::<u64>(), value);
            assert_eq!(taken[0].0, MONDAY + HOUR * 8);
            assert!(taken.iter().all(|(at, _)| *at < MONDAY + HOUR * 20));
            let noon = taken.iter().filter(|(at, _)| *at < MONDAY + HOUR * 14);
            let half: u64 = noon.map(|(_, n)| n).sum();
            assert!(half.abs_diff(value / 2) <= 1 + value / 700, "{half} of {value} by 14:00");
        }
    }

    #[test]
    fn a_clock_set_back_opens_no_budget_again() {
        for pace in [Pace::Fixed, Pace::Sliding] {
            let rule = limit(10, Duration::from_secs(24 * 3600), pace);
            let calendar = Calendar::utc();
            let mut count = Count::default();
            count.charge(&rule, &calendar, 10, MONDAY + HOUR);
            let room = count.room(&rule, &calendar, MONDAY - HOUR * 2);
            assert!(matches!(room, Room::Full(_)), "{pace:?}: {room:?}");
        }
    }

    #[test]
    fn what_is_given_back_can_be_granted_again() {
        let calendar = Calendar::utc();
        for rule in [
            limit(10, Duration::from_secs(1), Pace::Fixed),
            limit(10, HOUR, Pace::Sliding),
            limit(10, HOUR, Pace::Fixed),
            Rule::Gauge { value: 10 },
        ] {
            let mut count = Count::default();
            let first = count.room(&rule, &calendar, MONDAY);
            let Room::Free(free) = first else { panic!("{first:?}") };
            let at = count.charge(&rule, &calendar, free, MONDAY);
            assert!(matches!(count.room(&rule, &calendar, MONDAY), Room::Full(_)));
            count.give_back(&rule, free, at);
            assert_eq!(count.room(&rule, &calendar, MONDAY), first, "{rule:?}");
        }
    }

    #[test]
    fn nothing_stops_all_and_names_no_time() {
        let rule = limit(0, HOUR, Pace::Fixed);
        assert_eq!(Count::default().room(&rule, &Calendar::utc(), MONDAY), Room::Full(None));
    }
}
