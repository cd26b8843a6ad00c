//! When a rate is too high. Pure.
//!
//! Owns:       thresholds, which windows are judged, when a standing changes.
//! Promises:   a few mails prove nothing: below `OF_MIN` no rate says anything, and a stop needs a
//!             rate that even the lower bound puts above the threshold; a standing that was told is
//!             not told again while it lasts.
//! Knows not:  what follows from a standing.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::*;
use crate::store::HealthSum;

/// A rate of fewer is noise.
pub const OF_MIN: u64 = 50;
/// So many of a kind are no accident of one mailbox.
const COUNT_MIN: u64 = 3;
/// One of a hundred is one person; two are two.
const COMPLAINTS_MIN: u64 = 2;
/// One-sided confidence of 95 %.
const SURE: f64 = 1.645;
/// A stop at an operator ends by itself; what is as bad after it is stopped again.
pub const STOPPED_FOR: Duration = Duration::from_secs(86_400);
/// Below this share of its threshold a rate is good again.
const GOOD_BELOW: f64 = 0.5;

/// From the first the operator is told, from the second mail stops; shares of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    pub warn: f64,
    /// None: it never stops anything.
    pub stop: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    pub bounce: Threshold,
    pub complaint: Threshold,
    pub deferral: Threshold,
    pub block: Threshold,
}

impl Thresholds {
    pub const fn of(&self, rate: WindowRate) -> Threshold {
        match rate {
            WindowRate::Bounce => self.bounce,
            WindowRate::Complaint => self.complaint,
            WindowRate::Deferral => self.deferral,
            WindowRate::Block => self.block,
        }
    }
}

/// A rate as it stands now.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    pub subject: WindowSubject,
    /// None for all of them.
    pub operator: Option<OperatorId>,
    pub organization: OrganizationId,
    pub rate: WindowRate,
    pub standing: WindowStanding,
    pub share: Share,
}

/// Of a day; complaints come in late, so they are those of a week.
pub const fn counts_of(sum: &HealthSum, rate: WindowRate) -> (u64, u64) {
    match rate {
        WindowRate::Complaint => sum.week.of(rate),
        _ => sum.day.of(rate),
    }
}

pub fn standing_of(
    rate: WindowRate,
    (count, of): (u64, u64),
    thresholds: &Thresholds,
) -> WindowStanding {
    let threshold = thresholds.of(rate);
    let count_min = if rate == WindowRate::Complaint { COMPLAINTS_MIN } else { COUNT_MIN };
    if of < OF_MIN || count < count_min {
        return WindowStanding::Good;
    }
    let share = Share::within(count, of, SURE);
    match threshold.stop {
        Some(stop) if share.low > stop => WindowStanding::Stop,
        _ if share.rate >= threshold.warn => WindowStanding::Warn,
        _ => WindowStanding::Good,
    }
}

/// Sources at each operator; everything else in all, and at one operator where it would stop there.
pub fn judge(sums: &[HealthSum], thresholds: &Thresholds) -> Vec<Judged> {
    let mut totals: BTreeMap<WindowSubject, HealthSum> = BTreeMap::new();
    for sum in sums.iter().filter(|sum| sum.subject.kind != WindowKind::Source) {
        let empty = HealthSum {
            operator: None,
            day: WindowCounts::default(),
            week: WindowCounts::default(),
            ..*sum
        };
        let total = totals.entry(sum.subject).or_insert(empty);
        total.day.add(&sum.day);
        total.week.add(&sum.week);
    }
    let mut judged = Vec::new();
    for sum in sums.iter().chain(totals.values()) {
        for rate in WindowRate::ALL.iter().copied() {
            let counts = counts_of(sum, rate);
            let mut standing = standing_of(rate, counts, thresholds);
            let is_part = sum.subject.kind != WindowKind::Source && sum.operator.is_some();
            if is_part && !can_stop_at_operator(sum.subject) {
                continue;
            }
            // Of small hosts each answers for itself (`small_hosts`).
            let is_tail = sum.operator == Some(OperatorId::TAIL);
            if is_part && (is_tail || standing == WindowStanding::Warn) {
                standing = WindowStanding::Good;
            }
            let share = Share::new(counts.0, counts.1);
            let (subject, operator, organization) = (sum.subject, sum.operator, sum.organization);
            judged.push(Judged { subject, operator, organization, rate, standing, share });
        }
    }
    judged
}

pub fn can_stop_at_operator(subject: WindowSubject) -> bool {
    matches!(subject.kind, WindowKind::Campaign | WindowKind::Domain)
}

/// The standing that is new, if one is: what was told, and since when, is given.
pub fn turn(
    before: Option<(WindowStanding, Timestamp)>,
    judged: &Judged,
    thresholds: &Thresholds,
    now: Timestamp,
) -> Option<WindowStanding> {
    let Some((known, since)) = before else {
        return (judged.standing != WindowStanding::Good).then_some(judged.standing);
    };
    match (known, judged.standing) {
        (WindowStanding::Warn, WindowStanding::Stop) => Some(WindowStanding::Stop),
        (WindowStanding::Stop, WindowStanding::Stop) if now.since(since) >= STOPPED_FOR => {
            Some(WindowStanding::Stop)
        }
        (_, WindowStanding::Good) => {
            let low = judged.share.rate < thresholds.of(judged.rate).warn * GOOD_BELOW;
            (low || judged.share.of < OF_MIN).then_some(WindowStanding::Good)
        }
        _ => None,
    }
}

