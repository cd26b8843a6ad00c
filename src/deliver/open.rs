//! From a target to a connection that is ready for MAIL.
//!
//! Owns:       the order of hosts and addresses, greeting, EHLO, STARTTLS, and when to go on in the
//!             clear.
//! Promises:   ends within `OPEN_DEADLINE`; a failure is a deferral that tells what the most
//!             preferred host said; where TLS is asked for, nothing else than TLS is used.
//! Knows not:  the mail.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::capabilities::Capabilities;
use super::line::{Broken, Line};
use super::secure::Wire;
use super::socket::{self, ConnectError};
use super::{
    Connection, ConnectionFacts, Dialogue, OpenFailure, Shared, Source, Target, TargetHost, relay,
};
use crate::model::*;
use crate::wire::reply::clipped;

/// All hosts and addresses together.
pub(super) const OPEN_DEADLINE: Duration = Duration::from_secs(5 * 60);
/// Addresses tried in one attempt.
const ADDRESSES_MAX: usize = 20;
/// While other addresses are untried, a host that does not greet is not waited for longer.
const GREETING_WAIT_AMONG_OTHERS: Duration = Duration::from_secs(60);
/// A handshake is a few round trips; a host that hangs in it is as broken as one that refuses.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(60);

/// Why one address did not lead to a connection.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The host said no, at this command.
    Refused {
        blame: Blame,
        at: &'static str,
        reply: Reply,
    },
    Lost {
        blame: Blame,
        reason: String,
    },
    /// The connection is lost, but only TLS failed.
    Handshake(String),
}

impl From<Broken> for Trouble {
    fn from(broken: Broken) -> Trouble {
        match broken {
            Broken::Goodbye(reply) => {
                Trouble::Refused { blame: Blame::Host, at: "opening", reply: *reply }
            }
            broken => Trouble::Lost { blame: Blame::Host, reason: broken.to_string() },
        }
    }
}

/// What is known of one try, for the failure that is reported when all tries fail.
struct Setback {
    trouble: Trouble,
    facts: ConnectionFacts,
}

pub(super) async fn open(
    shared: &Arc<Shared>,
    target: &Target,
    source: &Source,
) -> Result<Connection, OpenFailure> {
    let mut dialogue = Dialogue::default();
    let mut setback = None;
    let trying = try_all(shared, target, source, &mut dialogue, &mut setback);
    match tokio::time::timeout(OPEN_DEADLINE, trying).await {
        Ok(Some(connection)) => return Ok(connection),
        Ok(None) => {}
        Err(_) => dialogue.note("no time left for other addresses"),
    }
    let facts = ConnectionFacts { source: source.name.clone(), ..ConnectionFacts::default() };
    let setback = setback.unwrap_or_else(|| Setback { trouble: nowhere(target, source), facts });
    let outcome = match setback.trouble {
        Trouble::Refused { blame, at, reply } => Outcome::Deferred {
            reply: Some(clipped(reply)),
            blame,
            reason: format!("refused at {at}"),
        },
        Trouble::Lost { blame, reason } => Outcome::Deferred { reply: None, blame, reason },
        Trouble::Handshake(reason) => Outcome::Deferred { reply: None, blame: Blame::Host, reason },
    };
    Err(OpenFailure { outcome, facts: setback.facts, dialogue })
}

/// There was nothing to try, or no time to finish the first try.
fn nowhere(target: &Target, source: &Source) -> Trouble {
    let lost = |blame, reason: String| Trouble::Lost { blame, reason };
    if target.hosts.iter().all(|host| host.addresses.is_empty()) {
        return lost(Blame::Ourselves, "there is no address to connect to".into());
    }
    if places(target, source).is_empty() {
        let reason = format!("no address of the hosts is of a family that {} has", source.name);
        return lost(Blame::Source, reason);
    }
    lost(Blame::Host, format!("no connection within {} s", OPEN_DEADLINE.as_secs()))
}

