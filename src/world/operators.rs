//! The cast of the simulated internet: who runs which hosts for which domains, and how they behave.
//!
//! Owns:       names, addresses, zones and manners of the demo, as data.
//! Promises:   the names that the ready file tells (`ACCEPTING_DOMAIN` …) do what they say.
//! Knows not:  how any of it is carried out.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::HostPlan;
use super::dns::{Data, Says, Zones};
use super::manners::{
    Deed, Extensions, Greylist, Manners, Pace, Phase, Rule, Throttle, TlsManner, Whom,
};
use super::mx::Serves;

/// Takes everything but the mailboxes of `troubled_mailboxes`, at any rate.
pub const ACCEPTING_DOMAIN: &str = "goodmail.test";
pub const REFUSED_RECIPIENT: &str = "gone@goodmail.test";
pub const GREYLISTING_DOMAIN: &str = "greyfriars.test";
/// Whose the demo's mail is; the only domain the demo's credential may use.
pub const OWN_DOMAIN: &str = "shop.test";
/// Where bounces come back to.
pub const RETURN_DOMAIN: &str = "bounce.shop.test";

/// Somebody who takes mail for some domains.
pub struct Operator {
    pub name: &'static str,
    /// For people: what to expect.
    pub note: &'static str,
    pub hosts: Vec<HostPlan>,
    /// Each has an MX record for each host, in the order of the hosts.
    pub domains: &'static [&'static str],
}

/// Everybody there is.
pub fn operators() -> Vec<Operator> {
    let mut all = well_behaved();
    all.extend(particular());
    all.extend(with_tls_of_their_own());
    all.extend(in_trouble());
    all
}

/// All zones: the operators' and those of domains that nobody runs well.
pub fn zones(operators: &[Operator]) -> Zones {
    let mut zones = Zones::default();
    for operator in operators {
        for (preference, host) in (1u16..).zip(&operator.hosts) {
            zones.add(&host.name, Data::Address(IpAddr::V4(host.address)));
            for domain in operator.domains {
                zones.add(domain, Data::Mx(preference * 10, host.name.clone()));
            }
        }
    }
    odd_zones(&mut zones);
    zones
}

fn odd_zones(zones: &mut Zones) {
    let address = |octets: [u8; 4]| Data::Address(IpAddr::from(octets));
    zones.add("null-mx.test", Data::Mx(0, ".".into()));
    zones.set("servfail.test", Says::ServerFailure);
    zones.set("silent-dns.test", Says::Silence);
    // No MX: the domain's own address takes the mail (RFC 5321 §5.1). It is goodmail's first host.
    zones.add("implicit-mx.test", address([127, 0, 10, 1]));
    // A20: nobody may be made to connect to these.
    zones.add("private-mx.test", Data::Mx(10, "private.private-mx.test".into()));
    zones.add("private.private-mx.test", address([10, 0, 0, 5]));
    zones.add("private.private-mx.test", address([169, 254, 169, 254]));
    zones.add("private.private-mx.test", address([0, 0, 0, 0]));
    // The first host is down; the second is goodmail's.
    zones.add("first-host-down.test", Data::Mx(10, "down.first-host-down.test".into()));
    zones.add("first-host-down.test", Data::Mx(20, "mx2.goodmail.test".into()));
    zones.add("down.first-host-down.test", address([127, 0, 10, 99]));
    zones.add("no-address.test", Data::Mx(10, "nowhere.no-address.test".into()));
    // Both are the demo's own name server, which is asked for them at its own port.
    zones.add(OWN_DOMAIN, Data::NameServer(format!("ns.{OWN_DOMAIN}")));
    zones.add(&format!("ns.{OWN_DOMAIN}"), address([127, 0, 0, 1]));
    zones.add(&format!("mail.{OWN_DOMAIN}"), address([127, 0, 1, 1]));
    zones.add(&format!("_dmarc.{OWN_DOMAIN}"), Data::Text("v=DMARC1; p=reject".into()));
    zones.add(RETURN_DOMAIN, Data::Mx(10, format!("mail.{OWN_DOMAIN}")));
    for domain in [OWN_DOMAIN, RETURN_DOMAIN] {
        zones.add(domain, Data::Text("v=spf1 ip4:127.0.0.0/8 -all".into()));
    }
}

