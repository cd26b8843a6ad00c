//! From records to the hosts of a mail domain.
//!
//! Owns:       the rules of RFC 5321 §5.1, RFC 7505 (null MX), A19 (loops) and A20 (addresses).
//! Promises:   plain functions of what was found.
//! Knows not:  how it was found.

use std::collections::HashSet;
use std::net::IpAddr;

use super::{DnsFailure, DnsOptions, MailHosts, MxHost};
use crate::model::Domain;
use crate::wire::network::is_global;

/// Hosts and addresses of one answer that are kept (A21).
pub(super) const HOSTS_MAX: usize = 10;
pub(super) const ADDRESSES_MAX: usize = 20;
/// However many hosts there are, each has this many addresses.
const ADDRESSES_PER_HOST_MIN: usize = 2;

/// What MX records say, before addresses are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Exchanges {
    /// By preference, at most `HOSTS_MAX`.
    Hosts(Vec<(u16, Domain)>),
    Null,
    Ourselves,
    /// Every record names an address literal or nothing that could be a host.
    Unusable,
}

/// `dice` gives numbers in `0.0..1.0`: which of many equal hosts are kept is chance.
pub(super) fn exchanges(
    records: &[(u16, String)],
    options: &DnsOptions,
    dice: impl Fn() -> f64,
) -> Exchanges {
    // RFC 7505 §3: null MX is the only record; beside others it has no meaning.
    if let [(_, name)] = records
        && is_root(name)
    {
        return Exchanges::Null;
    }
    let mut hosts: Vec<(u16, Domain)> = records
        .iter()
        .filter_map(|(preference, name)| Some((*preference, Domain::parse(name).ok()?)))
        .collect();
    if hosts.is_empty() {
        return Exchanges::Unusable;
    }
    shuffle(&mut hosts, dice);
    hosts.sort_by_key(|(preference, _)| *preference);
    let mut seen = HashSet::new();
    hosts.retain(|(_, name)| seen.insert(name.clone()));
    let is_own = |name: &Domain| {
        options
            .own_names
            .iter()
            .any(|own| own.trim_end_matches('.').eq_ignore_ascii_case(name.as_str()))
    };
    // RFC 5321 §5.1: hosts that are no better than we are would send it back to us.
    if let Some(own) = hosts.iter().find(|(_, name)| is_own(name)).map(|host| host.0) {
        hosts.retain(|(preference, _)| *preference < own);
        if hosts.is_empty() {
            return Exchanges::Ourselves;
        }
    }
    hosts.truncate(HOSTS_MAX);
    Exchanges::Hosts(hosts)
}

fn is_root(name: &str) -> bool {
    name.is_empty() || name == "."
}

/// Addresses of one host, or why there are none.
pub(super) type Addresses = Result<Vec<IpAddr>, DnsFailure>;

/// The answer for a domain, from its hosts in order and what was found for each.
pub(super) fn gathered(
    found: Vec<(u16, Domain, Addresses)>,
    options: &DnsOptions,
) -> Result<MailHosts, DnsFailure> {
    let is_own = |address: &IpAddr| options.own_addresses.contains(&address.to_canonical());
    let own = found
        .iter()
        .filter(|(.., addresses)| addresses.as_ref().is_ok_and(|all| all.iter().any(is_own)))
        .map(|(preference, ..)| *preference)
        .min();
    let share = (ADDRESSES_MAX / found.len().max(1)).max(ADDRESSES_PER_HOST_MIN);
    let (mut left, mut failure, mut shut_out) = (ADDRESSES_MAX, None, None);
    let mut hosts = Vec::with_capacity(found.len());
    for (preference, name, addresses) in found {
        if own.is_some_and(|own| preference >= own) {
            continue;
        }
        let addresses = match addresses {
            Ok(addresses) => addresses,
            Err(error) => {
                failure.get_or_insert(error);
                continue;
            }
        };
        let mut usable = Vec::new();
        for address in addresses {
            if !may_send_to(address, options) {
                shut_out.get_or_insert((name.clone(), address));
            } else if usable.len() < share.min(left) {
                usable.push(address);
            }
        }
        left -= usable.len();
        if !usable.is_empty() {
            hosts.push(MxHost { name: name.as_str().to_owned(), preference, addresses: usable });
        }
    }
    if !hosts.is_empty() {
        return Ok(MailHosts::Hosts(hosts));
    }
    // A host whose addresses are not known may be the one that takes mail.
    match (failure, shut_out, own) {
        (Some(failure), ..) => Err(failure),
        (None, Some((name, address)), _) => Ok(MailHosts::NoUsableAddress {
            why: format!("{name} has the address {address}, which is not of the internet"),
        }),
        (None, None, Some(_)) => Ok(MailHosts::Ourselves),
        (None, None, None) => {
            Ok(MailHosts::NoUsableAddress { why: "no host of the domain has an address".into() })
        }
    }
}

