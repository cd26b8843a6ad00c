//! The links that lead from a mail back to us.
//!
//! Owns:       their form, below the public address of this installation.
//! Promises:   each is signed for one delivery and one use; the same mail has the same links.
//! Knows not:  what is done when one is followed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::model::*;
use crate::token::{Claim, Keys, Use};

/// Long after anybody reads it; the keys are known for longer.
pub(super) const LINKS_LIVE: Duration = Duration::from_secs(400 * 86_400);

/// Where the public pages are, and the keys that sign what leads there.
#[derive(Clone)]
pub struct Links {
    /// Without a slash at its end.
    base: String,
    keys: Arc<Keys>,
    /// Organizations with a host of their own.
    hosts: Arc<ArcSwap<HashMap<OrganizationId, Domain>>>,
}

/// The links that a template may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub unsubscribe_url: String,
    pub preferences_url: String,
    /// The mail itself, in a browser.
    pub browser_url: String,
    /// Of a campaign that asks who has not confirmed; else empty.
    pub confirm_url: String,
}

/// Who is to say yes to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    pub organization: OrganizationId,
    pub contact: ContactId,
    pub list: ListId,
    /// What holds from then on, in words that this module does not know; empty: nothing.
    pub given: String,
}

impl Links {
    pub fn new(base: &str, keys: Arc<Keys>) -> Links {
        let base = base.trim_end_matches('/').to_owned();
        Links { base, keys, hosts: Arc::default() }
    }

    /// The hosts of organizations were changed.
    pub(super) fn lead_to(&self, hosts: Vec<(OrganizationId, Domain)>) {
        self.hosts.store(Arc::new(hosts.into_iter().collect()));
    }

    /// Those in mail of the organization: to its own host, where it has one.
    pub fn of(&self, organization: OrganizationId) -> Links {
        let hosts = self.hosts.load();
        let scheme = self.base.split_once("://").map_or("https", |(scheme, _)| scheme);
        match hosts.get(&organization) {
            Some(host) => Links { base: format!("{scheme}://{host}"), ..self.clone() },
            None => self.clone(),
        }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whose mail a pixel was in.
    pub fn opened(&self, token: &str) -> Option<Claim> {
        self.keys.read_link(Use::Open, token).ok().map(|(claim, ..)| claim)
    }

    /// Whose mail a link was in, which link it was, and where it leads.
    pub fn clicked(&self, token: &str) -> Option<(Claim, u8, String)> {
        self.keys.read_link(Use::Click, token).ok()
    }

    /// Whose mail it was that somebody wants no more of.
    pub fn leaving(&self, token: &str, now: Timestamp) -> Option<Claim> {
        self.keys.read(Use::Unsubscribe, token, now).ok()
    }

    /// Whose mail somebody looks at in a browser.
    pub fn browsed(&self, token: &str, now: Timestamp) -> Option<Claim> {
        self.keys.read(Use::Browse, token, now).ok()
    }

    /// What the owner of a mailbox follows to say yes to a list, until then. What was typed beside
    /// his address is in it.
    pub fn confirmation(&self, asked: &Confirmation, ends: Timestamp) -> String {
        let Confirmation { organization, contact, list, given } = asked;
        let words = format!("{organization} {contact} {list} {} {given}", ends.seconds());
        let words = words.trim_end();
        let nobody = Claim { message: MessageId(0), delivery: DeliveryId(0) };
        format!("{}/y/{}", self.base, self.keys.link(Use::Confirm, nobody, 0, words))
    }

    /// To whose list who has said yes.
    pub fn confirmed(&self, token: &str, now: Timestamp) -> Option<Confirmation> {
        let (_, _, words) = self.keys.read_link(Use::Confirm, token).ok()?;
        let mut parts = words.splitn(5, ' ');
        let mut number = || parts.next()?.parse::<i64>().ok();
        let (organization, contact, list) = (number()?, number()?, number()?);
        let ends = number()?;
        let given = parts.next().unwrap_or_default().to_owned();
        (now <= Timestamp::from_seconds(ends)).then_some(Confirmation {
            organization: OrganizationId(organization),
            contact: ContactId(contact),
            list: ListId(list),
            given,
        })
    }

    /// What the owner of a mailbox follows to have himself erased, until then.
    pub fn erasure(
        &self,
        organization: OrganizationId,
        contact: ContactId,
        ends: Timestamp,
    ) -> String {
        let words = format!("{organization} {contact} {}", ends.seconds());
        let nobody = Claim { message: MessageId(0), delivery: DeliveryId(0) };
        format!("{}/x/{}", self.base, self.keys.link(Use::Erase, nobody, 0, &words))
    }

    /// Who is to be erased.
    pub fn erasing(&self, token: &str, now: Timestamp) -> Option<(OrganizationId, ContactId)> {
        let (_, _, words) = self.keys.read_link(Use::Erase, token).ok()?;
        let numbers: Vec<i64> = words.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
        let [organization, contact, ends] = numbers[..] else { return None };
        let is_good = now <= Timestamp::from_seconds(ends);
        is_good.then_some((OrganizationId(organization), ContactId(contact)))
    }

    pub fn person(&self, claim: Claim, at: Timestamp) -> Person {
        let ends = at + LINKS_LIVE;
        let token = self.keys.token(Use::Unsubscribe, claim, ends);
        Person {
            unsubscribe_url: format!("{}/u/{token}", self.base),
            preferences_url: format!("{}/p/{token}", self.base),
            browser_url: format!("{}/b/{}", self.base, self.keys.token(Use::Browse, claim, ends)),
            confirm_url: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirmation_says_until_its_end_what_was_asked() {
        let links = Links::new("https://a.test/", Arc::new(Keys::standing(1)));
        for given in ["", "{\"name\":\"Ann \u{e9} B\"}"] {
            let asked = Confirmation {
                organization: OrganizationId(2),
                contact: ContactId(3),
                list: ListId(4),
                given: given.to_owned(),
            };
            let url = links.confirmation(&asked, Timestamp::from_seconds(100));
            let token = url.strip_prefix("https://a.test/y/").expect("a link of ours");
            let read = |seconds| links.confirmed(token, Timestamp::from_seconds(seconds));
            assert_eq!((read(100), read(101)), (Some(asked), None));
        }
        // As they were before anything could be given beside the address.
        let nobody = Claim { message: MessageId(0), delivery: DeliveryId(0) };
        let token = Keys::standing(1).link(Use::Confirm, nobody, 0, "2 3 4 100");
        let read = links.confirmed(&token, Timestamp(0)).expect("a link of ours");
        assert_eq!((read.list, read.given.as_str()), (ListId(4), ""));
    }
}
