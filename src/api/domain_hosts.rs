//! The records of a sending domain that lead to this host: for bounces, for links, for mail.
//!
//! Owns:       what is expected of them.
//! Promises:   a name that does not lie in the domain is nobody's to publish there, and not asked
//!             for; mail need not come in here, and its record may be another's. A name that is an
//!             alias is followed through the usual name servers, since its own need not know what
//!             it leads to.
//! Knows not:  what is done about it.

use std::net::IpAddr;

use super::domain_check::{Looker, RecordCheck, RecordState, record, unknown};
use crate::dns::Authority;
use crate::dns::spf::is_spf;
use crate::model::Domain;

/// Where this installation is.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    pub host_name: String,
    /// What bounces of all organizations come back to, that have none of their own.
    pub return_domain: Option<Domain>,
    /// The address that links lead to, and its host if that is a name.
    pub public_url: Option<String>,
    pub link_host: Option<Domain>,
    /// Mail from outside is taken.
    pub takes_mail: bool,
}

impl Hosts {
    fn is_us(&self, host: &str) -> bool {
        host.trim_end_matches('.').eq_ignore_ascii_case(&self.host_name)
    }

    /// The installation's own name for links.
    fn is_link_host(&self, name: &Domain) -> bool {
        self.link_host.as_ref() == Some(name)
    }

    /// What a name for links should be another name of.
    fn links_lead_to(&self, name: &Domain) -> String {
        let common = self.link_host.as_ref().filter(|host| *host != name);
        common.map_or_else(|| self.host_name.to_ascii_lowercase(), ToString::to_string)
    }
}

impl Looker {
    /// `own`: what bounces of the domain's organization come back to; `links`: what links in its
    /// mail lead to.
    pub(super) async fn host_records(
        &self,
        authority: Result<&Authority, String>,
        domain: &Domain,
        (own, links): (Option<&Domain>, Option<&Domain>),
    ) -> Vec<RecordCheck> {
        let mut records = Vec::new();
        let returns = own.or(self.hosts.return_domain.as_ref());
        if let Some(name) = returns.filter(|name| name.is_within(domain)) {
            records.push(self.mx("return_path", name, authority.clone()).await);
            // The domain's own record is asked for anyway.
            if name != domain {
                records.push(self.spf_of_returns(name, authority.clone()).await);
            }
        }
        let links = links.or(self.hosts.link_host.as_ref());
        if let Some(name) = links.filter(|name| name.is_within(domain)) {
            records.push(self.link(name, authority.clone()).await);
        }
        if self.hosts.takes_mail {
            let mut mx = self.mx("inbound", domain, authority).await;
            mx.optional = true;
            if mx.state != RecordState::Right {
                mx.note = "only if mail for the domain is to come in here".to_owned();
            }
            records.push(mx);
        }
        records
    }

    pub(super) async fn mx(
        &self,
        purpose: &str,
        name: &Domain,
        authority: Result<&Authority, String>,
    ) -> RecordCheck {
        let expected = format!("10 {}", self.hosts.host_name);
        let mut check = record(purpose, name.to_string(), expected);
        check.kind = "MX".to_owned();
        match self.exchanges_of(name, authority).await {
            Err(why) => unknown(&mut check, why),
            Ok(found) => {
                let is_us = |(_, host): &(u16, String)| self.hosts.is_us(host);
                (check.state, check.note) = match (found.iter().any(is_us), found.is_empty()) {
                    (true, _) => (RecordState::Right, String::new()),
                    (_, true) => (RecordState::Missing, "publish this record".to_owned()),
                    _ => (RecordState::Different, "it leads to another host".to_owned()),
                };
                check.found =
                    found.into_iter().map(|(rank, host)| format!("{rank} {host}")).collect();
            }
        }
        check
    }

    async fn exchanges_of(
        &self,
        name: &Domain,
        authority: Result<&Authority, String>,
    ) -> Result<Vec<(u16, String)>, String> {
        let found = match aliased(authority.clone(), name).await? {
            Some(target) => self.resolver.exchanges(&target).await,
            None => authority?.mail_hosts(name.as_str()).await,
        };
        found.map_err(|why| why.to_string())
    }

    /// Receivers ask SPF of the domain that bounces come back to (RFC 7208 §2.4).
    async fn spf_of_returns(
        &self,
        name: &Domain,
        authority: Result<&Authority, String>,
    ) -> RecordCheck {
        let mut check = record("return_path_spf", name.to_string(), self.spf_expected());
        match self.texts_of(name, authority).await {
            Err(why) => unknown(&mut check, why),
            Ok(all) => {
                check.found = all.into_iter().filter(|text| is_spf(text)).collect();
                self.judge_found(name.as_str(), &mut check).await;
            }
        }
        check
    }

