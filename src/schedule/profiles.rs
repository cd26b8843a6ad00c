//! Which waits hold between the tries of a deferral: by its class, operator and recipient domain.
//!
//! Owns:       the shipped waits of each profile, and the order of those in the settings.
//! Promises:   the narrowest setting that covers a deferral holds: its domain's, its operator's,
//!             its profile's, else the shipped one.
//! Knows not:  why a class has its profile.

use super::retry::RetryPolicy;
use crate::classify::operator_named;
use crate::config::{RetryProfileSettings, Settings};
use crate::dns::listed_operators;
use crate::model::{Domain, RetryProfile};

#[derive(Clone, Debug)]
pub struct RetryProfiles {
    /// `[retry]`: of what has no profile of its own, and the measure of the shipped ones.
    pub general: RetryPolicy,
    given: Vec<Given>,
}

/// One `[[retry_profile]]`.
#[derive(Clone, Debug)]
struct Given {
    profile: RetryProfile,
    operator: Option<String>,
    domain: Option<Domain>,
    policy: RetryPolicy,
}

impl RetryProfiles {
    pub fn of(settings: &Settings) -> RetryProfiles {
        let retry = &settings.retry;
        let general = RetryPolicy { wait_first: retry.wait_first, wait_max: retry.wait_max };
        RetryProfiles { general, given: settings.retry_profile.iter().map(given).collect() }
    }

    /// The shipped waits alone.
    pub fn shipped(general: RetryPolicy) -> RetryProfiles {
        RetryProfiles { general, given: Vec::new() }
    }

    pub fn policy(
        &self,
        profile: RetryProfile,
        operator: Option<&str>,
        domain: &Domain,
    ) -> RetryPolicy {
        let covers = |given: &&Given| {
            given.profile == profile
                && given.domain.as_ref().is_none_or(|own| own == domain)
                && given.operator.as_deref().is_none_or(|own| is_same(own, operator))
        };
        let narrowness = |given: &&Given| (given.domain.is_some(), given.operator.is_some());
        // The first of equally narrow ones: `max_by_key` takes the last.
        let found = self.given.iter().rev().filter(covers).max_by_key(narrowness);
        found.map_or_else(|| self.shipped_policy(profile), |given| given.policy.clone())
    }

    fn shipped_policy(&self, profile: RetryProfile) -> RetryPolicy {
        // Of the general first wait, how many; of the general longest wait, which part.
        let (first, part) = match profile {
            // A host that greylists wants the same again after some minutes, not hours.
            RetryProfile::Greylist => (1, 8),
            RetryProfile::Rate => (2, 2),
            // Who knocks on while his reputation is bad makes it worse.
            RetryProfile::Reputation => (6, 1),
            // Nobody empties his mailbox within minutes.
            RetryProfile::MailboxFull => (24, 1),
            RetryProfile::Dns | RetryProfile::Tls => (2, 1),
            RetryProfile::Network | RetryProfile::Default => (1, 1),
        };
        let wait_first = self.general.wait_first.saturating_mul(first).min(self.general.wait_max);
        RetryPolicy { wait_first, wait_max: (self.general.wait_max / part).max(wait_first) }
    }
}

/// A name of the table of MX hosts means that operator alone; one that only rules use means all of
/// the table's that rules call so: `microsoft` is `microsoft_365` and `microsoft_consumer`.
fn is_same(own: &str, operator: Option<&str>) -> bool {
    let Some(operator) = operator else { return false };
    let is_listed = || listed_operators().iter().any(|listed| listed.name == own);
    let named = operator_named(own);
    own == operator || (named.is_some() && named == operator_named(operator) && !is_listed())
}

fn given(settings: &RetryProfileSettings) -> Given {
    let first = settings.wait_first;
    Given {
        profile: settings.profile,
        operator: settings.operator.clone(),
        domain: settings.domain.as_deref().and_then(|domain| Domain::parse(domain).ok()),
        policy: RetryPolicy { wait_first: first, wait_max: settings.wait_max.max(first) },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(count * 60)
    }

    fn one(
        profile: RetryProfile,
        operator: &str,
        domain: &str,
        first: u64,
    ) -> RetryProfileSettings {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        RetryProfileSettings {
            profile,
            operator: some(operator),
            domain: some(domain),
            wait_first: minutes(first),
            wait_max: minutes(60),
        }
    }

    #[test]
    fn the_narrowest_setting_holds_and_others_leave_the_shipped_waits() {
        let settings = Settings {
            retry_profile: vec![
                one(RetryProfile::Rate, "", "", 20),
                one(RetryProfile::Rate, "yahoo", "", 30),
                one(RetryProfile::Rate, "", "yahoo.example", 40),
            ],
            ..Settings::default()
        };
        let profiles = RetryProfiles::of(&settings);
        let domain = |name: &str| Domain::parse(name).expect("lawful");
        let first = |profile, operator, name: &str| {
            profiles.policy(profile, operator, &domain(name)).wait_first
        };
        assert_eq!(first(RetryProfile::Rate, Some("google"), "a.example"), minutes(20));
        assert_eq!(first(RetryProfile::Rate, None, "a.example"), minutes(20));
        assert_eq!(first(RetryProfile::Rate, Some("yahoo"), "a.example"), minutes(30));
        assert_eq!(first(RetryProfile::Rate, Some("yahoo"), "yahoo.example"), minutes(40));
        assert_eq!(first(RetryProfile::Greylist, Some("yahoo"), "yahoo.example"), minutes(5));
        assert_eq!(first(RetryProfile::MailboxFull, None, "a.example"), minutes(120));
    }

    #[test]
    fn a_name_of_the_table_is_one_operator_and_a_name_of_the_rules_all_that_they_mean() {
        let set = |operator: &str, met: &str| {
            let retry_profile = vec![one(RetryProfile::Rate, operator, "", 50)];
            let settings = Settings { retry_profile, ..Settings::default() };
            let domain = Domain::parse("a.example").expect("lawful");
            let profiles = RetryProfiles::of(&settings);
            profiles.policy(RetryProfile::Rate, Some(met), &domain).wait_first == minutes(50)
        };
        for (operator, met, holds) in [
            ("microsoft_365", "microsoft_365", true),
            ("microsoft_365", "microsoft_consumer", false),
            ("microsoft", "microsoft_365", true),
            ("microsoft", "microsoft_consumer", true),
            ("outlook", "microsoft_consumer", true),
            ("yahoo_japan", "yahoo", false),
            ("yahoo", "yahoo_japan", false),
            ("ionos", "gmx", false),
            ("mail_com", "gmx", false),
            ("webde", "gmx", true),
            ("hoster.example", "hoster.example", true),
            ("hoster.example", "google", false),
        ] {
            assert_eq!(set(operator, met), holds, "{operator} at {met}");
        }
    }

    #[test]
    fn shipped_waits_stay_within_the_general_ones() {
        let general = RetryPolicy { wait_first: minutes(5), wait_max: minutes(240) };
        let profiles = RetryProfiles::shipped(general.clone());
        let domain = Domain::parse("a.example").expect("lawful");
        for profile in RetryProfile::ALL {
            let policy = profiles.policy(*profile, None, &domain);
            assert!(policy.wait_first <= policy.wait_max, "{profile}");
            assert!(policy.wait_max <= general.wait_max, "{profile}");
        }
        let grey = profiles.policy(RetryProfile::Greylist, None, &domain);
        assert_eq!((grey.wait_first, grey.wait_max), (minutes(5), minutes(30)));
    }
}
