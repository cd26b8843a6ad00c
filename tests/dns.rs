//! What name servers say of a mail domain, lies and failures among it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;
use postroad::clock::Clock;
use postroad::dns::*;
use postroad::model::Domain;
use postroad::wire::network::Network;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::ports::both_protocols;

#[derive(Clone)]
enum Says {
    Records(u32, Vec<RData>),
    Code(ResponseCode),
    Silence,
}

/// A name server of our own: a name that is in no table does not exist.
#[derive(Clone, Default)]
struct Zone {
    table: Arc<Mutex<HashMap<(String, RecordType), Says>>>,
    asked: Arc<AtomicUsize>,
    /// Questions whose letters were of mixed case.
    mixed: Arc<AtomicUsize>,
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).expect("a name");
    name.set_fqdn(true);
    name
}

fn mx(preference: u16, host: &str) -> RData {
    RData::MX(MX::new(preference, name(host)))
}

fn address(text: &str) -> RData {
    match text.parse().expect("an address") {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    }
}

impl Zone {
    fn say(&self, owner: &str, kind: RecordType, says: Says) -> &Zone {
        self.table.lock().insert((format!("{owner}."), kind), says);
        self
    }

    fn mx(&self, owner: &str, records: Vec<RData>) -> &Zone {
        self.say(owner, RecordType::MX, Says::Records(300, records))
    }

    fn at(&self, owner: &str, addresses: &[&str]) -> &Zone {
        for (kind, is_v6) in [(RecordType::A, false), (RecordType::AAAA, true)] {
            let own = addresses.iter().filter(|text| text.contains(':') == is_v6);
            let records: Vec<RData> = own.map(|text| address(text)).collect();
            if !records.is_empty() {
                self.say(owner, kind, Says::Records(300, records));
            }
        }
        self
    }

    fn answer(&self, octets: &[u8]) -> Option<Message> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let asked = Message::from_vec(octets).expect("a question");
        let question = asked.queries[0].clone();
        let owner = question.name().to_ascii().to_ascii_lowercase();
        if owner != question.name().to_ascii() {
            self.mixed.fetch_add(1, Ordering::SeqCst);
        }
        let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
        answer.metadata.recursion_available = true;
        answer.add_query(question.clone());
        let table = self.table.lock();
        let mut at = owner.clone();
        // One step along an alias, as a name server that knows both ends does.
        if let Some(Says::Records(ttl, records)) = table.get(&(owner.clone(), RecordType::CNAME)) {
            let RData::CNAME(CNAME(to)) = &records[0] else { panic!("an alias") };
            at = to.to_ascii();
            answer.add_answer(Record::from_rdata(name(&owner), *ttl, records[0].clone()));
        }
        match table.get(&(at.clone(), question.query_type())) {
            Some(Says::Silence) => return None,
            Some(Says::Code(code)) => answer.metadata.response_code = *code,
            Some(Says::Records(ttl, records)) => {
                for record in records {
                    answer.add_answer(Record::from_rdata(name(&at), *ttl, record.clone()));
                }
            }
            None => {
                if !table.keys().any(|(known, _)| *known == at) {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                }
                let soa = SOA::new(name("ns.example"), name("me.example"), 1, 60, 60, 60, 60);
                answer.add_authority(Record::from_rdata(name("example"), 60, RData::SOA(soa)));
            }
        }
        Some(answer)
    }

    /// UDP and TCP on one port.
    async fn serve(&self) -> SocketAddr {
        let (tcp, udp) = both_protocols().await;
        let server = udp.local_addr().expect("an address");
        let zone = self.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((count, from)) = udp.recv_from(&mut buffer).await {
                let Some(answer) = zone.answer(&buffer[..count]) else { continue };
                let mut octets = answer.to_vec().expect("an answer");
                if octets.len() > 1232 {
                    octets = answer.truncate().to_vec().expect("an answer");
                }
                udp.send_to(&octets, from).await.expect("sent");
            }
        });
        let zone = self.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let zone = zone.clone();
                tokio::spawn(async move {
                    while let Ok(length) = stream.read_u16().await {
                        let mut octets = vec![0; length.into()];
                        stream.read_exact(&mut octets).await.expect("a question");
                        let Some(answer) = zone.answer(&octets) else { continue };
                        let octets = answer.to_vec().expect("an answer");
                        stream.write_u16(octets.len() as u16).await.expect("sent");
                        stream.write_all(&octets).await.expect("sent");
                    }
                });
            }
        });
        server
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn resolver(zone: &Zone) -> (Resolver, Clock) {
    let clock = Clock::standing(11);
    let options = DnsOptions {
        servers: vec![zone.serve().await],
        allowed_networks: vec![Network::parse("127.0.0.0/8").expect("a network")],
        own_names: vec!["us.example".into()],
        own_addresses: vec!["127.0.0.99".parse().expect("an address")],
    };
    (Resolver::new(options, clock.clone()).expect("a resolver"), clock)
}