/// Hosts in the order given, the addresses of each in the order of preference; only families that
/// the source may use.
fn places<'a>(target: &'a Target, source: &Source) -> Vec<(&'a TargetHost, SocketAddr)> {
    let rank = |address: &SocketAddr| match (target.preference, address.is_ipv4()) {
        (IpPreference::Ipv4Only, false) | (IpPreference::Ipv6Only, true) => None,
        (IpPreference::Ipv4First, v4) => Some(u8::from(!v4)),
        (IpPreference::Ipv6First, v4) => Some(u8::from(v4)),
        _ => Some(0),
    };
    let mut found = Vec::new();
    for host in &target.hosts {
        let mut own: Vec<(u8, SocketAddr)> = host
            .addresses
            .iter()
            .filter(|address| source.bind_for(address.ip()).is_ok())
            .filter_map(|address| Some((rank(address)?, *address)))
            .collect();
        own.sort_by_key(|(rank, _)| *rank);
        found.extend(own.into_iter().map(|(_, address)| (host, address)));
    }
    found.truncate(ADDRESSES_MAX);
    found
}

async fn try_all(
    shared: &Arc<Shared>,
    target: &Target,
    source: &Source,
    dialogue: &mut Dialogue,
    setback: &mut Option<Setback>,
) -> Option<Connection> {
    let places = places(target, source);
    for (number, (host, address)) in places.iter().enumerate() {
        let facts = ConnectionFacts {
            source: source.name.clone(),
            local_address: None,
            host: host.name.clone(),
            address: Some(*address),
            tls: None,
        };
        let is_last = number + 1 == places.len();
        let mut one =
            Opening { shared, target, source, host, address: *address, is_last, facts, dialogue };
        match one.open().await {
            Ok(connection) => return Some(connection),
            Err(trouble) => {
                let facts = one.facts;
                keep_more_telling(setback, Setback { trouble, facts });
            }
        }
    }
    None
}

/// The first host that answered tells most; without any answer, the first that was tried.
fn keep_more_telling(kept: &mut Option<Setback>, new: Setback) {
    let answered = |setback: &Setback| matches!(setback.trouble, Trouble::Refused { .. });
    if kept.as_ref().is_none_or(|kept| !answered(kept) && answered(&new)) {
        *kept = Some(new);
    }
}

/// One address.
pub(super) struct Opening<'a> {
    pub shared: &'a Arc<Shared>,
    pub target: &'a Target,
    pub source: &'a Source,
    pub host: &'a TargetHost,
    address: SocketAddr,
    is_last: bool,
    facts: ConnectionFacts,
    pub dialogue: &'a mut Dialogue,
}

