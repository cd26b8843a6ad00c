//! Health at small hosts: together they are the tail, but each answers for itself alone.
//!
//! Owns:       what was counted for a campaign or a sending domain at one site of the tail.
//! Promises:   bounded memory; who has stopped at a site begins anew there when the stop is over; a
//!             restart begins anew, too.
//! Knows not:  what a stop is, rows.

use std::collections::HashMap;

use super::WEEK;
use super::rule::{Judged, STOPPED_FOR, Thresholds, can_stop_at_operator, standing_of};
use crate::model::*;

/// Pairs remembered; the oldest half goes beyond it.
const PAIRS_MAX: usize = 20_000;

#[derive(Clone, Copy, Debug)]
struct Record {
    organization: OrganizationId,
    since: Timestamp,
    counts: WindowCounts,
    stopped_until: Option<Timestamp>,
}

#[derive(Default)]
pub struct SmallHosts(HashMap<(WindowSubject, SiteId), Record>);

impl SmallHosts {
    pub fn add(
        &mut self,
        subject: WindowSubject,
        (organization, site): (OrganizationId, SiteId),
        counts: &WindowCounts,
        now: Timestamp,
    ) {
        if !can_stop_at_operator(subject) {
            return;
        }
        self.make_room();
        let empty = WindowCounts::default();
        let new = Record { organization, since: now, counts: empty, stopped_until: None };
        let record = self.0.entry((subject, site)).or_insert(new);
        if now.since(record.since) > WEEK {
            (record.since, record.counts) = (now, empty);
        }
        record.counts.add(counts);
    }

    /// What stops now at which site.
    pub fn bad(&mut self, thresholds: &Thresholds, now: Timestamp) -> Vec<(Judged, SiteId)> {
        let mut bad = Vec::new();
        for ((subject, site), record) in &mut self.0 {
            if record.stopped_until.is_some_and(|until| now < until) {
                continue;
            }
            let stops = |rate: &&WindowRate| {
                let counts = record.counts.of(**rate);
                standing_of(**rate, counts, thresholds) == WindowStanding::Stop
            };
            let Some(rate) = WindowRate::ALL.iter().find(stops) else { continue };
            let (count, of) = record.counts.of(*rate);
            bad.push((
                Judged {
                    subject: *subject,
                    operator: Some(OperatorId::TAIL),
                    organization: record.organization,
                    rate: *rate,
                    standing: WindowStanding::Stop,
                    share: Share::new(count, of),
                },
                *site,
            ));
            record.stopped_until = Some(now + STOPPED_FOR);
            (record.since, record.counts) = (now, WindowCounts::default());
        }
        bad.sort_by_key(|(judged, site)| (judged.subject, *site));
        bad
    }

    fn make_room(&mut self) {
        if self.0.len() < PAIRS_MAX {
            return;
        }
        let mut since: Vec<Timestamp> = self.0.values().map(|record| record.since).collect();
        since.sort_unstable();
        let middle = since[since.len() / 2];
        self.0.retain(|_, record| record.since > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::Threshold;
    use super::*;

    const USUAL: Thresholds = Thresholds {
        bounce: Threshold { warn: 0.02, stop: Some(0.1) },
        complaint: Threshold { warn: 0.001, stop: Some(0.003) },
        deferral: Threshold { warn: 0.2, stop: None },
        block: Threshold { warn: 0.02, stop: None },
    };

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_seconds(hours * 3600)
    }

    #[test]
    fn one_small_host_stops_for_itself_once_and_its_neighbour_not_at_all() {
        let campaign = WindowSubject::new(WindowKind::Campaign, 7);
        let mut hosts = SmallHosts::default();
        let note = |hosts: &mut SmallHosts, site: i64, bounced: u64, hour: i64| {
            let counts = WindowCounts { ended: 60, bounced, ..WindowCounts::default() };
            let whose = (OrganizationId::FIRST, SiteId(site));
            hosts.add(campaign, whose, &counts, at(hour));
            let whole = WindowSubject::new(WindowKind::Organization, 1);
            hosts.add(whole, whose, &counts, at(hour));
        };
        let bad = |hosts: &mut SmallHosts, hour| -> Vec<(i64, WindowRate, u64)> {
            let bad = hosts.bad(&USUAL, at(hour)).into_iter();
            bad.map(|(judged, site)| (site.0, judged.rate, judged.share.count)).collect()
        };
        note(&mut hosts, 1, 30, 0);
        note(&mut hosts, 2, 0, 0);
        assert_eq!(bad(&mut hosts, 0), [(1, WindowRate::Bounce, 30)], "campaigns and domains");
        note(&mut hosts, 1, 30, 1);
        assert_eq!(bad(&mut hosts, 2), [], "it stands already");
        assert_eq!(bad(&mut hosts, 30), [(1, WindowRate::Bounce, 30)], "and is no better");
    }

    #[test]
    fn what_is_remembered_has_a_bound_and_the_oldest_goes() {
        let mut hosts = SmallHosts::default();
        let counts = WindowCounts { ended: 60, bounced: 60, ..WindowCounts::default() };
        for number in 0..=(PAIRS_MAX as i64) {
            let domain = WindowSubject::new(WindowKind::Domain, number);
            hosts.add(domain, (OrganizationId::FIRST, SiteId(1)), &counts, at(number));
        }
        assert!(hosts.0.len() <= PAIRS_MAX / 2 + 1, "{}", hosts.0.len());
        let last = WindowSubject::new(WindowKind::Domain, PAIRS_MAX as i64);
        assert!(hosts.0.contains_key(&(last, SiteId(1))));
    }
}
