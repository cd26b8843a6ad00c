//! Which step does what, and where it leads: pure.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::campaign::launch;
use crate::model::*;
use crate::store::{DueRun, RunContact, RunMove};

use super::PUT_OFF;

/// Moves of one run: the key of a mail is made of both.
pub const VISITS_MAX: i64 = 1000;
/// Days that were missed while nobody looked are made good, but for those further back.
const DAYS_LATE_MAX: i64 = 2;

/// What was found at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Wait,
    Sent,
    Changed,
    /// A condition holds, or does not.
    Asked(bool),
    Exit,
    /// There is no further step.
    Finish,
    /// Not now.
    PutOff,
}

/// Where a run goes from its step. It ends with its last step.
pub fn moved(steps: &[AutomationStep], run: DueRun, turn: Turn, now: Timestamp) -> RunMove {
    let next = |did: StepDone, skip: u32, wake_at: Timestamp| {
        let step = run.step.saturating_add(1).saturating_add(skip);
        let is_last = step as usize >= steps.len() || i64::from(run.visit) + 1 >= VISITS_MAX;
        let end = is_last.then_some(RunEnd::Finished);
        RunMove { run, did: Some(did), step, wake_at, end }
    };
    let step = steps.get(run.step as usize);
    match (turn, step) {
        (Turn::Wait, Some(AutomationStep::Wait { seconds, window })) => {
            let due = now + Duration::from_secs(*seconds);
            let opens = window.as_ref().and_then(|window| launch::closed_until(window, due));
            next(StepDone::Waited, 0, opens.unwrap_or(due))
        }
        (Turn::Asked(true), _) => next(StepDone::Held, 0, now),
        (Turn::Asked(false), Some(AutomationStep::Condition { skip: Some(skip), .. })) => {
            next(StepDone::NotHeld, u32::from(*skip), now)
        }
        (Turn::Asked(false), _) => {
            RunMove { did: Some(StepDone::NotHeld), ..ended(run, RunEnd::Condition, now) }
        }
        (Turn::Sent, _) => next(StepDone::Sent, 0, now),
        (Turn::Changed, _) => next(StepDone::Changed, 0, now),
        (Turn::Exit, _) => {
            RunMove { did: Some(StepDone::Exited), ..ended(run, RunEnd::Exited, now) }
        }
        (Turn::PutOff, _) => {
            RunMove { run, did: None, step: run.step, wake_at: now + PUT_OFF, end: None }
        }
        (Turn::Wait | Turn::Finish, _) => ended(run, RunEnd::Finished, now),
    }
}

/// It ends before its step.
pub fn ended(run: DueRun, why: RunEnd, now: Timestamp) -> RunMove {
    RunMove { run, did: None, step: run.step, wake_at: now, end: Some(why) }
}

/// None for whoever may stay. Who never was on the list may: a tag or an event let him in.
pub fn reason_to_leave(contact: Option<&RunContact>) -> Option<RunEnd> {
    match contact {
        None => Some(RunEnd::Gone),
        Some(contact) if contact.status != ContactStatus::Active => Some(RunEnd::Left),
        Some(contact) if contact.membership == Some(MembershipStatus::Unsubscribed) => {
            Some(RunEnd::Left)
        }
        Some(_) => None,
    }
}

/// By what a run is in an automation at most once.
pub fn key_of(definition: &AutomationDefinition, arrival: &str) -> String {
    let counts = definition.again || definition.entry.kind() == EntryKind::Date;
    if counts { arrival.to_owned() } else { String::new() }
}

/// The last day, since 1970, whose minute has come by the clock of the entry's zone. None for
/// entries that are by no date.
pub fn day_begun(entry: &AutomationEntry, now: Timestamp) -> Option<i64> {
    let AutomationEntry::Date { minute, zone, .. } = entry else { return None };
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let shown = jiff::Timestamp::from_microsecond(now.0).ok()?.to_zoned(zone).datetime();
    let today = crate::model::contact::days_of(shown.date());
    let minutes = i64::from(shown.hour()) * 60 + i64::from(shown.minute());
    Some(if minutes >= i64::from(*minute) { today } else { today - 1 })
}

