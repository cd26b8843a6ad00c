//! The records of a sending domain that lead to this host: for bounces, for links, for mail.
//!
//! Owns:       what is expected of them.
//! Promises:   a name that does not lie in the domain is nobody's to publish there, and not asked
//!             for; mail need not come in here, and its record may be another's.
//! Knows not:  what is done about it.

use super::domain_check::{RecordCheck, RecordState, record, unknown};
use crate::dns::Authority;
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
    /// `own`: what bounces of the domain's organization come back to; `links`: what links in its
    /// mail lead to.
    pub(super) async fn check(
        &self,
        authority: Result<&Authority, String>,
        domain: &Domain,
        (own, links): (Option<&Domain>, Option<&Domain>),
    ) -> Vec<RecordCheck> {
        let mut records = Vec::new();
        let returns = own.or(self.return_domain.as_ref());
        if let Some(name) = returns.filter(|name| name.is_within(domain)) {
            records.push(self.mx("return_path", name, authority.clone()).await);
        }
        let links = links.or(self.link_host.as_ref());
        if let Some(name) = links.filter(|name| name.is_within(domain)) {
            records.push(self.link(name, authority.clone()).await);
        }
        if self.takes_mail {
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
        let expected = format!("10 {}", self.host_name);
        let mut check = record(purpose, name.to_string(), expected);
        check.kind = "MX".to_owned();
        let found = match authority {
            Ok(authority) => {
                authority.mail_hosts(name.as_str()).await.map_err(|why| why.to_string())
            }
            Err(why) => Err(why),
        };
        match found {
            Err(why) => unknown(&mut check, why),
            Ok(found) => {
                let is_us = |(_, host): &(u16, String)| self.is_us(host);
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

    fn is_us(&self, host: &str) -> bool {
        host.trim_end_matches('.').eq_ignore_ascii_case(&self.host_name)
    }

    pub(super) async fn link(
        &self,
        name: &Domain,
        authority: Result<&Authority, String>,
    ) -> RecordCheck {
        let mut check = record("tracking", name.to_string(), self.host_name.clone());
        check.kind = if self.is_us(name.as_str()) { "A" } else { "CNAME" }.to_owned();
        if check.kind == "A" {
            check.expected = "an address of this host".to_owned();
        }
        let found = match authority {
            Ok(authority) => {
                authority.addresses(name.as_str()).await.map_err(|why| why.to_string())
            }
            Err(why) => Err(why),
        };
        match found {
            Err(why) => unknown(&mut check, why),
            Ok(found) if found.is_empty() => check.note = "publish this record".to_owned(),
            Ok(found) => {
                check.state = RecordState::Right;
                check.found = found.iter().map(ToString::to_string).collect();
            }
        }
        check
    }
}
