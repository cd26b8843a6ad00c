//! What a zone's own name servers say, past every cache: for checks of sending domains.
//!
//! Promises:   the servers are those that the zone itself names; only addresses that mail might be
//!             sent to are asked, so that nobody's NS record leads into this house's network.
//! Knows not:  what a record should say.

use std::net::{IpAddr, SocketAddr};

use super::lookup::{Answer, Asker};
use super::{DnsFailure, Resolver};
use crate::model::Domain;
use crate::wire::network::is_global;

/// Name servers of a zone that are asked for.
const SERVERS_MAX: usize = 8;

/// The servers of one zone.
pub struct Authority {
    asker: Asker,
    pub servers: Vec<String>,
}

impl Authority {
    /// The TXT records of a name, each put together from its strings.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, DnsFailure> {
        Ok(records(self.asker.texts(name).await?))
    }

    /// The MX records of a name.
    pub async fn mail_hosts(&self, name: &str) -> Result<Vec<(u16, String)>, DnsFailure> {
        Ok(records(self.asker.mx(name).await?))
    }

    /// What a name is another name of (CNAME), if it is: these servers need not know what stands
    /// there.
    pub async fn alias(&self, name: &str) -> Result<Option<String>, DnsFailure> {
        Ok(records(self.asker.alias(name).await?).into_iter().next())
    }

    /// The addresses of a name, as far as these servers follow it.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, DnsFailure> {
        let mut addresses = records(self.asker.v4(name).await?);
        addresses.extend(records(self.asker.v6(name).await?));
        Ok(addresses)
    }
}

fn records<T>(answer: Answer<T>) -> Vec<T> {
    match answer {
        Answer::Found { records, .. } => records,
        Answer::NoneOfType { .. } | Answer::NoSuchName { .. } => Vec::new(),
    }
}

impl Resolver {
    /// The servers of the zone that the domain lies in: its own, or those of the nearest parent
    /// that has some.
    /// `port` is 53 wherever DNS is not simulated.
    pub async fn authority(&self, domain: &Domain, port: u16) -> Result<Authority, DnsFailure> {
        let mut zone = domain.as_str();
        let hosts = loop {
            let hosts = records(self.inner.asker.name_servers(zone).await?);
            if !hosts.is_empty() {
                break hosts;
            }
            zone = match zone.split_once('.') {
                // A top-level domain's servers know nothing of what is below.
                Some((_, parent)) if parent.contains('.') => parent,
                _ => return Err(DnsFailure(format!("no name server is known for {domain}"))),
            };
        };
        let mut servers = Vec::new();
        for host in hosts.iter().take(SERVERS_MAX) {
            let v4 = records(self.inner.asker.v4(host).await?);
            let v6 = records(self.inner.asker.v6(host).await?);
            servers.extend(v4.into_iter().chain(v6).filter(|address| self.may_ask(*address)));
        }
        if servers.is_empty() {
            return Err(DnsFailure(format!("no name server of {zone} has an address")));
        }
        let addresses: Vec<_> = servers.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        Ok(Authority { asker: Asker::new(&addresses)?, servers: hosts })
    }

    fn may_ask(&self, address: IpAddr) -> bool {
        let allowed = &self.inner.options.allowed_networks;
        is_global(address) || allowed.iter().any(|network| network.contains(address))
    }

    /// TXT records as the world sees them, through the usual servers.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, DnsFailure> {
        Ok(records(self.inner.asker.texts(name).await?))
    }

    /// The MX records of a name as the world sees them, through the usual servers.
    pub async fn exchanges(&self, name: &str) -> Result<Vec<(u16, String)>, DnsFailure> {
        Ok(records(self.inner.asker.mx(name).await?))
    }

    /// Addresses of a name, and of its MX hosts when `mx` is asked for.
    pub async fn addresses_in_dns(&self, name: &str, mx: bool) -> Result<Vec<IpAddr>, DnsFailure> {
        let asker = &self.inner.asker;
        let mut names = vec![name.to_owned()];
        if mx {
            let hosts = records(asker.mx(name).await?);
            names = hosts.into_iter().map(|(_, host)| host).take(SERVERS_MAX).collect();
        }
        let mut addresses = Vec::new();
        for name in names {
            addresses.extend(records(asker.v4(&name).await?));
            addresses.extend(records(asker.v6(&name).await?));
        }
        Ok(addresses)
    }
}
