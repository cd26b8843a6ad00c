//! The hours of a day that marketing is sent in, and what a day's budget is worth at each of them.
//!
//! Owns:       the sending window.
//! Promises:   the budget grows evenly over the window; no hour gets the whole day.
//! Knows not:  where a day begins: the limits' calendar says that, in the installation's zone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Pace, Timestamp};

const HOUR: Duration = Duration::from_secs(3600);

/// Hours after the day's beginning; 0 and 24 for all day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    pub hour_first: u8,
    /// It ends before this hour.
    pub hour_end: u8,
}

impl Default for Window {
    fn default() -> Window {
        Window { hour_first: 0, hour_end: 24 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    pub start: Timestamp,
    pub end: Timestamp,
    pub opens: Timestamp,
    pub closes: Timestamp,
}

impl Window {
    pub fn check(&self) -> Result<(), String> {
        if self.hour_first >= self.hour_end || self.hour_end > 24 {
            let (from, to) = (self.hour_first, self.hour_end);
            return Err(format!("the sending window {from}-{to} is not within 0-24"));
        }
        Ok(())
    }

    /// `8-20`.
    pub fn read(text: &str) -> Result<Window, String> {
        let hours = text.split_once('-').and_then(|(from, to)| {
            Some(Window { hour_first: from.parse().ok()?, hour_end: to.parse().ok()? })
        });
        let window = hours.ok_or_else(|| format!("'{text}' is no window such as 8-20"))?;
        window.check().map(|()| window)
    }

    /// On a day with these bounds. A day on which clocks change is a little shorter or longer.
    pub fn on(&self, (start, end): (Timestamp, Timestamp)) -> Day {
        let at = |hour: u8| (start + HOUR * u32::from(hour)).min(end);
        let closes = if self.hour_end == 24 { end } else { at(self.hour_end) };
        Day { start, end, opens: at(self.hour_first), closes }
    }

    pub fn pace(&self) -> Pace {
        Pace::Spread {
            begins: HOUR * u32::from(self.hour_first),
            ends: HOUR * u32::from(self.hour_end),
        }
    }
}

impl Day {
    pub fn holds(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_lies_within_its_day() {
        let day = (Timestamp::from_seconds(0), Timestamp::from_seconds(25 * 3600));
        let all = Window::default().on(day);
        assert_eq!((all.opens, all.closes), day);
        let office = Window::read("8-20").expect("lawful").on(day);
        assert_eq!(office.opens, Timestamp::from_seconds(8 * 3600));
        assert_eq!(office.closes, Timestamp::from_seconds(20 * 3600));
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for wrong in ["20-8", "8", "8-25", "-1-4", ""] {
            assert!(Window::read(wrong).is_err(), "{wrong}");
        }
    }
}