fn domain(text: &str) -> Domain {
    Domain::parse(text).expect("a domain")
}

async fn hosts(resolver: &Resolver, of: &str) -> MailHosts {
    resolver.mail_hosts(&domain(of)).await.expect("an answer")
}

fn host(name: &str, preference: u16, addresses: &[&str]) -> MxHost {
    let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
    MxHost { name: name.into(), preference, addresses }
}

#[tokio::test]
async fn hosts_come_by_preference_with_addresses_of_both_families() {
    let zone = Zone::default();
    zone.mx("a.example", vec![mx(20, "two.example"), mx(10, "One.Example")])
        .at("one.example", &["127.0.0.1", "2a01:4f8::1"])
        .at("two.example", &["127.0.0.2", "10.0.0.1", "169.254.169.254", "::1"]);
    let (resolver, _) = resolver(&zone).await;
    assert_eq!(resolver.cached(&domain("a.example")), None);
    let found = MailHosts::Hosts(vec![
        host("one.example", 10, &["127.0.0.1", "2a01:4f8::1"]),
        host("two.example", 20, &["127.0.0.2"]),
    ]);
    assert_eq!(hosts(&resolver, "a.example").await, found);
    assert_eq!(resolver.cached(&domain("a.example")), Some(found.clone()));
    let MailHosts::Hosts(found) = found else { panic!("hosts") };
    assert_eq!(site_key(&found), "mx:one.example,two.example");
}

#[tokio::test]
async fn a_domain_without_mx_is_its_own_host() {
    let zone = Zone::default();
    zone.at("a.example", &["127.0.0.1"]).at("us.example", &["127.0.0.1"]);
    zone.say("empty.example", RecordType::TXT, Says::Code(ResponseCode::NoError));
    let (resolver, _) = resolver(&zone).await;
    let found = MailHosts::Hosts(vec![host("a.example", 0, &["127.0.0.1"])]);
    assert_eq!(hosts(&resolver, "a.example").await, found);
    assert_eq!(hosts(&resolver, "us.example").await, MailHosts::Ourselves);
    let found = hosts(&resolver, "empty.example").await;
    assert!(matches!(found, MailHosts::NoUsableAddress { .. }), "{found:?}");
}

#[tokio::test]
async fn definite_answers_fail_and_are_remembered() {
    let zone = Zone::default();
    zone.mx("null.example", vec![mx(0, ".")]).mx("literal.example", vec![mx(0, "127.0.0.1")]);
    zone.mx("inside.example", vec![mx(0, "in.example")]).at("in.example", &["10.0.0.1", "::1"]);
    zone.mx("dangling.example", vec![mx(0, "nowhere.example")]);
    zone.mx("loop.example", vec![mx(0, "us.example")]);
    zone.mx("mirror.example", vec![mx(5, "m.example")]).at("m.example", &["127.0.0.99"]);
    let (resolver, _) = resolver(&zone).await;
    for _ in 0..2 {
        assert_eq!(hosts(&resolver, "null.example").await, MailHosts::NullMx);
        assert_eq!(hosts(&resolver, "no.example").await, MailHosts::NoSuchDomain);
        assert_eq!(hosts(&resolver, "loop.example").await, MailHosts::Ourselves);
        assert_eq!(hosts(&resolver, "mirror.example").await, MailHosts::Ourselves);
        for none in ["literal.example", "inside.example", "dangling.example"] {
            let found = hosts(&resolver, none).await;
            assert!(matches!(found, MailHosts::NoUsableAddress { .. }), "{none}: {found:?}");
        }
    }
    // Seven for MX, six for the addresses of three hosts; all asked once.
    assert_eq!(zone.asked(), 13);
    // A forger would have to guess the case of each letter, too (A21).
    assert!(zone.mixed.load(Ordering::SeqCst) > 6);
}

#[tokio::test]
async fn aliases_are_followed() {
    let zone = Zone::default();
    let alias = |to: &str| Says::Records(300, vec![RData::CNAME(CNAME(name(to)))]);
    zone.say("a.example", RecordType::CNAME, alias("b.example"));
    zone.mx("b.example", vec![mx(1, "mail.example")]);
    zone.say("mail.example", RecordType::CNAME, alias("real.example"));
    zone.at("real.example", &["127.0.0.1"]);
    let (resolver, _) = resolver(&zone).await;
    let found = MailHosts::Hosts(vec![host("mail.example", 1, &["127.0.0.1"])]);
    assert_eq!(hosts(&resolver, "a.example").await, found);
}

