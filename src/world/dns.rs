//! The simulated internet's name server: one for all its zones, on loopback, over UDP and TCP.
//!
//! Owns:       what each name says, and who asked for it.
//! Promises:   a change holds from the next query on; rubbish is dropped, never answered with
//!             more than it cost; an answer too long for UDP is truncated (RFC 1035 §4.2.1).
//! Knows not:  SMTP. What stands in the zones comes from `operators` or from a test.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, PTR, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use parking_lot::{Mutex, RwLock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Seconds an answer may be remembered.
const TTL_SECONDS: u32 = 60;
/// What a resolver without EDNS takes over UDP.
const UDP_BYTES_MAX: u16 = 512;
const EDNS_BYTES_MAX: u16 = 1232;
const ALIASES_MAX: usize = 8;
const TCP_CONNECTIONS_MAX: usize = 128;
const TCP_WAIT: Duration = Duration::from_secs(10);
const QUERIES_REMEMBERED_MAX: usize = 10_000;
/// A port may be free for UDP and taken for TCP; another one is tried then.
const BIND_TRIES: usize = 16;

/// One record's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Preference and host; the host `.` is a null MX (RFC 7505).
    Mx(u16, String),
    Address(IpAddr),
    Alias(String),
    /// PTR: the name of an address.
    Pointer(String),
    Text(String),
    NameServer(String),
}

/// What a name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// These records; a type that is not among them gets an empty answer.
    Records(Vec<Data>),
    ServerFailure,
    /// The name does not exist, though a wildcard would cover it.
    Missing,
    /// Nothing at all: the resolver waits for its own deadline.
    Silence,
}

/// All names of the simulated internet. A name that is not here does not exist. `*.many.test`
/// stands for every name below `many.test` that is not here itself, `*` for every name.
#[derive(Clone, Debug, Default)]
pub struct Zones(HashMap<String, Says>);

impl Zones {
    pub fn set(&mut self, name: &str, says: Says) {
        self.0.insert(plain(name), says);
    }

    /// Adds to what the name says already.
    pub fn add(&mut self, name: &str, data: Data) {
        match self.0.entry(plain(name)).or_insert_with(|| Says::Records(Vec::new())) {
            Says::Records(records) => records.push(data),
            other => *other = Says::Records(vec![data]),
        }
    }

    pub fn remove(&mut self, name: &str) {
        self.0.remove(&plain(name));
    }

    fn find(&self, name: &str) -> Option<&Says> {
        if let Some(says) = self.0.get(name) {
            return Some(says);
        }
        let mut below = name;
        while let Some((_, parent)) = below.split_once('.') {
            if let Some(says) = self.0.get(&format!("*.{parent}")) {
                return Some(says);
            }
            below = parent;
        }
        self.0.get("*")
    }

    /// Something lies below the name, so the name exists though it says nothing (RFC 8020).
    fn is_inner(&self, name: &str) -> bool {
        self.0.keys().any(|key| key.strip_suffix(name).is_some_and(|head| head.ends_with('.')))
    }
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// A query as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub name: String,
    pub kind: RecordType,
    pub over_tcp: bool,
}

struct Shared {
    zones: RwLock<Zones>,
    queries: Mutex<VecDeque<Query>>,
}

/// Changes what a name server says, for as long as anybody holds it.
#[derive(Clone)]
pub struct ZoneEditor(Arc<Shared>);

impl ZoneEditor {
    pub fn change(&self, change: impl FnOnce(&mut Zones)) {
        change(&mut self.0.zones.write());
    }
}

/// A running name server; it ends when dropped.
pub struct DnsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl DnsServer {
    /// Listens on 127.0.0.1; port 0 takes a free one.
    pub async fn start(zones: Zones, port: u16) -> io::Result<DnsServer> {
        let (udp, tcp) = bind(port).await?;
        let address = udp.local_addr()?;
        let shared =
            Arc::new(Shared { zones: RwLock::new(zones), queries: Mutex::new(VecDeque::new()) });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, shared.clone()));
        tasks.spawn(serve_tcp(tcp, shared.clone()));
        Ok(DnsServer { address, shared, _tasks: tasks })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn change(&self, change: impl FnOnce(&mut Zones)) {
        change(&mut self.shared.zones.write());
    }

    pub fn editor(&self) -> ZoneEditor {
        ZoneEditor(self.shared.clone())
    }

    /// The latest queries, oldest first.
    pub fn queries(&self) -> Vec<Query> {
        self.shared.queries.lock().iter().cloned().collect()
    }
}