impl Opening<'_> {
    /// As secure as asked. A host that offers STARTTLS and fails at it is tried again in the clear,
    /// where that is allowed, and for a while without the failing try.
    async fn open(&mut self) -> Result<Connection, Trouble> {
        let (shared, address) = (self.shared, Some(self.address));
        let may_go_clear = self.target.tls == TlsMode::Opportunistic && self.target.auth.is_none();
        if may_go_clear && shared.without_tls.holds(address, &shared.clock) {
            return self.open_with(TlsMode::None).await;
        }
        match self.open_with(self.target.tls).await {
            Err(Trouble::Handshake(reason)) if may_go_clear => {
                tracing::debug!(host = %self.host.name, reason, "TLS failed; in the clear");
                shared.without_tls.add(address, &shared.clock);
                self.dialogue.note("TLS failed; once more in the clear");
                self.open_with(TlsMode::None).await
            }
            ended => ended,
        }
    }

    async fn open_with(&mut self, tls: TlsMode) -> Result<Connection, Trouble> {
        let begun = self.dialogue.lines.len();
        let tcp = self.connect().await?;
        let mut wire = Wire::Plain(tcp);
        if tls == TlsMode::Implicit {
            wire = self.handshake(wire, tls).await?;
        }
        let (line, capabilities) = match &self.target.auth {
            Some(auth) => relay::enter(self, wire, tls, auth).await?,
            None => self.enter(Line::new(wire), tls).await?,
        };
        self.facts.tls = line.wire().tls_facts();
        let opening = Dialogue { lines: self.dialogue.lines.split_off(begun) };
        let facts = std::mem::take(&mut self.facts);
        Ok(Connection::new(Arc::clone(self.shared), line, capabilities, facts, opening))
    }

    async fn connect(&mut self) -> Result<tokio::net::TcpStream, Trouble> {
        self.dialogue.note(&format!("connecting to {} [{}]", self.host.name, self.address));
        let wait = self.shared.options.connect_wait;
        // A family without an address of ours was left out by `places`.
        let own = self.source.bind_for(self.address.ip()).ok().flatten();
        let made = match tokio::time::timeout(wait, socket::connect(own, self.address)).await {
            Ok(made) => made,
            Err(_) => Err(ConnectError::Host(std::io::ErrorKind::TimedOut.into())),
        };
        let tcp = made.map_err(|error| {
            let blame = match error {
                ConnectError::Own(..) => Blame::Ourselves,
                ConnectError::Host(_) => Blame::Host,
            };
            self.lost(blame, error.to_string())
        })?;
        self.facts.local_address = tcp.local_addr().ok().map(|local| local.ip());
        Ok(tcp)
    }

    /// Greeting, EHLO, and STARTTLS as `tls` has it.
    async fn enter(
        &mut self,
        mut line: Line,
        tls: TlsMode,
    ) -> Result<(Line, Capabilities), Trouble> {
        let greeting = self.hear(&mut line, self.greeting_wait()).await?;
        self.require(&greeting, 220, "the greeting")?;
        let found = self.hello(&mut line).await?;
        match tls {
            TlsMode::None | TlsMode::Implicit => return Ok((line, found)),
            TlsMode::Opportunistic if !found.starttls => return Ok((line, found)),
            TlsMode::Required | TlsMode::Verified if !found.starttls => {
                return Err(self.lost(Blame::Host, not_offered()));
            }
            _ => {}
        }
        let answer = self.ask(&mut line, "STARTTLS").await?;
        if answer.code != 220 {
            // RFC 3207 §4.1: what to do now is for the client to decide.
            if tls == TlsMode::Opportunistic {
                return Ok((line, found));
            }
            return Err(Trouble::Refused { blame: Blame::Host, at: "STARTTLS", reply: answer });
        }
        let wire = line.into_wire().map_err(|broken| self.broken(broken))?;
        let wire = self.handshake(wire, tls).await?;
        // RFC 3207 §4.2: nothing that was said in the clear counts any more.
        let mut line = Line::new(wire);
        let found = self.hello(&mut line).await?;
        Ok((line, found))
    }

    /// EHLO, or HELO for a host that refuses the word (RFC 5321 §4.1.4).
    async fn hello(&mut self, line: &mut Line) -> Result<Capabilities, Trouble> {
        let name = self.own_name();
        let answer = self.ask(line, &format!("EHLO {name}")).await?;
        if answer.is_positive() {
            return Ok(Capabilities::read(&answer));
        }
        if !answer.is_permanent() {
            return self.require(&answer, 250, "EHLO").map(|()| Capabilities::default());
        }
        let answer = self.ask(line, &format!("HELO {name}")).await?;
        self.require(&answer, 250, "HELO")?;
        Ok(Capabilities::default())
    }

    /// The source's name; whatever stands in the configuration, it is one word.
    pub(super) fn own_name(&self) -> String {
        self.source.ehlo.chars().filter(char::is_ascii_graphic).collect()
    }

    pub(super) async fn handshake(&mut self, wire: Wire, tls: TlsMode) -> Result<Wire, Trouble> {
        let Wire::Plain(tcp) = wire else {
            return Err(self.lost(Blame::Ourselves, "TLS within TLS".into()));
        };
        let wait = HANDSHAKE_WAIT.min(self.shared.options.command_wait);
        let shaking = self.shared.tls.handshake(tcp, &self.host.name, tls);
        let ended = match tokio::time::timeout(wait, shaking).await {
            Ok(ended) => ended,
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        };
        ended.map_err(|error| {
            let reason = format!("4.7.5 no TLS with {}: {error}", self.host.name);
            self.dialogue.note(&reason);
            Trouble::Handshake(reason)
        })
    }

    pub(super) fn greeting_wait(&self) -> Duration {
        let wait = self.shared.options.greeting_wait;
        if self.is_last { wait } else { wait.min(GREETING_WAIT_AMONG_OTHERS) }
    }

    async fn ask(&mut self, line: &mut Line, command: &str) -> Result<Reply, Trouble> {
        self.dialogue.ours(command);
        let wait = self.shared.options.command_wait;
        let said = line.say(format!("{command}\r\n").as_bytes(), wait).await;
        said.map_err(|broken| self.broken(broken))?;
        self.hear(line, wait).await
    }

    async fn hear(&mut self, line: &mut Line, wait: Duration) -> Result<Reply, Trouble> {
        let reply = line.reply(wait).await.map_err(|broken| self.broken(broken))?;
        self.dialogue.theirs(&reply);
        Ok(reply)
    }

    fn broken(&mut self, broken: Broken) -> Trouble {
        match &broken {
            Broken::Goodbye(reply) => self.dialogue.theirs(reply),
            broken => self.dialogue.note(&broken.to_string()),
        }
        broken.into()
    }

    /// So early a host knows nothing of us but address and name: a 5xx is about them, and never
    /// about the mail, which stays for the next address and the next try.
    pub(super) fn require(
        &mut self,
        reply: &Reply,
        code: u16,
        at: &'static str,
    ) -> Result<(), Trouble> {
        match reply.code {
            found if found == code => Ok(()),
            400..=499 => Err(Trouble::Refused { blame: Blame::Host, at, reply: reply.clone() }),
            500..=599 => Err(Trouble::Refused { blame: Blame::Source, at, reply: reply.clone() }),
            _ => {
                let reason = format!("the host answered {at} with {reply}");
                Err(self.lost(Blame::Host, reason))
            }
        }
    }

    pub(super) fn lost(&mut self, blame: Blame, reason: String) -> Trouble {
        self.dialogue.note(&reason);
        Trouble::Lost { blame, reason }
    }
}

