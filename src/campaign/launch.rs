//! The launch: who is in the audience, and in which parts it is sent.
//!
//! Owns:       the filter of an audience, the order of its slices, sending windows.
//! Promises:   each contact is in exactly one slice; the same audience gives the same slices.
//! Knows not:  how slices are kept, when they are fed.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;

use super::{Schema, Unlawful, segment};
use crate::model::*;
use crate::store::filter::{Compare, Filter, Place, Test, TextCompare};
use crate::store::{SavedSegmentRow, SliceRow};

/// Contacts of one slice: its deliveries are one transaction of some ten milliseconds.
pub const SLICE_CONTACTS: usize = 500;

/// Those who are written to: of the lists and segments, active, not excluded, not asleep, and not
/// written to just before.
pub fn filter(
    settings: &CampaignSettings,
    schema: &Schema,
    saved: &[SavedSegmentRow],
    now: Timestamp,
) -> Result<Filter, Unlawful> {
    let audience = &settings.audience;
    let known = Known { schema, saved, now };
    let wanted = match audience.unconfirmed {
        true => MembershipStatus::Unconfirmed,
        false => MembershipStatus::Subscribed,
    };
    let included = known.any_of(
        ("audience.lists", &audience.lists, wanted),
        ("audience.segments", &audience.segments),
        ("audience.expression", audience.expression.as_deref()),
    )?;
    let excluded = known.any_of(
        ("audience.exclude_lists", &audience.exclude_lists, MembershipStatus::Subscribed),
        ("audience.exclude_segments", &audience.exclude_segments),
        ("audience.exclude_expression", audience.exclude_expression.as_deref()),
    )?;
    let active = Filter::Test(Test::Text {
        place: Place::Status,
        compare: TextCompare::Equal,
        value: ContactStatus::Active.word().to_owned(),
    });
    let mut all = vec![active, Filter::Any(included)];
    if !excluded.is_empty() {
        all.push(Filter::Not(Box::new(Filter::Any(excluded))));
    }
    if let Some(days) = settings.sunset_days {
        all.push(Filter::Not(Box::new(asleep(days, now))));
    }
    if let Some(days) = settings.rest_days {
        let value = (now - Duration::from_secs(u64::from(days) * 86_400)).0;
        let (place, compare) = (Place::DeliveredAt, Compare::GreaterOrEqual);
        all.push(Filter::Not(Box::new(Filter::Test(Test::Number { place, compare, value }))));
    }
    Ok(Filter::All(all))
}

/// Was there all these days, and has neither opened nor clicked.
fn asleep(days: u32, now: Timestamp) -> Filter {
    let since = now - Duration::from_secs(u64::from(days) * 86_400);
    let stirred = [Place::LastOpenAt, Place::LastClickAt, Place::CreatedAt].map(|place| {
        Filter::Test(Test::Number { place, compare: Compare::GreaterOrEqual, value: since.0 })
    });
    Filter::Not(Box::new(Filter::Any(stirred.to_vec())))
}

struct Known<'a> {
    schema: &'a Schema,
    saved: &'a [SavedSegmentRow],
    now: Timestamp,
}

impl Known<'_> {
    fn any_of(
        &self,
        (lists_field, lists, status): (&str, &[ListId], MembershipStatus),
        (segments_field, segments): (&str, &[SavedSegmentId]),
        (expression_field, expression): (&str, Option<&str>),
    ) -> Result<Vec<Filter>, Unlawful> {
        let mut any = Vec::new();
        for list in lists {
            let there_is_none = || Unlawful::of(lists_field, format!("there is no list {list}"));
            self.schema.list(*list).ok_or_else(there_is_none)?;
            any.push(Filter::Test(Test::Member { list: *list, status }));
        }
        for id in segments {
            let found = self.saved.iter().find(|saved| saved.id == *id);
            let there_is_none =
                || Unlawful::of(segments_field, format!("there is no segment {id}"));
            let saved = found.ok_or_else(there_is_none)?;
            any.push(self.read(&saved.expression, segments_field)?);
        }
        if let Some(text) = expression {
            any.push(self.read(text, expression_field)?);
        }
        Ok(any)
    }

    fn read(&self, text: &str, field: &str) -> Result<Filter, Unlawful> {
        segment::filter(text, self.schema, self.now)
            .map_err(|wrong| Unlawful::of(field, wrong.to_string()))
    }
}

