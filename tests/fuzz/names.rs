//! Name servers: answers that were well formed before somebody changed them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use postroad::clock::Clock;
use postroad::dns::{DnsOptions, MailHosts, Resolver};
use postroad::model::Domain;
use postroad::wire::network::Network;
use tokio::net::UdpSocket;

use super::{Dice, Ground, rounds};

const DOMAINS: u64 = 600;
/// Asked at a time; an answer that nobody can read is waited out.
const AT_ONCE: usize = 300;

const WORDS: &[&[u8]] = &[
    b"\xc0\x0c",
    b"\xc0\xff",
    b"\x00",
    b"\xff\xff",
    b"\x3f",
    b"\x00\x0f\x00\x01",
    b"\x00\x01\x00\x01",
    b"\x00\x1c\x00\x01",
    b"\x00\x05\x00\x01",
    b"\x00\x29",
    b"\x04\x7f\x00\x00\x01",
    b"\x0a\x00\x00\x01",
    b"\xa9\xfe\xa9\xfe",
];

/// An honest answer: hosts to a question for MX, addresses to one for those, now and then an alias.
fn honest(octets: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let asked = Message::from_vec(octets).ok()?;
    let question = asked.queries.first()?.clone();
    let owner = question.name().clone();
    let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
    answer.metadata.recursion_available = true;
    answer.add_query(question.clone());
    let name = |text: String| Name::from_ascii(text).ok();
    for number in 0..dice.below(5) {
        let data = match question.query_type() {
            _ if dice.below(9) == 0 => RData::CNAME(CNAME(name("alias.example.".into())?)),
            RecordType::MX => {
                let preference = u16::from(dice.octet());
                RData::MX(MX::new(preference, name(format!("h{number}.example."))?))
            }
            RecordType::AAAA => RData::AAAA(AAAA("2a01:4f8::1".parse().ok()?)),
            _ => RData::A(A::new(198, 41, 0, dice.octet())),
        };
        answer.add_answer(Record::from_rdata(owner.clone(), 300, data));
    }
    answer.to_vec().ok()
}

/// Answers each question with an honest answer, most of them changed behind their first octets.
async fn serve(socket: UdpSocket) {
    const ID_AND_FLAGS: usize = 4;
    let mut packet = [0u8; 4096];
    let mut turn = 0;
    while let Ok((length, from)) = socket.recv_from(&mut packet).await {
        turn += 1;
        let mut dice = Dice::of(turn);
        let Some(answer) = honest(&packet[..length], &mut dice) else { continue };
        // The question must come back as it was asked, or the answer is another question's.
        let kept = if dice.below(8) == 0 { ID_AND_FLAGS } else { length.min(answer.len()) - 11 };
        let is_honest = dice.below(3) == 0;
        let (head, tail) = answer.split_at(kept.min(answer.len()));
        let ground = Ground { samples: vec![tail.to_vec()], words: WORDS };
        let tail = if is_honest { tail.to_vec() } else { ground.mutate(&mut dice) };
        let changed = [head, &tail].concat();
        socket.send_to(&changed[..changed.len().min(1400)], from).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_a_name_server_panics_or_names_more_or_other_hosts_than_it_may() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let server: SocketAddr = socket.local_addr().expect("an address");
    let serving = tokio::spawn(serve(socket));
    let options = DnsOptions {
        servers: vec![server],
        allowed_networks: Vec::new(),
        own_names: vec!["us.example".into()],
        own_addresses: vec!["127.0.0.99".parse().expect("an address")],
    };
    let resolver = Arc::new(Resolver::new(options, Clock::system()).expect("a resolver"));
    let domains: Vec<u64> = (0..rounds(DOMAINS)).collect();
    let (mut answered, mut failed) = (0, 0);
    for many in domains.chunks(AT_ONCE) {
        let mut asking = tokio::task::JoinSet::new();
        for number in many {
            let domain = Domain::parse(&format!("d{number}.example")).expect("a domain");
            let resolver = resolver.clone();
            asking.spawn(async move { resolver.mail_hosts(&domain).await });
        }
        while let Some(found) = asking.join_next().await {
            match found.expect("no lookup panics") {
                Ok(found) => {
                    answered += 1;
                    is_bounded(&found);
                }
                Err(failure) => {
                    failed += 1;
                    assert!(failure.to_string().len() < 4096, "{failure}");
                }
            }
        }
    }
    println!("names: {answered} domains answered, {failed} deferred");
    assert!(answered > 50 && failed > 50, "{answered} {failed}");
    assert!(!serving.is_finished(), "the server went on to the end");
    serving.abort();
}

fn is_bounded(found: &MailHosts) {
    let MailHosts::Hosts(hosts) = found else { return };
    let addresses: usize = hosts.iter().map(|host| host.addresses.len()).sum();
    assert!((1..=10).contains(&hosts.len()) && addresses <= 20, "{hosts:?}");
    let inward = ["127.0.0.0/8", "10.0.0.0/8", "169.254.0.0/16", "::1/128", "0.0.0.0/8"];
    let inward = inward.map(|network| Network::parse(network).expect("a network"));
    for address in hosts.iter().flat_map(|host| &host.addresses) {
        let is_inward = |network: &Network| network.contains(*address);
        let is_mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        assert!(!inward.iter().any(is_inward) && !is_mapped, "{address}");
    }
}