pub(super) fn not_offered() -> String {
    "4.7.4 TLS is required, but the host does not offer it".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(v4: bool, v6: bool) -> Source {
        Source {
            name: "a".into(),
            bind_v4: v4.then_some(std::net::Ipv4Addr::LOCALHOST),
            bind_v6: v6.then_some(std::net::Ipv6Addr::LOCALHOST),
            ..Source::default()
        }
    }

    fn order(preference: IpPreference, source: &Source) -> Vec<String> {
        let host = |name: &str, addresses: &[&str]| TargetHost {
            name: name.into(),
            addresses: addresses.iter().map(|one| one.parse().expect("an address")).collect(),
        };
        let target = Target {
            hosts: vec![
                host("one", &["192.0.2.1:25", "[2001:db8::1]:25", "192.0.2.2:25"]),
                host("two", &["[2001:db8::2]:25"]),
            ],
            tls: TlsMode::Opportunistic,
            preference,
            auth: None,
        };
        places(&target, source).iter().map(|(_, address)| address.ip().to_string()).collect()
    }

    #[test]
    fn hosts_come_first_and_families_within_them() {
        let free = source(false, false);
        let (a, b) = ("192.0.2.1", "192.0.2.2");
        let (x, y) = ("2001:db8::1", "2001:db8::2");
        assert_eq!(order(IpPreference::Ipv4First, &free), [a, b, x, y]);
        assert_eq!(order(IpPreference::Ipv6First, &free), [x, a, b, y]);
        assert_eq!(order(IpPreference::Ipv4Only, &free), [a, b]);
        assert_eq!(order(IpPreference::Ipv6Only, &free), [x, y]);
        assert_eq!(order(IpPreference::Ipv6First, &source(true, false)), [a, b]);
        assert_eq!(order(IpPreference::Ipv4First, &source(false, true)), [x, y]);
    }

    #[test]
    fn the_first_answer_tells_more_than_silence_before_and_answers_after() {
        let refused = |text: &str| Setback {
            trouble: Trouble::Refused {
                blame: Blame::Source,
                at: "the greeting",
                reply: Reply::read(text).expect("a reply"),
            },
            facts: ConnectionFacts::default(),
        };
        let silent = || Setback {
            trouble: Trouble::Lost { blame: Blame::Host, reason: "silent".into() },
            facts: ConnectionFacts::default(),
        };
        let mut kept = None;
        for new in [silent(), refused("554 first"), silent(), refused("554 second")] {
            keep_more_telling(&mut kept, new);
        }
        let Some(Setback { trouble: Trouble::Refused { reply, .. }, .. }) = kept else {
            panic!("an answer is kept");
        };
        assert_eq!(reply.to_string(), "554 first");
    }
}