/// Mailboxes that every operator of the demo knows to refuse, each in the operator's own words.
fn troubled_mailboxes(gone: &str, full: &str, over: &str) -> Vec<Rule> {
    let mailbox =
        |start: &str, reply: &str| Rule::mailbox(Whom::LocalStart(start.to_owned()), reply);
    vec![mailbox("gone", gone), mailbox("full", full), mailbox("overquota", over)]
}

fn usual_mailboxes() -> Vec<Rule> {
    troubled_mailboxes(
        "550 5.1.1 No such user here",
        "452 4.2.2 The mailbox is full",
        "552 5.2.2 The mailbox is over its quota",
    )
}

fn host(name: &str, address: [u8; 2], domains: &[&str], manners: Manners) -> HostPlan {
    HostPlan {
        name: name.to_owned(),
        address: Ipv4Addr::new(127, 0, address[0], address[1]),
        serves: Serves::Domains(domains.iter().map(|domain| (*domain).to_owned()).collect()),
        manners,
    }
}

fn well_behaved() -> Vec<Operator> {
    const GOOD: &[&str] = &[ACCEPTING_DOMAIN, "bakery.test", "florist.test", "school.test"];
    const SERVED: &[&str] = &[
        ACCEPTING_DOMAIN,
        "bakery.test",
        "florist.test",
        "school.test",
        "implicit-mx.test",
        "first-host-down.test",
    ];
    let goodmail = Manners {
        rules: troubled_mailboxes(
            "550-5.1.1 The email account that you tried to reach does not exist. Please try\n\
             550-5.1.1 double-checking the recipient's email address for typos or\n\
             550 5.1.1 unnecessary spaces. - goodmail",
            "452 4.2.2 The recipient's inbox is out of storage space. - goodmail",
            "552 5.2.2 The recipient's inbox is out of storage space and inactive. - goodmail",
        ),
        ..Manners::default()
    };
    const MANY: &[&str] = &["*.many.test"];
    const OWN: &[&str] = &[OWN_DOMAIN];
    let many = Manners { rules: usual_mailboxes(), ..Manners::default() };
    vec![
        Operator {
            name: "Goodmail",
            note: "accepts; gone@ is refused, full@ and overquota@ are full",
            hosts: vec![
                host("mx1.goodmail.test", [10, 1], SERVED, goodmail.clone()),
                host("mx2.goodmail.test", [10, 2], SERVED, goodmail),
            ],
            domains: GOOD,
        },
        Operator {
            name: "Many",
            note: "accepts, for every domain below many.test",
            hosts: vec![host("mx.many.test", [11, 1], MANY, many)],
            domains: MANY,
        },
        Operator {
            name: "Shop",
            note: "our own mailboxes, where reports on what could not be delivered arrive",
            hosts: vec![host("mx.shop.test", [12, 1], OWN, Manners::default())],
            domains: OWN,
        },
    ]
}

fn particular() -> Vec<Operator> {
    let lone = |name, note, domains: &'static [&'static str], mx: &str, at, manners| Operator {
        name,
        note,
        hosts: vec![host(mx, at, domains, manners)],
        domains,
    };
    vec![
        lone(
            "Greyfriars",
            "greylists: the first try waits a minute",
            &[GREYLISTING_DOMAIN, "abbey.test"],
            "mx.greyfriars.test",
            [20, 1],
            Manners { greylist: Some(greylist()), rules: usual_mailboxes(), ..Manners::default() },
        ),
        lone(
            "Lookout",
            "throttles: 60 mails a minute and 10 connections for each source",
            &["lookout.test", "office.test"],
            "mx.lookout.test",
            [21, 1],
            Manners { throttle: Some(lookout()), rules: usual_mailboxes(), ..Manners::default() },
        ),
        lone(
            "Yonder",
            "throttles: 20 mails a minute, then hangs up with 421",
            &["yonder.test"],
            "mx.yonder.test",
            [22, 1],
            Manners { throttle: Some(yonder()), rules: usual_mailboxes(), ..Manners::default() },
        ),
        lone(
            "Snail",
            "accepts, slowly",
            &["snail.test"],
            "mx.snail.test",
            [23, 1],
            Manners { pace: snail(), ..Manners::default() },
        ),
        lone(
            "Museum",
            "accepts, and knows nothing newer than RFC 821",
            &["museum.test"],
            "mx.museum.test",
            [24, 1],
            Manners {
                extensions: Extensions::none(),
                tls: TlsManner::Absent,
                ..Manners::default()
            },
        ),
    ]
}