/// A20: what DNS says must not lead us into our own network, unless the settings allow it.
fn may_send_to(address: IpAddr, options: &DnsOptions) -> bool {
    is_global(address) || options.allowed_networks.iter().any(|one| one.contains(address))
}

/// Hosts of equal preference in an order by chance (RFC 5321 §5.1), the others as they were.
pub(super) fn mixed(mut hosts: Vec<MxHost>, dice: impl Fn() -> f64) -> Vec<MxHost> {
    let mut rest = &mut hosts[..];
    while let Some(first) = rest.first() {
        let preference = first.preference;
        let equal = rest.iter().take_while(|host| host.preference == preference).count();
        let (group, others) = rest.split_at_mut(equal);
        shuffle(group, &dice);
        rest = others;
    }
    hosts
}

/// Fisher and Yates.
fn shuffle<T>(items: &mut [T], dice: impl Fn() -> f64) {
    for last in (1..items.len()).rev() {
        let other = (dice() * (last + 1) as f64) as usize;
        items.swap(last, other.min(last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::network::Network;

    fn options() -> DnsOptions {
        DnsOptions {
            servers: Vec::new(),
            allowed_networks: vec![Network::parse("127.0.0.0/8").expect("a network")],
            own_names: vec!["Us.Example.".into()],
            own_addresses: vec!["192.0.1.9".parse().expect("an address")],
        }
    }

    fn records(names: &[(u16, &str)]) -> Vec<(u16, String)> {
        names.iter().map(|(preference, name)| (*preference, (*name).to_owned())).collect()
    }

    fn names(names_: &[(u16, &str)]) -> Exchanges {
        exchanges(&records(names_), &options(), || 0.0)
    }

    fn named(hosts: &[(u16, &str)]) -> Exchanges {
        let domain = |name: &str| Domain::parse(name).expect("a name");
        Exchanges::Hosts(hosts.iter().map(|(at, name)| (*at, domain(name))).collect())
    }

    #[test]
    fn hosts_stand_by_preference_and_each_once() {
        assert_eq!(
            names(&[(20, "b.example."), (10, "a.example."), (30, "A.example.")]),
            named(&[(10, "a.example"), (20, "b.example")])
        );
    }

    #[test]
    fn null_mx_counts_only_alone() {
        assert_eq!(names(&[(0, ".")]), Exchanges::Null);
        assert_eq!(names(&[(0, "."), (5, "a.example.")]), named(&[(5, "a.example")]));
        assert_eq!(names(&[(0, "."), (5, ".")]), Exchanges::Unusable);
    }

    #[test]
    fn an_address_where_a_name_belongs_is_no_host() {
        assert_eq!(names(&[(0, "127.0.0.1.")]), Exchanges::Unusable);
        assert_eq!(names(&[(0, "10.0.0.1."), (9, "a.example.")]), named(&[(9, "a.example")]));
    }

    #[test]
    fn hosts_no_better_than_we_are_would_loop() {
        let better =
            [(5, "a.example."), (10, "us.example."), (10, "b.example."), (20, "c.example.")];
        assert_eq!(names(&better), named(&[(5, "a.example")]));
        assert_eq!(names(&better[1..]), Exchanges::Ourselves);
    }

    #[test]
    fn five_hundred_records_are_cut_to_ten() {
        let many: Vec<_> = (0..500).map(|n| (7, format!("h{n}.example."))).collect();
        let clock = crate::clock::Clock::standing(3);
        let Exchanges::Hosts(hosts) = exchanges(&many, &options(), || clock.dice()) else {
            panic!("there are hosts");
        };
        assert_eq!(hosts.len(), HOSTS_MAX);
        // By chance, not the first ones: five hundred hosts share the load.
        assert!(hosts.iter().any(|(_, name)| name.as_str().len() > "h10.example".len()));
    }

    fn found(hosts: &[(u16, &str, &[&str])]) -> Vec<(u16, Domain, Addresses)> {
        let address = |text: &&str| text.parse().expect("an address");
        hosts
            .iter()
            .map(|(at, name, all)| {
                let name = Domain::parse(name).expect("a name");
                (*at, name, Ok(all.iter().map(address).collect()))
            })
            .collect()
    }

    fn addresses_of(hosts: &[(u16, &str, &[&str])]) -> Vec<usize> {
        match gathered(found(hosts), &options()) {
            Ok(MailHosts::Hosts(hosts)) => hosts.iter().map(|host| host.addresses.len()).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn addresses_that_are_not_of_the_internet_are_left_out_unless_allowed() {
        let hosts = [(1, "a.example", &["10.0.0.1", "8.8.8.8", "::1", "127.0.0.5"][..])];
        let answer = gathered(found(&hosts), &options());
        let Ok(MailHosts::Hosts(hosts)) = answer else { panic!("{answer:?}") };
        let kept: Vec<String> = hosts[0].addresses.iter().map(IpAddr::to_string).collect();
        assert_eq!(kept, ["8.8.8.8", "127.0.0.5"]);
        let none = gathered(found(&[(1, "a.example", &["169.254.169.254"])]), &options());
        assert!(matches!(none, Ok(MailHosts::NoUsableAddress { .. })), "{none:?}");
    }

    #[test]
    fn our_own_address_among_the_hosts_is_a_loop_too() {
        let us: &[&str] = &["192.0.1.9"];
        let mapped: &[&str] = &["::ffff:192.0.1.9"];
        assert_eq!(
            gathered(found(&[(1, "a.example", us)]), &options()).ok(),
            Some(MailHosts::Ourselves)
        );
        assert_eq!(
            gathered(found(&[(1, "a.example", mapped)]), &options()).ok(),
            Some(MailHosts::Ourselves)
        );
        assert_eq!(addresses_of(&[(1, "a.example", &["8.8.8.8"]), (2, "b.example", us)]), [1]);
    }

    #[test]
    fn twenty_addresses_are_shared_among_the_hosts() {
        let many: Vec<String> = (1..=30).map(|n| format!("8.8.8.{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(addresses_of(&[(1, "a.example", &many)]), [20]);
        assert_eq!(addresses_of(&[(1, "a.example", &many), (2, "b.example", &many)]), [10, 10]);
    }

    #[test]
    fn an_unknown_address_defers_only_when_no_host_is_left() {
        let broken = || Err(DnsFailure("SERVFAIL".into()));
        let name = |text: &str| Domain::parse(text).expect("a name");
        let mut hosts = found(&[(1, "a.example", &["8.8.8.8"])]);
        hosts.push((0, name("b.example"), broken()));
        assert!(matches!(gathered(hosts, &options()), Ok(MailHosts::Hosts(_))));
        let mut hosts = found(&[(1, "a.example", &["10.0.0.1"])]);
        hosts.push((0, name("b.example"), broken()));
        assert!(gathered(hosts, &options()).is_err());
    }

    #[test]
    fn equal_hosts_change_places_and_others_do_not() {
        let host = |preference, name: &str| MxHost {
            preference,
            name: name.into(),
            addresses: Vec::new(),
        };
        let hosts = vec![host(1, "a"), host(1, "b"), host(1, "c"), host(2, "d")];
        let clock = crate::clock::Clock::standing(5);
        let firsts: HashSet<String> = (0..50)
            .map(|_| mixed(hosts.clone(), || clock.dice()))
            .inspect(|mixed| assert_eq!(mixed[3].name, "d"))
            .map(|mixed| mixed[0].name.clone())
            .collect();
        assert_eq!(firsts.len(), 3);
    }
}