/// A sentence for people; `who` and `place` are names.
pub fn sentence(judged: &Judged, who: &str, place: Option<&str>) -> String {
    let Share { count, of, rate, low, .. } = judged.share;
    let what = match judged.rate {
        WindowRate::Bounce => "addresses are lost",
        WindowRate::Complaint => "recipients complained",
        WindowRate::Deferral => "were put off",
        WindowRate::Block => "were refused for reputation",
    };
    let place = place.map_or(String::new(), |place| format!(" at {place}"));
    let is_sure = judged.standing == WindowStanding::Stop;
    let sure = if is_sure { format!(", surely above {:.2} %", low * 100.0) } else { String::new() };
    format!("{who}{place}: {count} of {of} {what} ({:.2} %{sure})", rate * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Thresholds = Thresholds {
        bounce: Threshold { warn: 0.02, stop: Some(0.1) },
        complaint: Threshold { warn: 0.001, stop: Some(0.003) },
        deferral: Threshold { warn: 0.2, stop: None },
        block: Threshold { warn: 0.02, stop: None },
    };

    fn sum(kind: WindowKind, operator: i64, counts: WindowCounts) -> HealthSum {
        HealthSum {
            subject: WindowSubject::new(kind, 7),
            operator: Some(OperatorId(operator)),
            organization: OrganizationId::FIRST,
            day: counts,
            week: counts,
        }
    }

    #[test]
    fn one_of_five_stops_nothing_and_many_of_many_do() {
        use WindowStanding::{Good, Stop, Warn};
        let cases = [
            (WindowRate::Complaint, 1, 5, Good),
            (WindowRate::Complaint, 5, 49, Good),
            (WindowRate::Complaint, 1, 300, Good),
            (WindowRate::Complaint, 2, 1000, Warn),
            (WindowRate::Complaint, 4, 1000, Warn),
            (WindowRate::Complaint, 10, 1000, Stop),
            (WindowRate::Bounce, 2, 50, Good),
            (WindowRate::Bounce, 19, 1000, Good),
            (WindowRate::Bounce, 20, 1000, Warn),
            (WindowRate::Bounce, 150, 1000, Stop),
            (WindowRate::Deferral, 900, 1000, Warn),
            (WindowRate::Block, 20, 1000, Warn),
        ];
        for (rate, count, of, expected) in cases {
            let told = standing_of(rate, (count, of), &USUAL);
            assert_eq!(told, expected, "{rate}: {count} of {of}");
        }
    }

    #[test]
    fn a_campaign_is_judged_in_all_and_stops_where_it_is_bad() {
        let bad = WindowCounts {
            answered: 500,
            taken: 500,
            ended: 500,
            complained: 9,
            ..Default::default()
        };
        let fine = WindowCounts { answered: 9000, taken: 9000, ended: 9000, ..Default::default() };
        let sums = [sum(WindowKind::Campaign, 3, bad), sum(WindowKind::Campaign, 2, fine)];
        let told = judge(&sums, &USUAL);
        let of = |operator: Option<i64>| {
            let operator = operator.map(OperatorId);
            let is_it =
                |one: &&Judged| one.operator == operator && one.rate == WindowRate::Complaint;
            told.iter().find(is_it).map(|one| one.standing)
        };
        assert_eq!(of(Some(3)), Some(WindowStanding::Stop));
        assert_eq!(of(Some(2)), Some(WindowStanding::Good));
        assert_eq!(of(None), Some(WindowStanding::Good), "9 of 9500 are below 0.1 %");
        let small = judge(&[sum(WindowKind::Campaign, OperatorId::TAIL.0, bad)], &USUAL);
        let stops = |one: &&Judged| one.standing == WindowStanding::Stop;
        let places: Vec<_> = small.iter().filter(stops).map(|one| one.operator).collect();
        assert_eq!(places, [None], "no host stops for what others of the tail say");
        let organization = judge(&[sum(WindowKind::Organization, 1, bad)], &USUAL);
        assert!(organization.iter().all(|one| one.operator.is_none()), "no mail stops for it");
    }

    #[test]
    fn what_was_told_is_told_again_only_when_it_is_worse_or_a_stop_has_ended() {
        let judged = |count: u64, of: u64| Judged {
            subject: WindowSubject::new(WindowKind::Campaign, 7),
            operator: None,
            organization: OrganizationId::FIRST,
            rate: WindowRate::Complaint,
            standing: standing_of(WindowRate::Complaint, (count, of), &USUAL),
            share: Share::new(count, of),
        };
        let at = |hours: i64| Timestamp::from_seconds(hours * 3600);
        let next = |before, count, of, hour| turn(before, &judged(count, of), &USUAL, at(hour));
        use WindowStanding::{Good, Stop, Warn};
        assert_eq!(next(None, 0, 1000, 0), None);
        assert_eq!(next(None, 3, 1000, 0), Some(Warn));
        assert_eq!(next(Some((Warn, at(0))), 3, 1000, 1), None);
        assert_eq!(next(Some((Warn, at(0))), 12, 1000, 1), Some(Stop));
        assert_eq!(next(Some((Stop, at(1))), 12, 1000, 2), None);
        assert_eq!(next(Some((Stop, at(1))), 3, 1000, 2), None, "it is not mended yet");
        assert_eq!(next(Some((Stop, at(1))), 12, 1000, 26), Some(Stop));
        assert_eq!(next(Some((Stop, at(1))), 1, 3000, 26), Some(Good));
        assert_eq!(next(Some((Warn, at(1))), 0, 0, 900), Some(Good), "the window is empty");
        let text = sentence(&judged(12, 1000), "campaign 7", Some("google"));
        assert!(
            text.starts_with("campaign 7 at google: 12 of 1000 recipients complained (1.20 %, ")
        );
    }
}
