//! MX hosts of a domain, with a cache.
//!
//! Owns:       the resolver and what it remembers.
//! Promises:   at most 10 hosts and 20 addresses an answer; a name server that fails defers, only a
//!             definite answer fails; addresses that nobody may be sent to are left out (A20).
//! Knows not:  SMTP, sources, the store.

use std::net::{IpAddr, SocketAddr};

use crate::clock::Clock;
use crate::model::Domain;

/// A host that takes mail, with the addresses we may connect to, in the order to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MxHost {
    pub name: String,
    pub preference: u16,
    pub addresses: Vec<IpAddr>,
}

/// What DNS says of a mail domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailHosts {
    /// By preference; equal ones in random order. Never empty.
    Hosts(Vec<MxHost>),
    /// RFC 7505: the domain takes no mail. Fails with 5.1.10.
    NullMx,
    /// NXDOMAIN. Fails with 5.1.2.
    NoSuchDomain,
    /// Only addresses that may not be sent to, or names without any. Fails with 5.4.4.
    NoUsableAddress { why: String },
    /// Our own EHLO name or address stands among the hosts, so it would loop. Fails with 5.4.6.
    Ourselves,
}

/// SERVFAIL, time-out, rubbish: to be tried again.
#[derive(Clone, Debug, thiserror::Error)]
#[error("DNS: {0}")]
pub struct DnsFailure(pub String);

#[derive(Clone, Debug)]
pub struct DnsOptions {
    /// Empty: as in /etc/resolv.conf.
    pub servers: Vec<SocketAddr>,
    /// Private, loopback and other non-global addresses found in DNS may be sent to when within
    /// one of these networks (the demo and the tests name 127.0.0.0/8).
    pub allowed_networks: Vec<crate::wire::network::Network>,
    /// Names of our own, so that a loop is noticed.
    pub own_names: Vec<String>,
    pub own_addresses: Vec<IpAddr>,
}

#[derive(Clone)]
pub struct Resolver {}

impl Resolver {
    pub fn new(options: DnsOptions, clock: Clock) -> Result<Resolver, DnsFailure> {
        todo!()
    }
    /// MX, else the domain's own addresses (implicit MX, RFC 5321 §5.1); cached by TTL.
    pub async fn mail_hosts(&self, domain: &Domain) -> Result<MailHosts, DnsFailure> {
        todo!()
    }
    /// From the cache alone, and only while fresh.
    pub fn cached(&self, domain: &Domain) -> Option<MailHosts> {
        todo!()
    }
    /// Addresses of a host that a static route names; private ones are allowed here.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsFailure> {
        todo!()
    }
}

/// What several domains share: the sorted, lower-cased host names, `mx:a.example,b.example`.
pub fn site_key(hosts: &[MxHost]) -> String {
    todo!()
}
