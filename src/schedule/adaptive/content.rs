//! Campaigns and From domains that an operator does not want: they stop there, no source does.
//!
//! Owns:       how often each was refused for what it says or for whom it is from.
//! Promises:   one refusal stops nobody; a stop has an end, and the next one is longer; bounded
//!             memory.
//! Knows not:  sources.

use std::collections::HashMap;
use std::time::Duration;

use super::lever::HUSH;
use crate::model::*;

/// Refusals in words, and their share of what the campaign offered there within `WINDOW`.
const WORDS_MIN: u64 = 5;
const SHARE_MIN: f64 = 0.1;
const WINDOW: Duration = Duration::from_secs(3600);
const STOP_FIRST: Duration = Duration::from_secs(2 * 3600);
const STOP_MAX: Duration = Duration::from_secs(24 * 3600);
/// After so long the next stop is short again.
const FORGOTTEN: Duration = Duration::from_secs(48 * 3600);
/// Pairs remembered; the oldest half goes beyond it.
const PAIRS_MAX: usize = 20_000;

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    since: Timestamp,
    offered: u64,
    words: u64,
    stopped_until: Option<Timestamp>,
    times: u32,
    hushed_until: Timestamp,
}

impl Record {
    /// How often it was stopped before, for a stop at this moment.
    fn times_at(&self, now: Timestamp) -> u32 {
        let known = self.stopped_until.is_some_and(|until| now.since(until) < FORGOTTEN);
        if known { self.times + 1 } else { 0 }
    }
}

/// Where somebody is not wanted: at a large operator, or among all the small hosts (the tail) at
/// the site that said so, since the others have said nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    Operator(OperatorId),
    Site(SiteId),
}

impl Place {
    /// `site`: where it is known.
    pub fn of(operator: OperatorId, site: Option<SiteId>) -> Place {
        match site.filter(|_| operator == OperatorId::TAIL) {
            Some(site) => Place::Site(site),
            None => Place::Operator(operator),
        }
    }

    pub const fn scope(self) -> ToScope {
        match self {
            Place::Operator(operator) => ToScope::Operator(operator),
            Place::Site(site) => ToScope::Site(site),
        }
    }