/// How an audience is cut.
pub struct Cut<'a> {
    pub campaign: CampaignId,
    pub settings: &'a CampaignSettings,
    /// Variants of its content.
    pub variants: u64,
    /// When it begins, in the zone that `local_time` names.
    pub starts_at: Timestamp,
}

/// The audience in slices: whoever is due earlier goes earlier, the sample of a test before the
/// rest, and in each of these parts the audience keeps its order.
pub fn slices(audience: &[(ContactId, Option<String>)], cut: &Cut<'_>) -> Vec<SliceRow> {
    let mut parts: BTreeMap<(Timestamp, bool, u64), Vec<ContactId>> = BTreeMap::new();
    let mut zones: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for (contact, zone) in audience {
        let due = match (&cut.settings.local_time, zone.as_deref()) {
            (Some(_), Some(zone)) => *zones.entry(zone).or_insert_with(|| local_start(cut, zone)),
            _ => cut.starts_at,
        };
        let variant = variant_of(*contact, cut);
        let part = (due, variant.is_none(), variant.unwrap_or(0));
        parts.entry(part).or_default().push(*contact);
    }
    let mut slices = Vec::new();
    for ((not_before, is_rest, variant), contacts) in parts {
        for chunk in contacts.chunks(SLICE_CONTACTS) {
            slices.push(SliceRow {
                slice: i64::try_from(slices.len()).unwrap_or(i64::MAX),
                variant: (!is_rest).then_some(variant),
                not_before,
                contacts: chunk.to_vec(),
            });
        }
    }
    slices
}

/// None: it waits for the winner. Drawn by the ids alone, so that a snapshot that is made again
/// draws the same.
fn variant_of(contact: ContactId, cut: &Cut<'_>) -> Option<u64> {
    let Some(test) = &cut.settings.test else { return Some(0) };
    let drawn = mixed(contact.0.unsigned_abs() ^ cut.campaign.0.unsigned_abs().rotate_left(32));
    let is_in_sample = drawn % 100 < u64::from(test.sample_percent);
    is_in_sample.then(|| (drawn / 100) % cut.variants.max(1))
}

/// SplitMix64: neighbouring ids fall far from each other.
const fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// When a clock in `zone` shows what the clock of the campaign shows at its start. A zone that
/// there is not has the campaign's own time.
fn local_start(cut: &Cut<'_>, zone: &str) -> Timestamp {
    let own = cut.settings.local_time.as_deref().unwrap_or("UTC");
    let moved = || {
        let start = jiff::Timestamp::from_microsecond(cut.starts_at.0).ok()?;
        let shown: civil::DateTime = start.to_zoned(TimeZone::get(own).ok()?).datetime();
        let there = shown.to_zoned(TimeZone::get(zone).ok()?).ok()?;
        Some(Timestamp(there.timestamp().as_microsecond()))
    };
    moved().unwrap_or(cut.starts_at)
}

/// How far a clock may be ahead of another: the earliest contact of a campaign by local time.
pub const ZONES_APART: Duration = Duration::from_secs(26 * 3600);

/// None while the window is open, else when it opens. A window of a zone that there is not, or of
/// no day, is open: a launch refuses such.
pub fn closed_until(window: &SendingWindow, now: Timestamp) -> Option<Timestamp> {
    let zone = TimeZone::get(&window.zone).ok()?;
    let moment = jiff::Timestamp::from_microsecond(now.0).ok()?;
    let start = moment.to_zoned(zone.clone());
    // Yesterday's window may go over midnight.
    let mut earliest: Option<Timestamp> = None;
    for offset in -1i64..=8 {
        let date = start.date().checked_add(jiff::Span::new().days(offset)).ok()?;
        let weekday = date.weekday().to_monday_one_offset().unsigned_abs();
        if !window.days.is_empty() && !window.days.contains(&weekday) {
            continue;
        }
        let over = i64::from(window.to_minute <= window.from_minute);
        let opens = at_minute(date, window.from_minute, 0, &zone)?;
        let closes = at_minute(date, window.to_minute, over, &zone)?;
        if (opens..closes).contains(&now) {
            return None;
        }
        if opens > now {
            earliest = earliest.into_iter().chain([opens]).min();
        }
    }
    earliest
}

