//! MX hosts of a domain, with a cache.
//!
//! Owns:       the resolver and what it remembers; the table of operators.
//! Promises:   at most 10 hosts and 20 addresses an answer; a name server that fails defers, only a
//!             definite answer fails; addresses that nobody may be sent to are left out (A20).
//! Knows not:  SMTP, sources, the store.

mod authority;
mod cache;
mod facts;
mod lookup;
mod mail_hosts;
mod operators;
pub mod prove;
pub mod spf;
pub mod verify;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

pub use self::authority::Authority;
use self::cache::{Cache, Fresh};
pub use self::facts::Covered;
use self::lookup::{Answer, Asker};
use self::mail_hosts::Exchanges;
pub use self::operators::{
    ListedOperator, OperatorName, TableError, listed_operators, operator_of, operator_of_host,
};
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

/// A time to live of 0 would be a lookup for each mail; a long one would outlive a move.
const HOLDS_MIN: Duration = Duration::from_secs(30);
const HOLDS_MAX: Duration = Duration::from_secs(6 * 3600);
/// For a definite no, and where nothing says how long it holds.
const NO_HOLDS_MAX: Duration = Duration::from_secs(15 * 60);
const NO_HOLDS: Duration = Duration::from_secs(60);
/// While the address of some host is not known.
const PARTIAL_HOLDS: Duration = Duration::from_secs(60);
const DOMAINS_MAX: u64 = 100_000;
const NAMES_MAX: u64 = 100_000;
/// Asking the system for a host of a static route.
const SYSTEM_WAIT: Duration = Duration::from_secs(5);

/// A cheap handle; all clones share one cache.
#[derive(Clone)]
pub struct Resolver {
    inner: Arc<Inner>,
}

struct Inner {
    asker: Asker,
    options: DnsOptions,
    clock: Clock,
    domains: Cache<Domain, MailHosts>,
    names: Cache<Box<str>, HostAddresses>,
}

/// Of one name, IPv4 before IPv6. Shared by all domains that name the host.
#[derive(Clone, Debug)]
struct HostAddresses {
    addresses: Arc<[IpAddr]>,
    /// The name itself is not there, so that it has no record of any type.
    no_such_name: bool,
    /// How long this held when it was found; the answer for a domain holds no longer.
    holds: Duration,
}

impl Resolver {
    /// Reads `/etc/resolv.conf` when no servers are given. Asks nothing yet.
    pub fn new(options: DnsOptions, clock: Clock) -> Result<Resolver, DnsFailure> {
        let asker = Asker::new(&options.servers)?;
        let domains = Cache::new(DOMAINS_MAX, clock.clone());
        let names = Cache::new(NAMES_MAX, clock.clone());
        Ok(Resolver { inner: Arc::new(Inner { asker, options, clock, domains, names }) })
    }

    /// MX, else the domain's own addresses (implicit MX, RFC 5321 §5.1); cached by TTL. While its
    /// name servers fail, an answer that has run out serves for a day more (RFC 8767).
    pub async fn mail_hosts(&self, domain: &Domain) -> Result<MailHosts, DnsFailure> {
        let found = self.inner.domains.get(domain, self.inner.look_up(domain)).await?;
        Ok(self.inner.mixed(found))
    }

    /// From the cache alone, and only while fresh.
    pub fn cached(&self, domain: &Domain) -> Option<MailHosts> {
        self.inner.domains.fresh(domain).map(|found| self.inner.mixed(found))
    }

    /// Addresses of a host that a static route names; private ones are allowed here. A name that
    /// DNS does not know is asked for at the system, for the sake of /etc/hosts.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsFailure> {
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(vec![address]);
        }
        let found = self.inner.addresses_of(host).await;
        if let Ok(found) = &found
            && !found.addresses.is_empty()
        {
            return Ok(found.addresses.to_vec());
        }
        let asking = tokio::net::lookup_host((host, 0));
        if let Ok(Ok(known)) = tokio::time::timeout(SYSTEM_WAIT, asking).await {
            let mut known: Vec<IpAddr> = known.map(|address| address.ip()).collect();
            known.dedup();
            if !known.is_empty() {
                return Ok(known);
            }
        }
        found.map(|_| Vec::new())
    }
}

impl Inner {
    fn mixed(&self, found: MailHosts) -> MailHosts {
        match found {
            MailHosts::Hosts(hosts) if hosts.len() > 1 => {
                MailHosts::Hosts(mail_hosts::mixed(hosts, || self.clock.dice()))
            }
            other => other,
        }
    }