    /// None: a stop has no such scope.
    pub const fn of_scope(scope: &ToScope) -> Option<Place> {
        match scope {
            ToScope::Operator(operator) => Some(Place::Operator(*operator)),
            ToScope::Site(site) => Some(Place::Site(*site)),
            ToScope::Anywhere | ToScope::Domain(_) | ToScope::EachSite => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Stop {
    pub who: WhoScope,
    pub place: Place,
    pub until: Timestamp,
    pub cause: String,
    pub samples: Vec<String>,
}

#[derive(Clone, Default)]
pub struct Stops(HashMap<(WhoScope, Place), Record>);

impl Stops {
    /// `offered` recipients were answered for a campaign or a domain at a place, `words` of them
    /// with a refusal of its content or its From domain.
    pub fn note(
        &mut self,
        (who, place): (WhoScope, Place),
        offered: u64,
        words: u64,
        samples: &[String],
        now: Timestamp,
    ) -> Option<Stop> {
        if words == 0 && !self.0.contains_key(&(who, place)) {
            return None;
        }
        self.make_room();
        let record = self.0.entry((who, place)).or_default();
        if now < record.hushed_until {
            return None;
        }
        if now.since(record.since) > WINDOW {
            (record.since, record.offered, record.words) = (now, 0, 0);
        }
        record.offered += offered;
        record.words += words;
        let stopped = record.stopped_until.is_some_and(|until| now < until);
        let share = record.words as f64 / record.offered.max(1) as f64;
        if stopped || record.words < WORDS_MIN || share < SHARE_MIN {
            return None;
        }
        record.times = record.times_at(now);
        let wait = STOP_FIRST.saturating_mul(2u32.saturating_pow(record.times)).min(STOP_MAX);
        let until = now + wait;
        let cause = format!(
            "{} of {} were refused for {}; no other source is burnt for it",
            record.words,
            record.offered,
            match who {
                WhoScope::SendingDomain(_) => "their From domain or their content",
                _ => "their content",
            }
        );
        record.stopped_until = Some(until);
        (record.offered, record.words) = (0, 0);
        Some(Stop { who, place, until, cause, samples: samples.to_vec() })
    }

    /// A person lets it go on: it does not stop again at once.
    pub fn undo(&mut self, who: WhoScope, place: Place, now: Timestamp) {
        self.make_room();
        let hushed = Record { since: now, hushed_until: now + HUSH, ..Record::default() };
        self.0.insert((who, place), hushed);
    }

    /// After a start: it was stopped at that moment, until then.
    pub fn recall(&mut self, who: WhoScope, place: Place, at: Timestamp, until: Timestamp) {
        self.make_room();
        let record = self.0.entry((who, place)).or_default();
        record.times = record.times_at(at);
        (record.since, record.stopped_until) = (at, Some(until));
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
    use super::*;

    const CAMPAIGN: (WhoScope, Place) =
        (WhoScope::Campaign(CampaignId(7)), Place::Operator(OperatorId(3)));

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_seconds(hours * 3600)
    }

    #[test]
    fn a_campaign_that_is_refused_for_its_content_stops_at_that_operator_alone() {
        let mut stops = Stops::default();
        assert_eq!(stops.note(CAMPAIGN, 20, 4, &[], at(1)), None);
        let stop = stops.note(CAMPAIGN, 5, 1, &["550 spam".into()], at(1)).expect("a stop");
        assert_eq!((stop.who, stop.place), CAMPAIGN);
        assert_eq!((stop.until, stop.samples.len()), (at(3), 1));
        assert_eq!(
            stops.note((CAMPAIGN.0, Place::Operator(OperatorId(4))), 5, 4, &[], at(1)),
            None
        );
        let again = stops.note(CAMPAIGN, 5, 5, &[], at(4)).expect("a longer stop");
        assert_eq!(again.until, at(8));
    }

    #[test]
    fn a_large_operator_is_one_place_and_each_small_host_is_its_own() {
        let (google, site) = (OperatorId(3), Some(SiteId(9)));
        assert_eq!(Place::of(google, site), Place::Operator(google));
        assert_eq!(Place::of(OperatorId::TAIL, site), Place::Site(SiteId(9)));
        assert_eq!(Place::of(OperatorId::TAIL, None), Place::Operator(OperatorId::TAIL));
        for place in [Place::Operator(google), Place::Site(SiteId(9))] {
            assert_eq!(Place::of_scope(&place.scope()), Some(place));
        }
    }

    #[test]
    fn what_a_person_lets_go_on_is_not_stopped_again_within_the_hour() {
        let mut stops = Stops::default();
        assert!(stops.note(CAMPAIGN, 5, 5, &[], at(1)).is_some());
        stops.undo(CAMPAIGN.0, CAMPAIGN.1, at(2));
        assert_eq!(stops.note(CAMPAIGN, 50, 50, &[], at(2)), None);
        assert_eq!(stops.note(CAMPAIGN, 4, 4, &[], at(3)), None);
        assert!(stops.note(CAMPAIGN, 1, 1, &[], at(3)).is_some());
    }

    #[test]
    fn after_a_start_the_next_stop_is_as_long_as_it_would_have_been() {
        let mut stops = Stops::default();
        stops.recall(CAMPAIGN.0, CAMPAIGN.1, at(1), at(3));
        stops.recall(CAMPAIGN.0, CAMPAIGN.1, at(4), at(8));
        assert_eq!(stops.note(CAMPAIGN, 9, 9, &[], at(7)), None, "it is stopped");
        let stop = stops.note(CAMPAIGN, 9, 9, &[], at(9)).expect("the third");
        assert_eq!(stop.until, at(17));
    }

    #[test]
    fn a_few_refusals_of_many_mails_stop_nobody() {
        let mut stops = Stops::default();
        for _ in 0..50 {
            assert_eq!(stops.note(CAMPAIGN, 100, 2, &[], at(1)), None);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut stops = Stops::default();
        for campaign in 0..100_000 {
            let who = WhoScope::Campaign(CampaignId(campaign));
            let at = Timestamp::from_seconds(campaign);
            assert_eq!(stops.note((who, Place::Site(SiteId(1))), 1, 1, &[], at), None);
        }
        assert!(stops.0.len() <= PAIRS_MAX);
    }
}
