//! Health windows: how much of what was offered bounced, was put off, refused or complained of.
//!
//! Counts add up; a rate is a share of them with its bounds.

use serde::{Deserialize, Serialize};

use super::ids::*;
use super::state::words;

words! {
    /// Whose window it is.
    WindowKind {
        Source = "source",
        /// A sending domain.
        Domain = "domain",
        Organization = "organization",
        Campaign = "campaign",
        Credential = "credential",
    }
}

words! {
    WindowRate {
        /// Addresses that are lost, of recipients whose mail was taken or refused for good.
        Bounce = "bounce",
        /// Of mail that was taken.
        Complaint = "complaint",
        /// Put off, of all that was answered.
        Deferral = "deferral",
        /// Put off or refused for reputation, of all that was answered.
        Block = "block",
    }
}

words! {
    WindowStanding {
        Good = "good",
        Warn = "warn",
        Stop = "stop",
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WindowSubject {
    pub kind: WindowKind,
    pub id: i64,
}

impl WindowSubject {
    pub const fn new(kind: WindowKind, id: i64) -> WindowSubject {
        WindowSubject { kind, id }
    }

    pub fn campaign(self) -> Option<CampaignId> {
        (self.kind == WindowKind::Campaign).then_some(CampaignId(self.id))
    }

    pub fn domain(self) -> Option<DomainId> {
        (self.kind == WindowKind::Domain).then_some(DomainId(self.id))
    }
}

/// What some hours at an operator came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WindowCounts {
    /// Answers of hosts, one for each recipient and try.
    pub answered: u64,
    /// Recipients whose mail a host took.
    pub taken: u64,
    /// Taken or refused for good.
    pub ended: u64,
    /// Addresses that are lost, by the answer or by a report later.
    pub bounced: u64,
    pub deferred: u64,
    pub blocked: u64,
    pub complained: u64,
}

impl WindowCounts {
    pub fn add(&mut self, more: &WindowCounts) {
        self.answered += more.answered;
        self.taken += more.taken;
        self.ended += more.ended;
        self.bounced += more.bounced;
        self.deferred += more.deferred;
        self.blocked += more.blocked;
        self.complained += more.complained;
    }

    /// How many of how many.
    pub const fn of(&self, rate: WindowRate) -> (u64, u64) {
        match rate {
            WindowRate::Bounce => (self.bounced, self.ended),
            WindowRate::Complaint => (self.complained, self.taken),
            WindowRate::Deferral => (self.deferred, self.answered),
            WindowRate::Block => (self.blocked, self.answered),
        }
    }
}

/// A share of trials, and where it lies with the confidence of 95 % (Wilson's interval).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Share {
    pub count: u64,
    pub of: u64,
    /// 0 where nothing was counted.
    pub rate: f64,
    pub low: f64,
    pub high: f64,
}

/// Each end leaves out 2.5 %.
const TWO_SIDED: f64 = 1.96;

impl Share {
    pub fn new(count: u64, of: u64) -> Share {
        Share::within(count, of, TWO_SIDED)
    }

    /// With another distance of the bounds, in standard deviations.
    pub fn within(count: u64, of: u64, z: f64) -> Share {
        if of == 0 {
            return Share { count, of, rate: 0.0, low: 0.0, high: 1.0 };
        }
        // What came back may be for mail of an hour that is gone.
        let (n, rate) = (of as f64, (count as f64 / of as f64).min(1.0));
        let middle = rate + z * z / (2.0 * n);
        let reach = z * (rate * (1.0 - rate) / n + z * z / (4.0 * n * n)).sqrt();
        let whole = 1.0 + z * z / n;
        let (low, high) = ((middle - reach) / whole, (middle + reach) / whole);
        Share { count, of, rate, low: low.max(0.0), high: high.min(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_wide_for_few_and_narrow_for_many() {
        let round = |share: Share| {
            let round = |value: f64| (value * 1000.0).round() / 1000.0;
            (round(share.rate), round(share.low), round(share.high))
        };
        // Newcombe 1998, table I: 81 of 263, 15 of 148, 1 of 29.
        assert_eq!(round(Share::new(81, 263)), (0.308, 0.255, 0.366));
        assert_eq!(round(Share::new(15, 148)), (0.101, 0.062, 0.160));
        assert_eq!(round(Share::new(1, 29)), (0.034, 0.006, 0.172));
        assert_eq!(round(Share::new(0, 0)), (0.0, 0.0, 1.0));
        assert_eq!(round(Share::new(3, 2)).0, 1.0);
    }
}
