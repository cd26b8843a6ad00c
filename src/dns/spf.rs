//! An SPF record (RFC 7208) as it covers our own addresses, with its look-ups counted.
//!
//! Owns:       the walk over `include`, `redirect`, `a` and `mx`, and the limit of ten look-ups.
//! Promises:   an end, whatever records say: the look-ups are counted as a receiver counts them.
//! Knows not:  what becomes of mail that fails.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::{DnsFailure, Resolver};
use crate::wire::network::Network;

/// RFC 7208 §4.6.4.
pub const LOOKUPS_MAX: u32 = 10;
/// A walk ends here even where receivers would have ended before.
const WALK_MAX: u32 = 40;

/// What an SPF record means for our addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpfReport {
    /// Look-ups that a receiver makes for the whole record.
    pub lookups: u32,
    /// Those of our addresses that no mechanism lets pass.
    pub missing: Vec<IpAddr>,
    /// More than one record, an unknown mechanism, a loop.
    pub wrong: Vec<String>,
}

/// A mechanism that asks DNS, or a network.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Network(Network),
    Include(String),
    Address(String),
    Mx(String),
    /// `exists` and `ptr`: a look-up whose answer depends on the mail.
    Other,
    All,
}

/// Whether a TXT record is an SPF record.
pub fn is_spf(text: &str) -> bool {
    let word = text.split(' ').next().unwrap_or_default();
    word.eq_ignore_ascii_case("v=spf1")
}

/// The terms of a record that let pass or lead on; those that refuse are left out.
fn terms(text: &str, domain: &str) -> Result<Vec<Term>, String> {
    let mut found = Vec::new();
    for word in text.split(' ').skip(1).filter(|word| !word.is_empty()) {
        let lower = word.to_ascii_lowercase();
        if let Some(other) = lower.strip_prefix("redirect=") {
            found.push(Term::Include(other.to_owned()));
            continue;
        }
        if lower.split(':').next().is_some_and(|name| name.contains('=')) {
            continue;
        }
        let passes = !lower.starts_with(['-', '~', '?']);
        let bare = lower.trim_start_matches(['+', '-', '~', '?']);
        let (name, value) = match bare.find([':', '/']) {
            Some(at) => (&bare[..at], bare[at..].trim_start_matches(':')),
            None => (bare, ""),
        };
        let host = value.split('/').next().filter(|host| !host.is_empty()).unwrap_or(domain);
        let term = match name {
            "all" => Term::All,
            "ip4" | "ip6" => {
                Term::Network(Network::parse(value).map_err(|_| format!("'{word}' is no network"))?)
            }
            "include" => Term::Include(host.to_owned()),
            "a" => Term::Address(host.to_owned()),
            "mx" => Term::Mx(host.to_owned()),
            "exists" | "ptr" => Term::Other,
            _ => return Err(format!("'{word}' is no mechanism")),
        };
        if passes || matches!(term, Term::Include(_)) {
            found.push(term);
        }
    }
    Ok(found)
}

impl Resolver {
    /// Follows the record of a domain, whose own text is given, as a receiver would.
    pub async fn spf(
        &self,
        domain: &str,
        text: &str,
        own: &[IpAddr],
    ) -> Result<SpfReport, DnsFailure> {
        let mut report = SpfReport { missing: own.to_vec(), ..SpfReport::default() };
        let mut records = VecDeque::from([(domain.to_owned(), text.to_owned())]);
        while let Some((domain, text)) = records.pop_front() {
            let terms = match terms(&text, &domain) {
                Ok(terms) => terms,
                Err(wrong) => {
                    report.wrong.push(format!("{domain}: {wrong}"));
                    continue;
                }
            };
            for term in terms {
                if report.lookups >= WALK_MAX {
                    report.wrong.push("it leads on without end".to_owned());
                    return Ok(report);
                }
                if let Some(next) = self.follow(term, &mut report).await? {
                    records.push_back(next);
                }
            }
        }
        Ok(report)
    }

    /// Another record to follow, when the term names one.
    async fn follow(
        &self,
        term: Term,
        report: &mut SpfReport,
    ) -> Result<Option<(String, String)>, DnsFailure> {
        let host = match term {
            Term::Network(network) => {
                report.missing.retain(|address| !network.contains(*address));
                return Ok(None);
            }
            Term::All => {
                report.missing.clear();
                return Ok(None);
            }
            Term::Other => {
                report.lookups += 1;
                return Ok(None);
            }
            Term::Address(ref host) | Term::Mx(ref host) => {
                report.lookups += 1;
                let mx = matches!(term, Term::Mx(_));
                let found = self.addresses_in_dns(host, mx).await?;
                report.missing.retain(|address| !found.contains(address));
                return Ok(None);
            }
            Term::Include(host) => host,
        };
        report.lookups += 1;
        let texts = self.texts(&host).await?;
        let mut records: Vec<String> = texts.into_iter().filter(|text| is_spf(text)).collect();
        match records.len() {
            1 => Ok(Some((host, records.remove(0)))),
            count => {
                report.wrong.push(format!("{host} has {count} SPF records, and one is needed"));
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_term_by_term() {
        let network = |text| Term::Network(Network::parse(text).expect("a network"));
        let include = |name: &str| Term::Include(name.to_owned());
        for (text, expected) in [
            ("v=spf1 -all", vec![]),
            ("v=spf1 ip4:192.0.2.0/24 ~all", vec![network("192.0.2.0/24")]),
            ("v=spf1 IP6:2001:db8::/32 +all", vec![network("2001:db8::/32"), Term::All]),
            ("v=spf1 include:_spf.X.example -all", vec![include("_spf.x.example")]),
            ("v=spf1 redirect=x.example", vec![include("x.example")]),
            (
                "v=spf1 a mx:y.example/24 -all",
                vec![Term::Address("me.example".into()), Term::Mx("y.example".into())],
            ),
            ("v=spf1 exp=why.example exists:%{i}.x.example -all", vec![Term::Other]),
        ] {
            assert_eq!(terms(text, "me.example"), Ok(expected), "{text}");
        }
        assert!(terms("v=spf1 ipv4:192.0.2.1", "me.example").is_err());
        assert!(terms("v=spf1 ip4:192.0.2.300", "me.example").is_err());
    }

    #[test]
    fn other_texts_are_no_spf_records() {
        assert!(is_spf("v=spf1 -all") && is_spf("V=SPF1"));
        assert!(!is_spf("v=spf10 -all") && !is_spf("google-site-verification=x"));
    }
}