#[tokio::test]
async fn an_answer_of_five_hundred_records_comes_by_tcp_and_is_cut() {
    let zone = Zone::default();
    zone.mx("a.example", (0..500).map(|n| mx(n / 100, &format!("h{n}.example"))).collect());
    for n in 0..500 {
        zone.at(&format!("h{n}.example"), &["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    }
    let (resolver, _) = resolver(&zone).await;
    let MailHosts::Hosts(found) = hosts(&resolver, "a.example").await else { panic!("hosts") };
    assert_eq!(found.len(), 10);
    assert_eq!(found.iter().map(|host| host.addresses.len()).sum::<usize>(), 20);
    assert!(found.iter().all(|host| host.preference == 0));
}

#[tokio::test]
async fn failing_name_servers_defer_and_an_old_answer_serves_meanwhile() {
    let zone = Zone::default();
    zone.mx("a.example", vec![mx(1, "mail.example")]).at("mail.example", &["127.0.0.1"]);
    zone.say("b.example", RecordType::MX, Says::Code(ResponseCode::ServFail));
    zone.say("c.example", RecordType::MX, Says::Code(ResponseCode::Refused));
    let (resolver, clock) = resolver(&zone).await;
    assert!(resolver.mail_hosts(&domain("b.example")).await.is_err());
    assert!(resolver.mail_hosts(&domain("c.example")).await.is_err());
    let good = hosts(&resolver, "a.example").await;
    zone.say("a.example", RecordType::MX, Says::Code(ResponseCode::ServFail));
    clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(resolver.cached(&domain("a.example")), None);
    assert_eq!(hosts(&resolver, "a.example").await, good);
    clock.advance(Duration::from_secs(25 * 3600));
    assert!(resolver.mail_hosts(&domain("a.example")).await.is_err());
}

#[tokio::test]
async fn a_host_whose_address_is_unknown_just_now_does_not_hide_the_others() {
    let zone = Zone::default();
    zone.mx("a.example", vec![mx(1, "bad.example"), mx(2, "good.example")]);
    zone.mx("b.example", vec![mx(1, "bad.example")]);
    zone.at("good.example", &["127.0.0.1"]);
    for kind in [RecordType::A, RecordType::AAAA] {
        zone.say("bad.example", kind, Says::Code(ResponseCode::ServFail));
    }
    let (resolver, _) = resolver(&zone).await;
    let found = MailHosts::Hosts(vec![host("good.example", 2, &["127.0.0.1"])]);
    assert_eq!(hosts(&resolver, "a.example").await, found);
    assert!(resolver.mail_hosts(&domain("b.example")).await.is_err());
}

#[tokio::test]
async fn a_time_to_live_of_zero_does_not_cost_a_lookup_for_each_mail() {
    let zone = Zone::default();
    zone.say("a.example", RecordType::MX, Says::Records(0, vec![mx(1, "mail.example")]));
    zone.at("mail.example", &["127.0.0.1"]);
    let (resolver, clock) = resolver(&zone).await;
    let many: Vec<_> = (0..50).map(|_| hosts(&resolver, "a.example")).collect();
    for found in many {
        assert!(matches!(found.await, MailHosts::Hosts(_)));
    }
    assert_eq!(zone.asked(), 3);
    clock.advance(Duration::from_secs(31));
    hosts(&resolver, "a.example").await;
    assert_eq!(zone.asked(), 4);
}

#[tokio::test]
async fn many_who_ask_at_once_are_one_question() {
    let zone = Zone::default();
    zone.mx("a.example", vec![mx(1, "mail.example")]).at("mail.example", &["127.0.0.1"]);
    let (resolver, _) = resolver(&zone).await;
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let resolver = resolver.clone();
            tokio::spawn(async move { hosts(&resolver, "a.example").await })
        })
        .collect();
    for one in asking {
        assert!(matches!(one.await.expect("an answer"), MailHosts::Hosts(_)));
    }
    assert_eq!(zone.asked(), 3);
}

#[tokio::test]
async fn a_route_may_name_private_hosts_and_hosts_of_the_system() {
    let zone = Zone::default();
    zone.at("inside.example", &["10.0.0.1", "fd00::1"]);
    let (resolver, _) = resolver(&zone).await;
    let addresses = |host: &'static str| {
        let resolver = resolver.clone();
        async move {
            let found = resolver.addresses(host).await.expect("an answer");
            found.iter().map(IpAddr::to_string).collect::<Vec<_>>()
        }
    };
    assert_eq!(addresses("inside.example").await, ["10.0.0.1", "fd00::1"]);
    assert_eq!(addresses("192.168.0.1").await, ["192.168.0.1"]);
    assert_eq!(addresses("[::1]").await, ["::1"]);
    assert!(addresses("localhost").await.contains(&"127.0.0.1".to_owned()));
    assert!(addresses("nowhere.example").await.is_empty());
}

#[tokio::test]
async fn a_silent_name_server_is_not_waited_for_without_end() {
    let zone = Zone::default();
    zone.say("a.example", RecordType::MX, Says::Silence);
    let (resolver, _) = resolver(&zone).await;
    let silent = domain("a.example");
    let asking = resolver.mail_hosts(&silent);
    let answer = tokio::time::timeout(Duration::from_secs(30), asking);
    assert!(answer.await.expect("in time").is_err());
}
