//! What DNS says of an address of ours: its names, lists that hold it, SPF that covers it.
//!
//! Owns:       these questions; nothing of them is cached, since they are asked once an hour.
//! Promises:   an error means that nothing was learned; everything else is a definite answer.
//! Knows not:  what follows from an answer.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use mail_auth::spf::verify::SpfParameters;
use mail_auth::{MessageAuthenticator, SpfResult};

use super::lookup::Answer;
use super::{DnsFailure, Resolver};
use crate::model::Domain;

/// A record may lead to ten others (RFC 7208 §4.6.4).
const SPF_WAIT: Duration = Duration::from_secs(20);

/// Whether mail of a domain may come from an address, as its SPF record has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covered {
    Yes,
    No,
    /// There is no record.
    NoRecord,
}

impl Resolver {
    /// The names of an address, lower-cased, without their last dot. None: it has no PTR record.
    pub async fn names_of(&self, address: IpAddr) -> Result<Vec<String>, DnsFailure> {
        match self.inner.asker.ptr(&reversed(address, "in-addr.arpa", "ip6.arpa")).await? {
            Answer::Found { records, .. } => Ok(records),
            Answer::NoneOfType { .. } | Answer::NoSuchName { .. } => Ok(Vec::new()),
        }
    }

    /// The addresses that DNS has for a name; the system's own files are not asked.
    pub async fn addresses_of_name(&self, name: &str) -> Result<Vec<IpAddr>, DnsFailure> {
        Ok(self.inner.addresses_of(name).await?.addresses.to_vec())
    }

    /// Whether a DNSBL holds the address. A list that does not want to be asked by us, or answers
    /// nonsense, has said nothing.
    pub async fn is_listed(&self, address: IpAddr, list: &str) -> Result<bool, DnsFailure> {
        match self.inner.asker.v4(&reversed(address, list, list)).await? {
            Answer::Found { records, .. } => {
                says_listed(&records).map_err(|said| DnsFailure(format!("{list} says {said}")))
            }
            Answer::NoneOfType { .. } | Answer::NoSuchName { .. } => Ok(false),
        }
    }

    /// RFC 7208, for a mail that says this name in EHLO and is from the domain.
    pub async fn spf_covers(
        &self,
        address: IpAddr,
        ehlo: &str,
        domain: &Domain,
    ) -> Result<Covered, DnsFailure> {
        let sender = format!("postmaster@{domain}");
        let checker = MessageAuthenticator(self.inner.asker.resolver().clone());
        let asked = SpfParameters::verify_mail_from(address, ehlo, ehlo, &sender);
        let checking = checker.verify_spf(asked);
        let failure = || DnsFailure(format!("SPF of {domain}: no answer"));
        let output = tokio::time::timeout(SPF_WAIT, checking).await.map_err(|_| failure())?;
        match output.result() {
            SpfResult::Pass => Ok(Covered::Yes),
            SpfResult::None => Ok(Covered::NoRecord),
            SpfResult::TempError => Err(failure()),
            _ => Ok(Covered::No),
        }
    }
}

/// RFC 5782 §2.3: an entry is an address of 127/8; 127.255.255/24 is an error of the question.
fn says_listed(records: &[IpAddr]) -> Result<bool, String> {
    let is_entry = |address: &IpAddr| match address {
        IpAddr::V4(v4) => v4.is_loopback() && v4.octets()[..3] != [127, 255, 255],
        IpAddr::V6(_) => false,
    };
    match records.iter().find(|address| !is_entry(address)) {
        Some(odd) => Err(odd.to_string()),
        None => Ok(!records.is_empty()),
    }
}

/// `9.2.0.192.zone`, or the nibbles of an IPv6 address.
fn reversed(address: IpAddr, zone_v4: &str, zone_v6: &str) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = Ipv4Addr::octets(&v4);
            format!("{d}.{c}.{b}.{a}.{zone_v4}")
        }
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().rev();
            let nibbles: String =
                nibbles.map(|octet| format!("{:x}.{:x}.", octet & 15, octet >> 4)).collect();
            format!("{nibbles}{zone_v6}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_asked_for_backwards() {
        let v4 = "192.0.2.9".parse().expect("an address");
        assert_eq!(reversed(v4, "in-addr.arpa", "ip6.arpa"), "9.2.0.192.in-addr.arpa");
        let v6 = "2001:db8::1".parse().expect("an address");
        let name = reversed(v6, "x", "ip6.arpa");
        assert!(
            name.starts_with("1.0.0.0.") && name.ends_with(".8.b.d.0.1.0.0.2.ip6.arpa"),
            "{name}"
        );
        assert_eq!(name.len(), 64 + "ip6.arpa".len());
    }

    #[test]
    fn an_entry_is_of_loopback_and_errors_of_a_list_are_no_entries() {
        let said = |text: &str| says_listed(&[text.parse().expect("an address")]);
        assert_eq!(said("127.0.0.2"), Ok(true));
        assert_eq!(says_listed(&[]), Ok(false));
        assert!(said("127.255.255.254").is_err() && said("192.0.2.1").is_err());
    }
}