/// An automation that has just become active begins with the next day that begins.
pub fn days_to_look_at(until: Option<i64>, today: i64) -> RangeInclusive<i64> {
    let first = until.map_or(today + 1, |until| (until + 1).max(today - DAYS_LATE_MAX));
    first..=today
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(step: u32) -> DueRun {
        DueRun { id: RunId(7), contact: ContactId(1), version: 1, step, visit: step + 1 }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn each_step_leads_where_it_says() {
        let condition = |skip| AutomationStep::Condition { expression: String::new(), skip };
        let steps = [
            AutomationStep::Wait { seconds: 60, window: None },
            condition(Some(1)),
            condition(None),
            AutomationStep::Exit,
            AutomationStep::Wait { seconds: 0, window: None },
        ];
        let to = |step: u32, turn: Turn| {
            let moved = moved(&steps, run(step), turn, at(100));
            (moved.did, moved.step, moved.wake_at, moved.end)
        };
        for (step, turn, did, next, wake_at, end) in [
            (0, Turn::Wait, Some(StepDone::Waited), 1, 160, None),
            (1, Turn::Asked(true), Some(StepDone::Held), 2, 100, None),
            (1, Turn::Asked(false), Some(StepDone::NotHeld), 3, 100, None),
            (2, Turn::Asked(true), Some(StepDone::Held), 3, 100, None),
            (2, Turn::Asked(false), Some(StepDone::NotHeld), 2, 100, Some(RunEnd::Condition)),
            (3, Turn::Exit, Some(StepDone::Exited), 3, 100, Some(RunEnd::Exited)),
            (3, Turn::PutOff, None, 3, 130, None),
            (3, Turn::Sent, Some(StepDone::Sent), 4, 100, None),
            (3, Turn::Changed, Some(StepDone::Changed), 4, 100, None),
            (4, Turn::Sent, Some(StepDone::Sent), 5, 100, Some(RunEnd::Finished)),
            (5, Turn::Finish, None, 5, 100, Some(RunEnd::Finished)),
        ] {
            assert_eq!(to(step, turn), (did, next, at(wake_at), end), "{step} {turn:?}");
        }
    }

    #[test]
    fn a_wait_ends_when_its_window_opens() {
        let window = SendingWindow {
            from_minute: 9 * 60,
            to_minute: 17 * 60,
            zone: "UTC".to_owned(),
            days: Vec::new(),
        };
        let steps =
            [AutomationStep::Wait { seconds: 3600, window: Some(window) }, AutomationStep::Exit];
        let moved = moved(&steps, run(0), Turn::Wait, at(20 * 3600));
        assert_eq!(moved.wake_at, at((24 + 9) * 3600));
    }

    #[test]
    fn a_day_begins_at_its_minute_and_missed_days_are_made_good() {
        let entry = AutomationEntry::Date {
            field: "born".to_owned(),
            days: 0,
            every_year: true,
            minute: 9 * 60,
            zone: "UTC".to_owned(),
        };
        assert_eq!(day_begun(&entry, at(10 * 86_400 + 9 * 3600 - 1)), Some(9));
        assert_eq!(day_begun(&entry, at(10 * 86_400 + 9 * 3600)), Some(10));
        assert!(days_to_look_at(None, 10).is_empty(), "not those of the day it was begun on");
        assert!(days_to_look_at(Some(10), 10).is_empty());
        assert_eq!(days_to_look_at(Some(9), 10), 10..=10);
        assert_eq!(days_to_look_at(Some(2), 10), 8..=10);
    }

    #[test]
    fn whoever_left_is_let_go() {
        let contact = |status, membership| RunContact {
            id: ContactId(1),
            email: "a@b.test".to_owned(),
            status,
            membership,
            heat: None,
        };
        use ContactStatus::{Active, Blocked};
        use MembershipStatus::{Subscribed, Unsubscribed};
        assert_eq!(reason_to_leave(None), Some(RunEnd::Gone));
        assert_eq!(reason_to_leave(Some(&contact(Blocked, None))), Some(RunEnd::Left));
        let left = contact(Active, Some(Unsubscribed));
        assert_eq!(reason_to_leave(Some(&left)), Some(RunEnd::Left));
        assert_eq!(reason_to_leave(Some(&contact(Active, Some(Subscribed)))), None);
        assert_eq!(reason_to_leave(Some(&contact(Active, None))), None);
    }
}
