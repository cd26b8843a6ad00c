//! Where windows begin and end.
//!
//! Owns:       the day boundary of the installation's zone.
//! Promises:   a day with a change to summer time is one day; asking costs a lock, not a calendar.
//! Knows not:  what is counted.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan as _};
use parking_lot::Mutex;

use crate::model::Timestamp;

pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// Half open: a moment at `end` belongs to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub begin: Timestamp,
    pub end: Timestamp,
}

impl Span {
    pub fn holds(&self, moment: Timestamp) -> bool {
        self.begin <= moment && moment < self.end
    }
}

pub struct Calendar {
    zone: TimeZone,
    /// The day begins so long after midnight.
    boundary: Duration,
    /// The day that was asked for last.
    last: Mutex<Option<Span>>,
}

impl Clone for Calendar {
    fn clone(&self) -> Calendar {
        Calendar::new(self.zone.clone(), self.boundary)
    }
}

impl Calendar {
    pub fn new(zone: TimeZone, boundary: Duration) -> Calendar {
        Calendar { zone, boundary, last: Mutex::new(None) }
    }

    pub fn utc() -> Calendar {
        Calendar::new(TimeZone::UTC, Duration::ZERO)
    }

    /// The day that holds this moment.
    pub fn day(&self, now: Timestamp) -> Span {
        let mut last = self.last.lock();
        if let Some(day) = last.filter(|day| day.holds(now)) {
            return day;
        }
        let day = self.day_in_zone(now).unwrap_or_else(|_| floor(now, DAY, Timestamp(0)));
        *last = Some(day);
        day
    }

    fn day_in_zone(&self, now: Timestamp) -> Result<Span, jiff::Error> {
        let boundary = SignedDuration::try_from(self.boundary)?;
        let moment = jiff::Timestamp::from_microsecond(now.0)?;
        let shifted = moment.to_zoned(self.zone.clone()).checked_sub(boundary)?;
        let midnight = shifted.start_of_day()?;
        let next = midnight.checked_add(1.day())?.start_of_day()?;
        let begin = midnight.checked_add(boundary)?.timestamp();
        let end = next.checked_add(boundary)?.timestamp();
        Ok(Span { begin: Timestamp(begin.as_microsecond()), end: Timestamp(end.as_microsecond()) })
    }

    /// The window of this length that holds the moment: parts of a day are counted from its
    /// boundary and end with it, longer windows are counted from 1970.
    pub fn window(&self, length: Duration, now: Timestamp) -> Span {
        if length > DAY {
            return floor(now, length, Timestamp(0));
        }
        let day = self.day(now);
        if length == DAY {
            return day;
        }
        let window = floor(now, length, day.begin);
        Span { begin: window.begin, end: window.end.min(day.end) }
    }
}

fn floor(now: Timestamp, length: Duration, origin: Timestamp) -> Span {
    let length = i64::try_from(length.as_micros()).unwrap_or(i64::MAX).max(1);
    let begin = origin.0 + (now.0 - origin.0).div_euclid(length) * length;
    Span { begin: Timestamp(begin), end: Timestamp(begin.saturating_add(length)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let moment: jiff::Timestamp = text.parse().expect("a moment");
        Timestamp(moment.as_microsecond())
    }

    #[test]
    fn a_day_begins_at_the_boundary_of_its_zone() {
        let zone = TimeZone::get("Europe/Berlin").expect("the system knows the zone");
        let calendar = Calendar::new(zone, Duration::from_secs(6 * 3600));
        let day = calendar.day(at("2026-01-10T03:00:00Z"));
        assert_eq!(
            day,
            Span { begin: at("2026-01-09T05:00:00Z"), end: at("2026-01-10T05:00:00Z") }
        );
        assert_eq!(calendar.day(at("2026-01-10T05:00:00Z")).begin, at("2026-01-10T05:00:00Z"));
    }

    #[test]
    fn the_day_on_which_clocks_change_is_one_day() {
        let zone = TimeZone::get("Europe/Berlin").expect("the system knows the zone");
        let calendar = Calendar::new(zone, Duration::ZERO);
        let day = calendar.day(at("2026-03-29T12:00:00Z"));
        assert_eq!(
            day,
            Span { begin: at("2026-03-28T23:00:00Z"), end: at("2026-03-29T22:00:00Z") }
        );
    }

    #[test]
    fn shorter_windows_are_counted_from_the_boundary() {
        let calendar = Calendar::utc();
        let six = Duration::from_secs(6 * 3600);
        let window = calendar.window(six, at("2026-01-10T13:30:00Z"));
        assert_eq!(
            window,
            Span { begin: at("2026-01-10T12:00:00Z"), end: at("2026-01-10T18:00:00Z") }
        );
        let hour = calendar.window(Duration::from_secs(3600), at("2026-01-10T13:30:00Z"));
        assert_eq!(hour.begin, at("2026-01-10T13:00:00Z"));
    }
}
