//! What an automation may say: its entry, its steps, what lets people in.

use jiff::tz::TimeZone;

use crate::campaign::{Schema, Unlawful, plan, segment};
use crate::model::contact::days_of;
use crate::model::*;
use crate::store::filter::{Compare, Filter, Place, Test};

pub const STEPS_MAX: usize = 100;
const WAIT_SECONDS_MAX: u64 = 366 * 86_400;
const DAYS_MAX: i64 = 3660;
const EVENT_BYTES_MAX: usize = 100;
const NAMES_MAX: usize = 20;

/// Each refusal names its field. What the mails say is checked where templates are made ready.
pub fn check(
    definition: &AutomationDefinition,
    schema: &Schema,
    now: Timestamp,
) -> Result<(), Unlawful> {
    check_entry(&definition.entry, schema)?;
    plan::check_tracking(&definition.tracking)?;
    if let Some(list) = definition.list
        && schema.list(list).is_none()
    {
        return Err(Unlawful::of("list", format!("there is no list {list}")));
    }
    if let Some(goal) = &definition.goal {
        let wrong = |wrong: segment::SegmentError| Unlawful::of("goal", wrong.to_string());
        segment::filter(goal, schema, now).map_err(wrong)?;
    }
    if !(1..=STEPS_MAX).contains(&definition.steps.len()) {
        return Err(Unlawful::of("steps", format!("there are 1 to {STEPS_MAX} steps")));
    }
    for (place, step) in definition.steps.iter().enumerate() {
        check_step(step, &format!("steps[{place}]"), schema, now)?;
    }
    Ok(())
}

fn check_entry(entry: &AutomationEntry, schema: &Schema) -> Result<(), Unlawful> {
    match entry {
        AutomationEntry::Subscription { list } => match schema.list(*list) {
            Some(_) => Ok(()),
            None => Err(Unlawful::of("entry.list", format!("there is no list {list}"))),
        },
        AutomationEntry::Tag { tag } => match schema.tag(tag) {
            Some(_) => Ok(()),
            None => Err(Unlawful::of("entry.tag", "there is no such tag")),
        },
        AutomationEntry::Event { event } => event_name(event).map(|_| ()),
        AutomationEntry::Date { field, days, minute, zone, .. } => {
            let found = schema.field(field);
            if !found.is_some_and(is_dated) {
                let why = "there is no such field of dates or birthdays";
                return Err(Unlawful::of("entry.field", why));
            }
            if !(-DAYS_MAX..=DAYS_MAX).contains(days) {
                return Err(Unlawful::of("entry.days", "is at most ten years"));
            }
            if *minute > 1439 {
                return Err(Unlawful::of("entry.minute", "a day has 1440 minutes"));
            }
            let wrong = |_| Unlawful::of("entry.zone", "is no time zone such as Europe/Berlin");
            TimeZone::get(zone).map(|_| ()).map_err(wrong)
        }
    }
}

/// The name of an event, as applications tell it.
pub fn event_name(event: &str) -> Result<&str, Unlawful> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    if !(1..=EVENT_BYTES_MAX).contains(&event.len()) || !event.bytes().all(is_word) {
        return Err(Unlawful::of("event", "must be 1 to 100 letters, digits and _ - . :"));
    }
    Ok(event)
}

/// Days that are sealed cannot be looked for.
const fn is_dated(field: &Field) -> bool {
    !field.encrypted && matches!(field.kind, FieldKind::Date | FieldKind::Birthday)
}

fn check_step(
    step: &AutomationStep,
    place: &str,
    schema: &Schema,
    now: Timestamp,
) -> Result<(), Unlawful> {
    match step {
        AutomationStep::Wait { seconds, window } => {
            if !(1..=WAIT_SECONDS_MAX).contains(seconds) {
                let why = "is one second to 366 days";
                return Err(Unlawful::of(format!("{place}.seconds"), why));
            }
            let Some(window) = window else { return Ok(()) };
            let is_zone = TimeZone::get(&window.zone).is_ok();
            let is_day = |day: &u8| (1..=7).contains(day);
            if !is_zone || window.from_minute > 1439 || window.to_minute > 1440 {
                let why = "is minutes of a day in a zone such as Europe/Berlin";
                return Err(Unlawful::of(format!("{place}.window"), why));
            }
            match window.days.iter().all(is_day) {
                true => Ok(()),
                false => {
                    let why = "1 is Monday, 7 is Sunday";
                    Err(Unlawful::of(format!("{place}.window.days"), why))
                }
            }
        }
        AutomationStep::Condition { expression, .. } => {
            let wrong = |wrong: segment::SegmentError| {
                Unlawful::of(format!("{place}.expression"), wrong.to_string())
            };
            segment::filter(expression, schema, now).map(|_| ()).map_err(wrong)
        }
        AutomationStep::Change { tags, fields, subscribe, unsubscribe } => {
            let names = tags.len() + fields.len() + subscribe.len() + unsubscribe.len();
            if !(1..=NAMES_MAX).contains(&names) {
                let why = format!("names 1 to {NAMES_MAX} tags, fields and lists");
                return Err(Unlawful::of(place, why));
            }
            check_fields(fields, &format!("{place}.fields"), schema)?;
            let mut lists = subscribe.iter().chain(unsubscribe);
            match lists.find(|list| schema.list(**list).is_none()) {
                None => Ok(()),
                Some(list) => Err(Unlawful::of(place, format!("there is no list {list}"))),
            }
        }
        AutomationStep::Send { .. } | AutomationStep::Exit => Ok(()),
    }
}