    async fn texts_of(
        &self,
        name: &Domain,
        authority: Result<&Authority, String>,
    ) -> Result<Vec<String>, String> {
        let found = match aliased(authority.clone(), name).await? {
            Some(target) => self.resolver.texts(&target).await,
            None => authority?.texts(name.as_str()).await,
        };
        found.map_err(|why| why.to_string())
    }

    /// Whether links to this name lead to this installation.
    pub(super) async fn link(
        &self,
        name: &Domain,
        authority: Result<&Authority, String>,
    ) -> RecordCheck {
        let target = self.hosts.links_lead_to(name);
        let mut check = record("tracking", name.to_string(), target.clone());
        check.kind = "CNAME".to_owned();
        if self.hosts.is_us(name.as_str()) {
            (check.kind, check.expected) = ("A".to_owned(), "an address of this host".to_owned());
        }
        let (alias, found) = match self.leads_to(name, authority).await {
            Ok(found) => found,
            Err(why) => {
                unknown(&mut check, why);
                return check;
            }
        };
        let is_named = alias.as_deref() == Some(target.as_str());
        let ours = match is_named {
            true => found.clone(),
            false => self.own_addresses(name, &target).await,
        };
        (check.state, check.note) = judged(&found, &ours);
        if check.state == RecordState::Different && self.hosts.is_link_host(name) {
            check.optional = true;
            check.note.push_str("; right only where a proxy stands that leads here");
        }
        check.found = alias.into_iter().chain(found.iter().map(ToString::to_string)).collect();
        check
    }

    /// What a name is another name of, if it is, and its addresses.
    async fn leads_to(
        &self,
        name: &Domain,
        authority: Result<&Authority, String>,
    ) -> Result<(Option<String>, Vec<IpAddr>), String> {
        let alias = aliased(authority.clone(), name).await?;
        let found = match &alias {
            Some(target) => self.resolver.addresses_in_dns(target, false).await,
            None => authority?.addresses(name.as_str()).await,
        };
        Ok((alias, found.map_err(|why| why.to_string())?))
    }

    /// Where the installation is found: what its names lead to, and what mail leaves from. What
    /// `name` leads to proves nothing about itself.
    async fn own_addresses(&self, name: &Domain, target: &str) -> Vec<IpAddr> {
        let mut own = self.addresses();
        let host = self.hosts.host_name.to_ascii_lowercase();
        for known in [target, &host] {
            if known != name.as_str() {
                // A name that is not answered for is one address less to compare with.
                let found = self.resolver.addresses_in_dns(known, false).await;
                own.extend(found.unwrap_or_default());
            }
        }
        own
    }
}

async fn aliased(
    authority: Result<&Authority, String>,
    name: &Domain,
) -> Result<Option<String>, String> {
    authority?.alias(name.as_str()).await.map_err(|why| why.to_string())
}

/// `ours`: addresses of this installation.
fn judged(found: &[IpAddr], ours: &[IpAddr]) -> (RecordState, String) {
    if found.is_empty() {
        return (RecordState::Missing, "publish this record".to_owned());
    }
    if ours.is_empty() {
        let note = "no address of this installation is known to compare with";
        return (RecordState::Unknown, note.to_owned());
    }
    match found.iter().find(|address| !ours.contains(address)) {
        None => (RecordState::Right, String::new()),
        Some(other) => {
            (RecordState::Different, format!("{other} is no address of this installation"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_for_links_is_right_when_all_its_addresses_are_this_installations() {
        let ip = |last: u8| IpAddr::from([192, 0, 2, last]);
        let table = [
            (vec![], vec![ip(1)], RecordState::Missing),
            (vec![ip(1)], vec![ip(1), ip(2)], RecordState::Right),
            (vec![ip(9)], vec![ip(1)], RecordState::Different),
            // Half of the readers would be led elsewhere.
            (vec![ip(1), ip(9)], vec![ip(1)], RecordState::Different),
            (vec![ip(9)], vec![], RecordState::Unknown),
        ];
        for (found, ours, state) in table {
            assert_eq!(judged(&found, &ours).0, state, "{found:?} {ours:?}");
        }
    }

    #[test]
    fn names_for_links_lead_to_the_installations_own_and_that_one_to_the_host() {
        let domain = |name: &str| Domain::parse(name).expect("lawful");
        let mut hosts = Hosts { host_name: "MX.a.example".to_owned(), ..Hosts::default() };
        assert_eq!(hosts.links_lead_to(&domain("t.b.example")), "mx.a.example");
        hosts.link_host = Some(domain("links.a.example"));
        assert_eq!(hosts.links_lead_to(&domain("t.b.example")), "links.a.example");
        assert_eq!(hosts.links_lead_to(&domain("links.a.example")), "mx.a.example");
    }
}