    async fn look_up(&self, domain: &Domain) -> Result<Fresh<MailHosts>, DnsFailure> {
        let (records, ttl) = match self.asker.mx(domain.as_str()).await? {
            Answer::Found { records, ttl } => (records, ttl),
            Answer::NoSuchName { ttl } => return Ok(no(MailHosts::NoSuchDomain, ttl)),
            Answer::NoneOfType { ttl } => return self.implicit(domain, ttl).await,
        };
        let hosts = match mail_hosts::exchanges(&records, &self.options, || self.clock.dice()) {
            Exchanges::Hosts(hosts) => hosts,
            Exchanges::Null => return Ok(no(MailHosts::NullMx, Some(ttl))),
            Exchanges::Ourselves => return Ok(no(MailHosts::Ourselves, Some(ttl))),
            Exchanges::Unusable => {
                let why = "no MX record of the domain names a host".into();
                return Ok(no(MailHosts::NoUsableAddress { why }, Some(ttl)));
            }
        };
        let asking = hosts.iter().map(|(_, name)| self.addresses_of(name.as_str()));
        let answers = join_all(asking.collect()).await;
        let mut holds = held(Some(ttl), HOLDS_MAX);
        let mut found = Vec::with_capacity(hosts.len());
        for ((preference, name), answer) in hosts.into_iter().zip(answers) {
            holds = holds.min(answer.as_ref().map_or(PARTIAL_HOLDS, |found| found.holds));
            found.push((preference, name, answer.map(|found| found.addresses.to_vec())));
        }
        let value = mail_hosts::gathered(found, &self.options)?;
        Ok(Fresh { value, holds })
    }

    /// Without MX the domain is its own host; `ttl` says how long there is no MX.
    async fn implicit(
        &self,
        domain: &Domain,
        ttl: Option<u32>,
    ) -> Result<Fresh<MailHosts>, DnsFailure> {
        let found = self.addresses_of(domain.as_str()).await?;
        if found.no_such_name {
            return Ok(no(MailHosts::NoSuchDomain, ttl));
        }
        if found.addresses.is_empty() {
            let why = "the domain has neither MX nor address".into();
            return Ok(no(MailHosts::NoUsableAddress { why }, ttl));
        }
        let is_own_name = self
            .options
            .own_names
            .iter()
            .any(|own| own.trim_end_matches('.').eq_ignore_ascii_case(domain.as_str()));
        if is_own_name {
            return Ok(no(MailHosts::Ourselves, ttl));
        }
        let holds = found.holds.min(held(ttl, HOLDS_MAX));
        let host = (0, domain.clone(), Ok(found.addresses.to_vec()));
        let value = mail_hosts::gathered(vec![host], &self.options)?;
        Ok(Fresh { value, holds })
    }

    async fn addresses_of(&self, name: &str) -> Result<HostAddresses, DnsFailure> {
        let key: Box<str> = name.trim_end_matches('.').to_ascii_lowercase().into();
        self.names.get(&key, self.look_up_addresses(&key)).await
    }

    /// Both families at once. When one of them fails, the other will do, but not for long.
    async fn look_up_addresses(&self, name: &str) -> Result<Fresh<HostAddresses>, DnsFailure> {
        let (v4, v6) = tokio::join!(self.asker.v4(name), self.asker.v6(name));
        let mut addresses = Vec::new();
        let (mut holds, mut failure, mut missing) = (HOLDS_MAX, None, 0);
        for answer in [v4, v6] {
            let for_this = match answer {
                Ok(Answer::Found { records, ttl }) => {
                    addresses.extend(records);
                    held(Some(ttl), HOLDS_MAX)
                }
                Ok(Answer::NoneOfType { ttl }) => held(ttl, HOLDS_MAX),
                Ok(Answer::NoSuchName { ttl }) => {
                    missing += 1;
                    held(ttl, NO_HOLDS_MAX)
                }
                Err(error) => {
                    failure = Some(error);
                    PARTIAL_HOLDS
                }
            };
            holds = holds.min(for_this);
        }
        match failure {
            Some(failure) if addresses.is_empty() => Err(failure),
            _ => {
                if addresses.is_empty() {
                    holds = holds.min(NO_HOLDS_MAX);
                }
                let no_such_name = missing == 2;
                let addresses = addresses.into();
                Ok(Fresh { value: HostAddresses { addresses, no_such_name, holds }, holds })
            }
        }
    }
}

/// A definite no.
fn no(value: MailHosts, ttl: Option<u32>) -> Fresh<MailHosts> {
    Fresh { value, holds: held(ttl, NO_HOLDS_MAX) }
}

fn held(ttl: Option<u32>, max: Duration) -> Duration {
    ttl.map_or(NO_HOLDS, |ttl| Duration::from_secs(ttl.into())).clamp(HOLDS_MIN, max)
}

/// All at once, answers in order; there are at most `HOSTS_MAX`.
async fn join_all<F: Future>(asking: Vec<F>) -> Vec<F::Output> {
    let mut asking: Vec<_> = asking.into_iter().map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|cx| {
        let mut all_done = true;
        for (one, answer) in &mut asking {
            if answer.is_none() {
                match one.as_mut().poll(cx) {
                    std::task::Poll::Ready(ready) => *answer = Some(ready),
                    std::task::Poll::Pending => all_done = false,
                }
            }
        }
        if all_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    asking.into_iter().filter_map(|(_, answer)| answer).collect()
}

/// What several domains share: the sorted, lower-cased host names, `mx:a.example,b.example`.
pub fn site_key(hosts: &[MxHost]) -> String {
    let mut names: Vec<String> = hosts.iter().map(|host| host.name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    names.dedup();
    format!("mx:{}", names.join(","))
}