async fn bind(port: u16) -> io::Result<(UdpSocket, TcpListener)> {
    let mut failure = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..BIND_TRIES {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn serve_udp(socket: UdpSocket, shared: Arc<Shared>) {
    let mut packet = [0u8; 4096];
    loop {
        // An error here is an ICMP message about an earlier answer: nothing that could be mended.
        let Ok((length, peer)) = socket.recv_from(&mut packet).await else { continue };
        let Some(answer) = shared.answer(&packet[..length], false) else { continue };
        if let Err(error) = socket.send_to(&answer, peer).await {
            tracing::debug!(%peer, reason = %error, "a DNS answer could not be sent");
        }
    }
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    let room = Arc::new(Semaphore::new(TCP_CONNECTIONS_MAX));
    // Connections end with the server, since the set is dropped with this task.
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let Ok((mut stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let shared = shared.clone();
        connections.spawn(async move {
            while let Ok(Ok(())) =
                tokio::time::timeout(TCP_WAIT, exchange(&shared, &mut stream)).await
            {}
            drop(permit);
        });
    }
}

/// One query and its answer, each after two octets of length (RFC 1035 §4.2.2).
async fn exchange(shared: &Shared, stream: &mut TcpStream) -> io::Result<()> {
    let length = usize::from(stream.read_u16().await?);
    let mut packet = vec![0u8; length];
    stream.read_exact(&mut packet).await?;
    let Some(answer) = shared.answer(&packet, true) else {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    };
    let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(&answer);
    stream.write_all(&framed).await
}

impl Shared {
    /// None: rubbish, or a name whose server keeps silent.
    fn answer(&self, packet: &[u8], over_tcp: bool) -> Option<Vec<u8>> {
        let query = Message::from_vec(packet).ok()?;
        let [question] = query.queries.as_slice() else { return None };
        if query.metadata.message_type != MessageType::Query
            || query.metadata.op_code != OpCode::Query
        {
            return None;
        }
        let asked = question.name().clone();
        self.remember(Query {
            name: plain(&asked.to_ascii()),
            kind: question.query_type(),
            over_tcp,
        });
        let mut answer = Message::response(query.metadata.id, OpCode::Query);
        answer.metadata.authoritative = true;
        answer.metadata.recursion_desired = query.metadata.recursion_desired;
        // The products' resolvers are stubs, which ask only servers that recurse.
        answer.metadata.recursion_available = true;
        // The question goes back in the case it came in, which is what 0x20 looks for.
        answer.add_query(question.clone());
        if query.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(EDNS_BYTES_MAX);
            answer.set_edns(edns);
        }
        self.fill(&mut answer, asked, question.query_type())?;
        let bytes = answer.to_vec().ok()?;
        let room = query
            .edns
            .map_or(UDP_BYTES_MAX, |edns| edns.max_payload().clamp(UDP_BYTES_MAX, EDNS_BYTES_MAX));
        if over_tcp || bytes.len() <= usize::from(room) {
            return Some(bytes);
        }
        answer.truncate().to_vec().ok()
    }

    fn remember(&self, query: Query) {
        let mut queries = self.queries.lock();
        if queries.len() == QUERIES_REMEMBERED_MAX {
            queries.pop_front();
        }
        queries.push_back(query);
    }

    /// Follows aliases to the records that were asked for. None: silence.
    fn fill(&self, answer: &mut Message, asked: Name, kind: RecordType) -> Option<()> {
        let zones = self.zones.read();
        let mut owner = asked;
        for _ in 0..ALIASES_MAX {
            let name = plain(&owner.to_ascii());
            let records = match zones.find(&name) {
                Some(Says::Silence) => return None,
                Some(Says::ServerFailure) => {
                    answer.metadata.response_code = ResponseCode::ServFail;
                    return Some(());
                }
                Some(Says::Missing) => {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                    &[]
                }
                Some(Says::Records(records)) => records.as_slice(),
                None => {
                    if !zones.is_inner(&name) {
                        answer.metadata.response_code = ResponseCode::NXDomain;
                    }
                    &[]
                }
            };
            let data: Vec<RData> = records.iter().filter_map(|data| record(data, kind)).collect();
            let alias = data.iter().find_map(|data| match data {
                RData::CNAME(alias) if kind != RecordType::CNAME => Some(alias.0.clone()),
                _ => None,
            });
            let found = !data.is_empty();
            for data in data {
                answer.add_answer(Record::from_rdata(owner.clone(), TTL_SECONDS, data));
            }
            match alias {
                Some(alias) => owner = alias,
                None if found => return Some(()),
                None => break,
            }
        }
        // RFC 2308 §3: an SOA says how long a "no" may be remembered.
        answer.add_authority(Record::from_rdata(Name::root(), TTL_SECONDS, start_of_authority()));
        Some(())
    }
}

/// The record's data when it answers a question of this kind; an alias answers any.
fn record(data: &Data, kind: RecordType) -> Option<RData> {
    match (data, kind) {
        (Data::Mx(preference, host), RecordType::MX) => {
            Some(RData::MX(MX::new(*preference, absolute(host)?)))
        }
        (Data::Address(IpAddr::V4(address)), RecordType::A) => Some(RData::A(A(*address))),
        (Data::Address(IpAddr::V6(address)), RecordType::AAAA) => Some(RData::AAAA(AAAA(*address))),
        (Data::Pointer(host), RecordType::PTR) => Some(RData::PTR(PTR(absolute(host)?))),
        (Data::Text(text), RecordType::TXT) => Some(RData::TXT(TXT::new(strings(text)))),
        (Data::NameServer(host), RecordType::NS) => Some(RData::NS(NS(absolute(host)?))),
        (Data::Alias(host), _) => Some(RData::CNAME(CNAME(absolute(host)?))),
        _ => None,
    }
}

/// RFC 1035 §3.3.14: a text is cut into strings of at most 255 octets.
fn strings(text: &str) -> Vec<String> {
    let mut strings = vec![String::new()];
    for letter in text.chars() {
        if strings.last().is_some_and(|last| last.len() + letter.len_utf8() > 255) {
            strings.push(String::new());
        }
        if let Some(last) = strings.last_mut() {
            last.push(letter);
        }
    }
    strings
}

/// None when a test wrote a name that is not one; the record is left out then.
fn absolute(host: &str) -> Option<Name> {
    let mut name = Name::from_ascii(host).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn start_of_authority() -> RData {
    let seconds = i32::try_from(TTL_SECONDS).unwrap_or(i32::MAX);
    RData::SOA(SOA::new(Name::root(), Name::root(), 1, seconds, seconds, seconds, TTL_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones() -> Zones {
        let mut zones = Zones::default();
        zones.add("big.test", Data::Mx(10, "mx1.big.test".into()));
        zones.add("big.test", Data::Mx(20, "mx2.big.test".into()));
        zones.add("mx1.big.test", Data::Address(IpAddr::from([127, 0, 9, 1])));
        zones.add("alias.test", Data::Alias("big.test".into()));
        zones.add("null.test", Data::Mx(0, ".".into()));
        zones.add("*.many.test", Data::Mx(5, "mx1.big.test".into()));
        zones.set("broken.test", Says::ServerFailure);
        zones.set("mute.test", Says::Silence);
        for number in 0..100 {
            zones.add("long.test", Data::Mx(number, format!("host-number-{number}.long.test")));
        }
        zones
    }

    async fn ask(server: &DnsServer, name: &str, kind: RecordType) -> Option<Message> {
        ask_within(Duration::from_secs(30), server, name, kind).await
    }

    async fn ask_within(
        wait: Duration,
        server: &DnsServer,
        name: &str,
        kind: RecordType,
    ) -> Option<Message> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let query = question(name, kind);
        socket.send_to(&query, server.address()).await.expect("sent");
        let mut packet = [0u8; 4096];
        let (length, _) =
            tokio::time::timeout(wait, socket.recv_from(&mut packet)).await.ok()?.expect("read");
        Some(Message::from_vec(&packet[..length]).expect("a message"))
    }

    fn question(name: &str, kind: RecordType) -> Vec<u8> {
        let mut query = Message::new(7, MessageType::Query, OpCode::Query);
        let name = Name::from_ascii(name).expect("a name");
        query.add_query(hickory_proto::op::Query::query(name, kind));
        query.to_vec().expect("a packet")
    }

    #[tokio::test]
    async fn hosts_aliases_and_wildcards_answer_with_their_records() {
        let server = DnsServer::start(zones(), 0).await.expect("starts");
        for name in ["big.test.", "BIG.test.", "alias.test.", "any.many.test.", "a.b.many.test."] {
            let answer = ask(&server, name, RecordType::MX).await.expect("an answer");
            assert_eq!(answer.metadata.response_code, ResponseCode::NoError, "{name}");
            assert!(answer.answers.iter().any(|r| r.record_type() == RecordType::MX), "{name}");
            assert_eq!(answer.queries[0].name().to_ascii(), name, "the case is kept");
        }
        let answer = ask(&server, "null.test.", RecordType::MX).await.expect("an answer");
        assert!(matches!(&answer.answers[0].data, RData::MX(mx) if mx.exchange.is_root()));
    }

    #[tokio::test]
    async fn what_is_missing_fails_or_keeps_silent_is_told_apart() {
        let server = DnsServer::start(zones(), 0).await.expect("starts");
        let code = |answer: Option<Message>| answer.map(|answer| answer.metadata.response_code);
        let none = ask(&server, "no.where.", RecordType::MX).await;
        assert_eq!(code(none), Some(ResponseCode::NXDomain));
        let empty = ask(&server, "mx1.big.test.", RecordType::MX).await.expect("an answer");
        assert_eq!(empty.metadata.response_code, ResponseCode::NoError);
        assert!(empty.answers.is_empty() && !empty.authorities.is_empty());
        let inner = ask(&server, "test.", RecordType::A).await;
        assert_eq!(code(inner), Some(ResponseCode::NoError), "something lies below it");
        let failed = ask(&server, "broken.test.", RecordType::MX).await;
        assert_eq!(code(failed), Some(ResponseCode::ServFail));
        let wait = Duration::from_millis(300);
        assert!(ask_within(wait, &server, "mute.test.", RecordType::MX).await.is_none());
    }

    #[tokio::test]
    async fn a_long_answer_is_truncated_over_udp_and_whole_over_tcp() {
        let server = DnsServer::start(zones(), 0).await.expect("starts");
        let short = ask(&server, "long.test.", RecordType::MX).await.expect("an answer");
        assert!(short.metadata.truncation && short.answers.is_empty());
        let mut stream = TcpStream::connect(server.address()).await.expect("connects");
        let query = question("long.test.", RecordType::MX);
        let length = u16::try_from(query.len()).expect("short");
        stream.write_all(&length.to_be_bytes()).await.expect("sent");
        stream.write_all(&query).await.expect("sent");
        let mut packet = vec![0u8; usize::from(stream.read_u16().await.expect("a length"))];
        stream.read_exact(&mut packet).await.expect("an answer");
        assert_eq!(Message::from_vec(&packet).expect("a message").answers.len(), 100);
        assert!(server.queries().iter().any(|query| query.over_tcp));
    }

    #[tokio::test]
    async fn a_change_holds_from_the_next_query_on() {
        let server = DnsServer::start(zones(), 0).await.expect("starts");
        server.change(|zones| zones.remove("broken.test"));
        let answer = ask(&server, "broken.test.", RecordType::MX).await.expect("an answer");
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    }
}