fn greylist() -> Greylist {
    Greylist {
        wait: Duration::from_secs(60),
        reply: "451 4.7.1 Greylisted, please try again in 60 seconds".into(),
    }
}

fn lookout() -> Throttle {
    Throttle {
        connections_max: 10,
        connections_reply: "421 4.3.2 Service not available, too many connections".into(),
        messages_max: 60,
        window: Duration::from_secs(60),
        messages_reply: "451 4.7.500 Server busy. Please try again later from this address".into(),
    }
}

fn yonder() -> Throttle {
    Throttle {
        connections_max: 5,
        connections_reply: "421 4.7.28 Too many connections from your address".into(),
        messages_max: 20,
        window: Duration::from_secs(60),
        messages_reply: "421 4.7.28 Our system has detected an unusual rate of mail from your \
                         address; it has been temporarily rate limited"
            .into(),
    }
}

fn snail() -> Pace {
    Pace {
        greeting: Duration::from_secs(2),
        command: Duration::from_millis(250),
        data_end: Duration::from_secs(3),
    }
}

fn with_tls_of_their_own() -> Vec<Operator> {
    let one = |name, note, domains: &'static [&'static str], at, tls| {
        let mx = format!("mx.{}", domains[0]);
        let manners = Manners { tls, ..Manners::default() };
        Operator { name, note, hosts: vec![host(&mx, [30, at], domains, manners)], domains }
    };
    use TlsManner::{Absent, Broken, Expired, SelfSigned, Weak, WrongName};
    vec![
        one("No TLS", "clear text alone", &["no-tls.test"], 1, Absent),
        one("Expired", "an expired certificate", &["expired-tls.test"], 2, Expired),
        one("Wrong name", "a certificate of another host", &["wrong-name-tls.test"], 3, WrongName),
        one(
            "Self-signed",
            "a certificate signed by itself",
            &["self-signed-tls.test"],
            4,
            SelfSigned,
        ),
        one("Weak", "a certificate with an RSA key of 1024 bits", &["weak-tls.test"], 5, Weak),
        one(
            "Broken TLS",
            "announces STARTTLS, and the handshake fails",
            &["broken-tls.test"],
            6,
            Broken,
        ),
    ]
}

fn in_trouble() -> Vec<Operator> {
    let ruled = |name, note, domains: &'static [&'static str], mx: &str, at, phase, deed| {
        let manners = Manners { rules: vec![Rule::always(phase, deed)], ..Manners::default() };
        Operator { name, note, hosts: vec![host(mx, [40, at], domains, manners)], domains }
    };
    vec![
        ruled(
            "Hang-up",
            "closes in the middle of each mail",
            &["hang-up.test"],
            "mx.hang-up.test",
            1,
            Phase::Body,
            Deed::Close,
        ),
        ruled(
            "Closed",
            "greets with 421",
            &["closed.test"],
            "mx.closed.test",
            2,
            Phase::Connect,
            Deed::Reply("421 4.3.2 Closed for maintenance".into()),
        ),
        ruled(
            "Blocking",
            "greets with 554: the source is on a list",
            &["blocking.test"],
            "mx.blocking.test",
            3,
            Phase::Connect,
            Deed::Reply("554 5.7.1 Your address is listed; see https://lists.test/why".into()),
        ),
        ruled(
            "Filtering",
            "refuses each mail at its end as unwanted",
            &["filtering.test"],
            "mx.filtering.test",
            4,
            Phase::DataEnd,
            Deed::Reply("550 5.7.1 Message contains content that is not wanted here".into()),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_has_a_name_and_a_loopback_address_of_its_own() {
        let operators = operators();
        let hosts: Vec<&HostPlan> = operators.iter().flat_map(|o| &o.hosts).collect();
        for (at, host) in hosts.iter().enumerate() {
            assert!(host.address.is_loopback());
            for other in &hosts[..at] {
                assert_ne!((host.name.as_str(), 0), (other.name.as_str(), 0));
                assert_ne!(host.address, other.address);
            }
        }
    }
}