fn at_minute(
    date: civil::Date,
    minute: u16,
    days_later: i64,
    zone: &TimeZone,
) -> Option<Timestamp> {
    let date = date.checked_add(jiff::Span::new().days(days_later)).ok()?;
    let midnight = date.at(0, 0, 0, 0);
    let shown = midnight.checked_add(jiff::Span::new().minutes(i64::from(minute))).ok()?;
    Some(Timestamp(shown.to_zoned(zone.clone()).ok()?.timestamp().as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().expect("a moment").as_microsecond())
    }

    fn audience(count: i64, zone: Option<&str>) -> Vec<(ContactId, Option<String>)> {
        (1..=count).map(|id| (ContactId(id), zone.map(str::to_owned))).collect()
    }

    fn cut(settings: &CampaignSettings, variants: u64) -> Vec<SliceRow> {
        let starts_at = moment("2026-11-27T08:00:00Z");
        let mut people = audience(1200, None);
        people.extend((1201..=1300).map(|id| (ContactId(id), Some("Asia/Tokyo".to_owned()))));
        slices(&people, &Cut { campaign: CampaignId(7), settings, variants, starts_at })
    }

    #[test]
    fn everybody_is_in_one_slice_in_the_order_of_the_audience() {
        let slices = cut(&CampaignSettings::default(), 1);
        let all: Vec<i64> = slices.iter().flat_map(|one| &one.contacts).map(|id| id.0).collect();
        assert_eq!(all, (1..=1300).collect::<Vec<_>>());
        assert_eq!(
            slices.iter().map(|one| one.contacts.len()).collect::<Vec<_>>(),
            [500, 500, 300]
        );
    }

    #[test]
    fn a_sample_of_a_test_goes_first_and_the_rest_waits() {
        let test =
            AbTest { sample_percent: 20, decide_after: None, delivered_min: 100, otherwise: None };
        let settings = CampaignSettings { test: Some(test), ..Default::default() };
        let slices = cut(&settings, 2);
        let of = |variant| -> usize {
            let own = slices.iter().filter(|one| one.variant == variant);
            own.map(|one| one.contacts.len()).sum()
        };
        let (a, b, rest) = (of(Some(0)), of(Some(1)), of(None));
        assert_eq!(a + b + rest, 1300);
        assert!((80..180).contains(&a) && (80..180).contains(&b), "{a} {b}");
        assert!(slices.last().is_some_and(|last| last.variant.is_none()));
        assert_eq!(cut(&settings, 2), slices, "drawn again it is the same");
    }

    #[test]
    fn by_local_time_the_east_goes_first() {
        let settings =
            CampaignSettings { local_time: Some("Europe/Berlin".to_owned()), ..Default::default() };
        let slices = cut(&settings, 1);
        // Nine o'clock in Berlin; nine in Tokyo was eight hours before.
        assert_eq!(slices[0].not_before, moment("2026-11-27T00:00:00Z"));
        assert_eq!(slices[0].contacts[0], ContactId(1201));
        assert_eq!(slices[1].not_before, moment("2026-11-27T08:00:00Z"));
    }

    #[test]
    fn a_window_is_open_in_its_hours_and_says_when_it_opens() {
        let window = |from: u16, to: u16, days: &[u8]| SendingWindow {
            from_minute: from * 60,
            to_minute: to * 60,
            zone: "Europe/Berlin".to_owned(),
            days: days.to_vec(),
        };
        // 2026-11-27 is a Friday; Berlin is an hour ahead of UTC.
        for (window, now, until) in [
            (window(9, 18, &[]), "2026-11-27T08:00:00Z", None),
            (window(9, 18, &[]), "2026-11-27T07:59:00Z", Some("2026-11-27T08:00:00Z")),
            (window(9, 18, &[]), "2026-11-27T17:00:00Z", Some("2026-11-28T08:00:00Z")),
            (window(9, 18, &[1, 2]), "2026-11-27T09:00:00Z", Some("2026-11-30T08:00:00Z")),
            (window(22, 6, &[]), "2026-11-27T03:00:00Z", None),
            (window(22, 6, &[]), "2026-11-27T05:30:00Z", Some("2026-11-27T21:00:00Z")),
            (window(0, 24, &[]), "2026-11-27T05:30:00Z", None),
        ] {
            let until = until.map(moment);
            assert_eq!(closed_until(&window, moment(now)), until, "{window:?} at {now}");
        }
    }
}