fn check_fields(
    fields: &serde_json::Map<String, serde_json::Value>,
    place: &str,
    schema: &Schema,
) -> Result<(), Unlawful> {
    for (name, value) in fields {
        let wrong = |why: String| Unlawful::of(format!("{place}.{name}"), why);
        let field = schema.field(name).ok_or_else(|| wrong("there is no such field".to_owned()))?;
        if !value.is_null() {
            FieldValue::from_json(field, value).map_err(wrong)?;
        }
    }
    Ok(())
}

/// What lets people in, as the writer of contacts looks it up: its kind, a blank, what it is.
/// None when there is no such thing (any more).
pub fn target(entry: &AutomationEntry, schema: &Schema) -> Option<String> {
    let target = match entry {
        AutomationEntry::Subscription { list } => schema.list(*list)?.id.to_string(),
        AutomationEntry::Tag { tag } => schema.tag(tag)?.id.to_string(),
        AutomationEntry::Date { field, .. } => field.clone(),
        AutomationEntry::Event { event } => event.clone(),
    };
    Some(format!("{} {target}", entry.kind()))
}

/// Whose day a day is: so many days behind the one that their field names.
pub fn dated_filter(
    entry: &AutomationEntry,
    day: i64,
    schema: &Schema,
) -> Result<Filter, Unlawful> {
    let AutomationEntry::Date { field, days, every_year, .. } = entry else {
        return Ok(Filter::Any(Vec::new()));
    };
    let gone = || Unlawful::of("entry.field", "there is no such field of dates or birthdays");
    let field = schema.field(field).filter(|field| is_dated(field)).ok_or_else(gone)?;
    let beside = Place::Beside { field: field.id, numeric: true };
    let place = field.slot.map_or(beside, Place::Slot);
    let named = day - days;
    let (from, to) = day_of_year(named);
    Ok(Filter::Test(match (field.kind, every_year) {
        (FieldKind::Birthday, _) => Test::DayOfYear { place, from, to },
        (_, true) => Test::Anniversary { place, from, to },
        (_, false) => Test::Number { place, compare: Compare::Equal, value: named },
    }))
}

/// As month times a hundred and day. Who was born on the 29th of February has his day on the 28th
/// in other years.
fn day_of_year(day: i64) -> (i64, i64) {
    let moment = jiff::Timestamp::from_second(day.saturating_mul(86_400)).unwrap_or_default();
    let date = moment.to_zoned(TimeZone::UTC).date();
    debug_assert_eq!(days_of(date), day, "within the calendar");
    let number = i64::from(date.month()) * 100 + i64::from(date.day());
    let is_short = number == 228 && !date.in_leap_year();
    (number, if is_short { 229 } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leap_day_is_kept_on_the_day_before_in_other_years() {
        let day = |year, month, day| days_of(jiff::civil::date(year, month, day));
        assert_eq!(day_of_year(day(2026, 2, 28)), (228, 229));
        assert_eq!(day_of_year(day(2024, 2, 28)), (228, 228));
        assert_eq!(day_of_year(day(2024, 2, 29)), (229, 229));
        assert_eq!(day_of_year(day(2026, 12, 1)), (1201, 1201));
    }

    #[test]
    fn names_of_events_are_plain_words() {
        assert!(event_name("order.shipped:2").is_ok());
        for wrong in ["", "two words", "x\n", &"x".repeat(101)] {
            assert!(event_name(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn steps_that_cannot_be_done_are_refused_by_their_place() {
        let schema = Schema::default();
        let definition = |steps: Vec<AutomationStep>| AutomationDefinition {
            entry: AutomationEntry::Event { event: "x".to_owned() },
            again: false,
            list: None,
            stream: StreamId(2),
            tracking: CampaignTracking::default(),
            goal: None,
            steps,
        };
        let refused = |steps| {
            let now = Timestamp(0);
            check(&definition(steps), &schema, now).err().map(|wrong| wrong.field)
        };
        assert_eq!(refused(vec![]).as_deref(), Some("steps"));
        assert_eq!(refused(vec![AutomationStep::Exit]), None);
        let wait = AutomationStep::Wait { seconds: 0, window: None };
        assert_eq!(refused(vec![AutomationStep::Exit, wait]).as_deref(), Some("steps[1].seconds"));
        let expression = "nonsense = 1".to_owned();
        let asked = AutomationStep::Condition { expression, skip: None };
        assert_eq!(refused(vec![asked]).as_deref(), Some("steps[0].expression"));
    }
}
