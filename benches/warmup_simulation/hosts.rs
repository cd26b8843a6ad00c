//! The simulated operators as hosts that speak SMTP, for the daemon.
//!
//! Owns:       a listener for each operator and one for the relay, what recipients were answered.
//! Promises:   a recipient is offered to the hidden tolerance of its source at its operator once
//!             for each RCPT, at the moment of the run's own clock.
//! Knows not:  who sends, and how he decides.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use postroad::clock::Clock;
use postroad::model::Timestamp;
use postroad::world::dns::{Data, Zones};
use postroad::world::tolerance::{Model, Offer, Trust};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Names of the model, of the daemon's table, of a host there.
const NAMES: [(&str, &str, &str); 7] = [
    ("google", "google", "gmail-smtp-in.l.google.com"),
    ("microsoft", "microsoft_consumer", "outlook-com.olc.protection.outlook.com"),
    ("yahoo", "yahoo", "mta5.am0.yahoodns.net"),
    ("apple", "apple", "mx01.mail.icloud.com"),
    ("gmx", "gmx", "mx00.gmx.net"),
    ("orange", "orange", "smtp-in.orange.fr"),
    ("tail", "tail", "mx.tail.test"),
];
const DEFERRED: &str = "451 4.7.1 more mail than we want today from an address of this reputation";
const SLOWED: &str = "451 4.7.28 too many messages in this hour, try again later";
const BLOCKED: &str = "550 5.7.1 your IP address is blocked here for its poor reputation";

/// The address that a source of the daemon has, by its number.
pub fn source_address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 2, u8::try_from(number + 1).unwrap_or(u8::MAX))
}

pub fn relay_address() -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 3, 1)
}

/// The name that the daemon has for an operator of a model.
pub fn name_of(operator: &str) -> &'static str {
    let known = NAMES.iter().find(|(own, ..)| *own == operator);
    known.map(|(_, name, _)| *name).expect("the models have these operators")
}

/// The recipient domain whose mail an operator takes.
pub fn domain_of(operator: &str) -> String {
    format!("{operator}.example")
}

/// What recipients were answered since the last look.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub accepted: u64,
    pub invalid: u64,
    /// Put off or refused for reputation; each recipient once.
    pub unwelcome: u64,
    pub slowed: u64,
    /// Taken, of the class transactional.
    pub urgent: HashSet<String>,
    /// By source and operator: who complains of what was taken.
    pub complaints: Vec<(usize, usize, u64)>,
    /// Taken or refused for good, by operator: these mails are over.
    pub ended: BTreeMap<usize, u64>,
}

pub struct Hosts {
    pub model: Model,
    pub clock: Clock,
    pub port: u16,
    dice: Clock,
    trusts: Mutex<Vec<Vec<Trust>>>,
    tally: Mutex<Tally>,
    known: Mutex<HashSet<String>>,
    relayed: Mutex<(i64, u64)>,
}

impl Hosts {
    /// All listen on one port, each on an address of its own.
    pub async fn start(model: Model, seed: u64, clock: Clock) -> (Arc<Hosts>, Zones) {
        // The dice of `Run::new`: the same seed makes the same operators.
        let dice = Clock::standing(seed.wrapping_mul(0x9E37_79B9));
        let trusts = (0..model.sender.sources)
            .map(|_| model.operator.iter().map(|one| Trust::new(one, &dice)).collect())
            .collect();
        let (listeners, port) = listeners(model.operator.len() + 1).await;
        let mut zones = Zones::default();
        for (at, one) in model.operator.iter().enumerate() {
            let host = NAMES.iter().find(|(own, ..)| *own == one.name).expect("known").2;
            zones.add(&domain_of(&one.name), Data::Mx(10, host.to_owned()));
            zones.add(host, Data::Address(IpAddr::V4(address(at + 1))));
        }
        let (tally, known, relayed) = Default::default();
        let trusts = Mutex::new(trusts);
        let hosts = Arc::new(Hosts { model, clock, port, dice, trusts, tally, known, relayed });
        for (at, listener) in listeners.into_iter().enumerate() {
            let hosts = hosts.clone();
            let operator = at.checked_sub(1);
            tokio::spawn(async move {
                while let Ok((stream, peer)) = listener.accept().await {
                    tokio::spawn(serve(hosts.clone(), stream, peer, operator));
                }
            });
        }
        (hosts, zones)
    }

    /// What was answered since the last call.
    pub fn take(&self) -> Tally {
        std::mem::take(&mut *self.tally.lock())
    }

