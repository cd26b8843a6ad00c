//! /v1/host-names: the names by which the world finds this host, and whether they lead here.
//!
//! Owns:       what is expected of the names in the settings.
//! Promises:   asks name servers, and changes nothing.
//! Knows not:  names of organizations (`domain_hosts.rs`), and whether addresses lead back to the
//!             names of sources (`schedule/checks.rs`).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Page;
use super::access::{Call, needs};
use super::domain_check::{Looker, RecordCheck, RecordState, record, unknown};
use super::problem::Problem;
use crate::model::Domain;

/// A name out of the settings.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HostName {
    /// The setting that says it.
    pub setting: String,
    /// Null where the setting says none.
    pub name: Option<String>,
    /// Mail goes out without it; what cannot be done then stands in `record.note`.
    pub optional: bool,
    /// What must stand in DNS.
    pub record: RecordCheck,
}

/// The names by which the world finds this installation: of the host, of what bounces come back to,
/// of what links lead to; and what the name servers say of each.
#[utoipa::path(get, path = "/v1/host-names", tag = "installation",
    responses((status = 200, body = Page<HostName>)), security(("key" = ["installation"])))]
pub(super) async fn list(
    call: Call<needs::Installation>,
) -> Result<axum::Json<Page<HostName>>, Problem> {
    let stopped = || Problem::conflict("no daemon is running");
    let looker = call.looker.as_ref().ok_or_else(stopped)?;
    Ok(Page::whole(looker.host_names().await))
}

impl Looker {
    async fn host_names(&self) -> Vec<HostName> {
        let (greeting, returns, links) =
            tokio::join!(self.greeting(), self.returns(), self.links());
        vec![greeting, returns, links]
    }

    /// The host calls itself so where no source says otherwise, and MX records lead to it.
    async fn greeting(&self) -> HostName {
        let name = self.hosts.host_name.clone();
        let mut record = record("greeting", name.clone(), listed(&self.addresses()));
        record.kind = "A".to_owned();
        match full_name(&name) {
            None => record.note = "must be a whole name, such as mail.example.com".to_owned(),
            Some(domain) => self.judge(&mut record, &domain).await,
        }
        let setting = "node.host_name".to_owned();
        HostName { setting, name: Some(name), optional: false, record }
    }

    async fn judge(&self, record: &mut RecordCheck, domain: &Domain) {
        let found = match self.resolver.authority(domain, self.port).await {
            Ok(authority) => authority.addresses(domain.as_str()).await,
            Err(why) => Err(why),
        };
        match found {
            Err(why) => unknown(record, why.to_string()),
            Ok(found) => {
                (record.state, record.note) = leads_here(&found, &self.addresses());
                record.found = found.iter().map(ToString::to_string).collect();
            }
        }
    }

    async fn returns(&self) -> HostName {
        let setting = "inbound.return_domain".to_owned();
        let Some(domain) = &self.hosts.return_domain else {
            let note = "bounces that come later are known only of organizations with a domain of \
                        their own for them";
            return unnamed(setting, "return_path", note);
        };
        let authority = self.resolver.authority(domain, self.port).await;
        let authority = authority.as_ref().map_err(ToString::to_string);
        let record = self.mx("return_path", domain, authority).await;
        HostName { setting, name: Some(domain.to_string()), optional: true, record }
    }

    async fn links(&self) -> HostName {
        let setting = "http.public_url".to_owned();
        let Some(url) = self.hosts.public_url.clone() else {
            let note = "campaigns, tracking and public pages need it";
            return unnamed(setting, "tracking", note);
        };
        let mut record = record("tracking", url.clone(), String::new());
        match &self.hosts.link_host {
            Some(domain) => {
                let authority = self.resolver.authority(domain, self.port).await;
                let authority = authority.as_ref().map_err(ToString::to_string);
                record = self.link(domain, authority).await;
            }
            // Whoever can reach the address needs no name server for it.
            None => {
                record.state = RecordState::Right;
                record.note = "an address instead of a name".to_owned();
            }
        }
        HostName { setting, name: Some(url), optional: true, record }
    }
}

fn unnamed(setting: String, purpose: &str, note: &str) -> HostName {
    let mut record = record(purpose, String::new(), String::new());
    note.clone_into(&mut record.note);
    HostName { setting, name: None, optional: true, record }
}

/// What a container or a fresh machine calls itself has no dot, and nobody finds it.
fn full_name(name: &str) -> Option<Domain> {
    Domain::parse(name).ok().filter(|domain| domain.as_str().contains('.'))
}

fn listed(addresses: &[IpAddr]) -> String {
    let mut texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    texts.dedup();
    match texts.is_empty() {
        true => "an address of this host".to_owned(),
        false => texts.join(", "),
    }
}

/// `own`: what mail leaves from as the world sees it, as far as the sources say so.
fn leads_here(found: &[IpAddr], own: &[IpAddr]) -> (RecordState, String) {
    if found.is_empty() {
        return (RecordState::Missing, "publish this record".to_owned());
    }
    let is_ours = own.is_empty() || found.iter().any(|address| own.contains(address));
    match is_ours {
        true => (RecordState::Right, String::new()),
        false => (RecordState::Different, "no source leaves from where it leads".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_here_when_one_of_its_addresses_is_a_sources() {
        let ip = |last: u8| IpAddr::from([192, 0, 2, last]);
        let table = [
            (vec![], vec![ip(1)], RecordState::Missing),
            (vec![ip(1)], vec![ip(1), ip(2)], RecordState::Right),
            (vec![ip(9), ip(2)], vec![ip(1), ip(2)], RecordState::Right),
            (vec![ip(9)], vec![ip(1)], RecordState::Different),
            // Where mail leaves from the address that the host happens to have, nobody can tell.
            (vec![ip(9)], vec![], RecordState::Right),
        ];
        for (found, own, state) in table {
            assert_eq!(leads_here(&found, &own).0, state, "{found:?} {own:?}");
        }
    }

    #[test]
    fn what_a_fresh_machine_calls_itself_is_no_name_for_the_world() {
        assert!(full_name("mail.example.com").is_some());
        for wrong in ["localhost", "a1b2c3d4", "", "192.0.2.1", "mail example"] {
            assert!(full_name(wrong).is_none(), "{wrong}");
        }
    }
}
