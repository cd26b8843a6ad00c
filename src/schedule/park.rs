//! What of a site's mail is not to be tried before a moment, because a limit says so.
//!
//! Owns:       how far a denial reaches: everybody, one class, a flow, a campaign.
//! Promises:   a denial stops exactly its scope; what is parked is passed over at no cost, and its
//!             end is a moment for a timer.
//! Knows not:  limits, connections, rows.

use std::time::Duration;

use crate::model::*;

/// A denial without an end, or with a far one, is asked again after this time: mail that expires
/// meanwhile must be noticed.
pub const PARK_MAX: Duration = Duration::from_secs(15 * 60);
/// Mail that waits no longer than this stays in memory.
pub const KEPT_FOR: Duration = Duration::from_secs(5);

/// Mail in memory takes its turns by these; in the ledger by the flow alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    pub flow: Flow,
    pub campaign: Option<CampaignId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Everybody,
    Organization(OrganizationId),
    Stream(StreamId),
    Campaign(CampaignId),
    /// Narrower than lines are, or each source for its own reason: the line that met it.
    Line(Line),
}

impl std::fmt::Display for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reach::Everybody => f.write_str("all mail"),
            Reach::Organization(id) => write!(f, "mail of organization {id}"),
            Reach::Stream(id) => write!(f, "mail of stream {id}"),
            Reach::Campaign(id) | Reach::Line(Line { campaign: Some(id), .. }) => {
                write!(f, "mail of campaign {id}")
            }
            Reach::Line(Line { flow, .. }) => {
                write!(f, "mail of organization {}, stream {}", flow.organization, flow.stream)
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Park {
    pub reach: Reach,
    pub class: Option<StreamClass>,
    pub until: Timestamp,
    /// Nothing but a release, or a person, opens it; `until` is only when it is asked again.
    pub is_open_ended: bool,
    /// The limit that said so; None where no source may send.
    pub limit: Option<LimitId>,
}

impl Park {
    pub fn of(denial: &Denial, line: Line, now: Timestamp) -> Park {
        let narrow = matches!(denial.scope.to, ToScope::Domain(_));
        let reach = match denial.scope.who {
            _ if narrow => Reach::Line(line),
            WhoScope::Everybody => Reach::Everybody,
            WhoScope::Organization(organization) => Reach::Organization(organization),
            WhoScope::Stream(stream) => Reach::Stream(stream),
            WhoScope::Campaign(campaign) => Reach::Campaign(campaign),
            WhoScope::SendingDomain(_) => Reach::Line(line),
        };
        let last = now + PARK_MAX;
        let until = denial.until.map_or(last, |until| until.min(last));
        // A moment that lies behind would be a loop.
        let until = until.max(now + Duration::from_millis(1));
        let is_open_ended = denial.until.is_none();
        // Transactional mail has a share of a rate that marketing cannot use up: what marketing is
        // denied says nothing about it.
        let is_marketing = line.flow.class() == StreamClass::Marketing;
        let own =
            (is_marketing && denial.metric == Metric::Messages).then_some(StreamClass::Marketing);
        let class = denial.scope.class.or(own);
        Park { reach, class, until, is_open_ended, limit: Some(denial.limit) }
    }

    pub fn covers(&self, line: &Line) -> bool {
        let reaches = match self.reach {
            Reach::Everybody => true,
            Reach::Organization(organization) => line.flow.organization == organization,
            Reach::Stream(stream) => line.flow.stream == stream,
            Reach::Campaign(campaign) => line.campaign == Some(campaign),
            Reach::Line(own) => *line == own,
        };
        reaches && self.class.is_none_or(|class| line.flow.class() == class)
    }

    /// Whether a whole flow of the ledger is covered: then its rows need not be touched.
    pub fn covers_flow(&self, flow: &Flow) -> bool {
        match self.reach {
            Reach::Campaign(_) | Reach::Line(Line { campaign: Some(_), .. }) => false,
            _ => self.covers(&Line { flow: *flow, campaign: None }),
        }
    }

    /// The ledger can pass over all that it covers; else the rows themselves are put off.
    pub fn is_of_flows(&self, scope: &LimitScope) -> bool {
        let narrow = matches!(scope.to, ToScope::Domain(_))
            || matches!(scope.who, WhoScope::SendingDomain(_) | WhoScope::Campaign(_));
        !narrow && !matches!(self.reach, Reach::Line(Line { campaign: Some(_), .. }))
    }
}

/// All parks of a site, or of a lane.
#[derive(Clone, Debug, Default)]
pub struct Parks(Vec<Park>);

/// More would mean that each line has its own: then the oldest is asked again instead.
const PARKS_MAX: usize = 4096;

impl Parks {
    /// In the place of an older one that reaches as far.
    pub fn add(&mut self, park: Park) {
        self.0.retain(|old| (old.reach, old.class) != (park.reach, park.class));
        if self.0.len() >= PARKS_MAX {
            self.0.remove(0);
        }
        self.0.push(park);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn all(&self) -> &[Park] {
        &self.0
    }

    pub fn cover(&self, line: &Line) -> bool {
        self.0.iter().any(|park| park.covers(line))
    }

    pub fn cover_flow(&self, flow: &Flow) -> bool {
        self.0.iter().any(|park| park.covers_flow(flow))
    }

    pub fn cover_all(&self) -> bool {
        self.0.iter().any(|park| park.reach == Reach::Everybody && park.class.is_none())
    }

    /// Drops those whose time has come. True when there was one.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        let before = self.0.len();
        self.0.retain(|park| park.until > now);
        self.0.len() < before
    }

    /// A connection was closed, or a limit changed: those without an end are asked again.
    pub fn release(&mut self) -> bool {
        let before = self.0.len();
        self.0.retain(|park| !park.is_open_ended);
        self.0.len() < before
    }

    /// The rows of limits have changed: all are asked again.
    pub fn clear(&mut self) -> bool {
        let any = !self.0.is_empty();
        self.0.clear();
        any
    }

    pub fn next_end(&self) -> Option<Timestamp> {
        self.0.iter().map(|park| park.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1000);

    fn line(organization: i64, stream: i64, rank: i64, campaign: Option<i64>) -> Line {
        let (organization, stream) = (OrganizationId(organization), StreamId(stream));
        Line { flow: Flow { organization, stream, rank }, campaign: campaign.map(CampaignId) }
    }

    fn denial(who: WhoScope, to: ToScope, class: Option<StreamClass>) -> Denial {
        Denial {
            limit: LimitId(1),
            scope: LimitScope { from: FromScope::Installation, to, who, class },
            metric: Metric::Messages,
            value: 1,
            origin: Origin::Admin,
            reason: String::new(),
            until: Some(NOW + Duration::from_secs(60)),
        }
    }

    #[test]
    fn a_denial_parks_exactly_its_scope() {
        let lines = [
            line(1, 1, 0, None),
            line(1, 2, 1, Some(5)),
            line(1, 2, 1, Some(6)),
            line(2, 3, 1, None),
        ];
        let (any, marketing) = (ToScope::Anywhere, Some(StreamClass::Marketing));
        let (first, stream) = (OrganizationId(1), StreamId(2));
        for (who, class, covered) in [
            (WhoScope::Everybody, marketing, [false, true, true, true]),
            (WhoScope::Stream(stream), None, [false, true, true, false]),
            (WhoScope::Campaign(CampaignId(5)), None, [false, true, false, false]),
            (WhoScope::SendingDomain(DomainId(9)), None, [false, true, false, false]),
            // What marketing is denied leaves the share of transactional mail open.
            (WhoScope::Everybody, None, [false, true, true, true]),
            (WhoScope::Organization(first), None, [false, true, true, false]),
        ] {
            let park = Park::of(&denial(who, any.clone(), class), lines[1], NOW);
            assert_eq!(lines.map(|line| park.covers(&line)), covered, "{who:?} {class:?}");
        }
        for (who, class, covered) in [
            (WhoScope::Everybody, None, [true, true, true, true]),
            (WhoScope::Organization(first), None, [true, true, true, false]),
        ] {
            let park = Park::of(&denial(who, any.clone(), class), lines[0], NOW);
            assert_eq!(lines.map(|line| park.covers(&line)), covered, "{who:?} {class:?}");
        }
    }

    #[test]
    fn a_park_ends_by_itself_and_one_without_an_end_by_a_release_too() {
        let mut parks = Parks::default();
        let everybody = denial(WhoScope::Everybody, ToScope::EachSite, None);
        parks.add(Park::of(&everybody, line(1, 1, 0, None), NOW));
        parks.add(Park::of(&everybody, line(1, 1, 0, None), NOW));
        assert_eq!(parks.all().len(), 1, "one for each reach");
        assert!(!parks.release() && parks.cover_all());
        assert!(!parks.expire(NOW + Duration::from_secs(59)));
        assert!(parks.expire(NOW + Duration::from_secs(60)) && parks.is_empty());
        let endless = Denial { until: None, ..everybody };
        parks.add(Park::of(&endless, line(1, 1, 0, None), NOW));
        assert_eq!(parks.next_end(), Some(NOW + PARK_MAX));
        assert!(parks.release() && parks.is_empty());
    }

    #[test]
    fn what_a_flow_cannot_tell_apart_is_put_off_by_its_rows() {
        let own = line(1, 2, 1, None);
        for (who, to, of_flows) in [
            (WhoScope::Everybody, ToScope::Anywhere, true),
            (WhoScope::Stream(StreamId(2)), ToScope::EachSite, true),
            (WhoScope::Campaign(CampaignId(5)), ToScope::Anywhere, false),
            (WhoScope::SendingDomain(DomainId(5)), ToScope::Anywhere, false),
            (
                WhoScope::Everybody,
                ToScope::Domain(Domain::parse("a.example").expect("lawful")),
                false,
            ),
        ] {
            let denial = denial(who, to, None);
            assert_eq!(Park::of(&denial, own, NOW).is_of_flows(&denial.scope), of_flows, "{who:?}");
        }
    }
}