    fn answer(&self, source: Option<usize>, operator: usize, recipient: &str) -> &'static str {
        let sender = &self.model.sender;
        let (kind, _) = recipient.split_once('-').unwrap_or((recipient, ""));
        let invalid = if kind == "bad" { 1.0 } else { 0.0 };
        let complaint = match kind {
            "urgent" => sender.complaint_transactional,
            "keen" => sender.complaint_engaged,
            "angry" => self.model.incident.complaint,
            _ => sender.complaint_other,
        };
        let Some(source) = source else { return self.relayed(operator, recipient, invalid) };
        let offer = Offer { count: 1, invalid, complaint };
        let (model, now) = (&self.model.operator[operator], self.clock.now());
        let told = self.trusts.lock()[source][operator].offer(model, now, offer, &self.dice);
        let mut tally = self.tally.lock();
        if told.complaints > 0 && model.reports_complaints {
            tally.complaints.push((source, operator, told.complaints));
        }
        tally.slowed += told.deferred_rate;
        if told.deferred_volume + told.blocked > 0 && self.known.lock().insert(recipient.into()) {
            tally.unwelcome += 1;
        }
        if told.accepted > 0 {
            return taken(&mut tally, operator, recipient);
        }
        tally.invalid += told.invalid;
        *tally.ended.entry(operator).or_default() += told.invalid + told.blocked;
        match (told.invalid, told.deferred_volume, told.deferred_rate) {
            (1.., ..) => "550 5.1.1 no such mailbox here",
            (_, 1.., _) => DEFERRED,
            (.., 1..) => SLOWED,
            _ => BLOCKED,
        }
    }

    /// A large service: its operators know it, and what is above its quota it does not take.
    fn relayed(&self, operator: usize, recipient: &str, invalid: f64) -> &'static str {
        let day = self.clock.now().seconds().div_euclid(86_400);
        let mut relayed = self.relayed.lock();
        if relayed.0 != day {
            *relayed = (day, 0);
        }
        let mut tally = self.tally.lock();
        if relayed.1 >= self.model.sender.relay_quota {
            tally.slowed += 1;
            return SLOWED;
        }
        relayed.1 += 1;
        if invalid > 0.0 {
            tally.invalid += 1;
            *tally.ended.entry(operator).or_default() += 1;
            return "550 5.1.1 no such mailbox here";
        }
        taken(&mut tally, operator, recipient)
    }

    /// Whose mail a recipient's is.
    fn operator_of(&self, recipient: &str) -> usize {
        let domain = recipient.rsplit_once('@').map_or("", |(_, domain)| domain);
        let is_own =
            |one: &&postroad::world::tolerance::OperatorModel| domain_of(&one.name) == domain;
        let all = self.model.operator.iter().enumerate();
        let mut own = all.filter(|(_, one)| is_own(one));
        own.next().map_or(0, |(at, _)| at)
    }
}

fn taken(tally: &mut Tally, operator: usize, recipient: &str) -> &'static str {
    tally.accepted += 1;
    *tally.ended.entry(operator).or_default() += 1;
    if recipient.starts_with("urgent-") {
        tally.urgent.insert(recipient.to_owned());
    }
    "250 2.1.5 ok"
}

fn address(at: usize) -> Ipv4Addr {
    match at {
        0 => relay_address(),
        _ => Ipv4Addr::new(127, 0, 30, u8::try_from(at).unwrap_or(u8::MAX)),
    }
}

/// The first is the relay's.
async fn listeners(count: usize) -> (Vec<TcpListener>, u16) {
    for _ in 0..50 {
        let first = TcpListener::bind((address(0), 0)).await.expect("a port");
        let port = first.local_addr().expect("bound").port();
        let mut all = vec![first];
        for at in 1..count {
            match TcpListener::bind((address(at), port)).await {
                Ok(listener) => all.push(listener),
                Err(_) => break,
            }
        }
        if all.len() == count {
            return (all, port);
        }
    }
    panic!("no port is free on all addresses");
}

/// `operator`: whose host it is; None for the relay, which takes mail for all.
async fn serve(
    hosts: Arc<Hosts>,
    stream: TcpStream,
    peer: SocketAddr,
    operator: Option<usize>,
) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let source = match peer.ip() {
        IpAddr::V4(ip) => usize::from(ip.octets()[3]).checked_sub(1),
        IpAddr::V6(_) => None,
    };
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.get_mut().write_all(b"220 host.test\r\n").await.ok()?;
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let answer: &str = match line.get(..4)?.to_ascii_uppercase().as_str() {
            "EHLO" => "250-host.test\r\n250 PIPELINING",
            "RCPT" => {
                let recipient = line.split(['<', '>']).nth(1)?;
                let at = operator.unwrap_or_else(|| hosts.operator_of(recipient));
                let source = operator.and(source).filter(|at| *at < hosts.model.sender.sources);
                hosts.answer(source, at, recipient)
            }
            "DATA" => {
                stream.get_mut().write_all(b"354 go on\r\n").await.ok()?;
                while line != ".\r\n" {
                    line.clear();
                    if stream.read_line(&mut line).await.ok()? == 0 {
                        return None;
                    }
                }
                "250 2.0.0 ok"
            }
            "QUIT" => {
                stream.get_mut().write_all(b"221 2.0.0 bye\r\n").await.ok()?;
                return Some(());
            }
            _ => "250 2.0.0 ok",
        };
        stream.get_mut().write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
    }
}

/// When each operator's mailing was done.
#[derive(Debug, Default)]
pub struct Ends {
    left: HashMap<usize, u64>,
    pub at: BTreeMap<usize, Timestamp>,
}

impl Ends {
    pub fn of(left: HashMap<usize, u64>) -> Ends {
        Ends { left, at: BTreeMap::new() }
    }

    pub fn note(&mut self, tally: &Tally, now: Timestamp) {
        for (operator, count) in &tally.ended {
            let left = self.left.entry(*operator).or_default();
            *left = left.saturating_sub(*count);
            if *left == 0 {
                self.at.entry(*operator).or_insert(now);
            }
        }
    }

    pub fn left(&self) -> u64 {
        self.left.values().sum()
    }

    pub fn are_all(&self) -> bool {
        self.left() == 0
    }
}
