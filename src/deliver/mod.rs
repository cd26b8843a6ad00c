//! One attempt over the network: connection → secured → dialogue → outcome.
//!
//! Owns:       sockets to receiving hosts and the words said over them.
//! Promises:   each recipient gets one outcome with its blame; every phase has a deadline; what a
//!             host sends can only cost bounded memory and time; the wire carries CRLF only.
//! Knows not:  the store, the queue, who sends, why.

mod capabilities;
mod connection;
mod dialogue;
mod egress;
mod flight;
mod line;
mod open;
mod outcome;
mod relay;
mod secure;
mod socket;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::capabilities::Capabilities;
use self::connection::Standing;
pub use self::egress::{SourceFault, Trial};
use self::line::Line;
use self::secure::TlsConfigs;
use crate::clock::Clock;
use crate::model::*;

/// Where mail leaves from: one of our addresses with its EHLO name, or a relay. Both are used in
/// the same way; `egress.rs` has what can be asked of either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub id: SourceId,
    pub name: String,
    /// Bound before connecting; a family without an address is left to the system.
    pub bind_v4: Option<std::net::Ipv4Addr>,
    pub bind_v6: Option<std::net::Ipv6Addr>,
    pub ehlo: String,
    /// Everything goes there, whatever hosts the recipient's domain has.
    pub relay: Option<Arc<Relay>>,
}

/// Another's service that takes mail from us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    pub host: String,
    pub port: u16,
    pub tls: TlsMode,
    pub auth: Option<Arc<RelayAuth>>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct RelayAuth {
    pub mechanism: RelayMechanism,
    pub user: String,
    /// Password, or the token of XOAUTH2. Never in Debug.
    pub secret: String,
}

/// Where to connect: hosts in the order to try, each with its addresses.
#[derive(Clone, Debug)]
pub struct Target {
    pub hosts: Vec<TargetHost>,
    pub tls: TlsMode,
    pub preference: IpPreference,
    /// A relay source: opened with mail-send.
    pub auth: Option<Arc<RelayAuth>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetHost {
    pub name: String,
    pub addresses: Vec<SocketAddr>,
}

impl std::fmt::Debug for RelayAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RelayAuth").field("user", &self.user).finish_non_exhaustive()
    }
}

/// One MAIL FROM with its recipients: they share message, return path and recipient domain.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub sender: ReversePath,
    pub recipients: Vec<Recipient>,
    pub smtputf8: bool,
    pub eight_bit: bool,
    pub dsn_return: Option<DsnReturn>,
    pub dsn_envelope_id: Option<String>,
    /// What is said is wanted even if all goes well.
    pub recorded: bool,
}

/// What was said, for the log of dialogues: AUTH masked, body left out,
/// bounded.
#[derive(Clone, Debug, Default)]
pub struct Dialogue {
    pub lines: Vec<String>,
}

/// Facts of a connection that the event of each attempt tells.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct ConnectionFacts {
    pub source: String,
    pub local_address: Option<IpAddr>,
    pub host: String,
    pub address: Option<SocketAddr>,
    /// `TLSv1.3 TLS13_AES_256_GCM_SHA384`; None in the clear.
    pub tls: Option<String>,
}

/// The answer to one transaction.
#[derive(Debug)]
pub struct Answer {
    /// One for each recipient, in order.
    pub outcomes: Vec<Outcome>,
    /// The host took on the duty of DSN (it announced DSN and was given the parameters).
    pub dsn_passed_on: bool,
    /// Empty when all went well, unless the transaction asked for it.
    pub dialogue: Dialogue,
    /// The host ended a connection that had been used before, and took no note of this transaction:
    /// nothing was learned of the mail or the host, so a new connection may try at once.
    pub untouched: bool,
}

/// No connection to any host of the target; the outcome holds for every recipient.
#[derive(Debug)]
pub struct OpenFailure {
    pub outcome: Outcome,
    pub facts: ConnectionFacts,
    pub dialogue: Dialogue,
}

/// Deadlines of each phase (RFC 5321 §4.5.3.2) and what else is the same for all connections.
#[derive(Clone, Debug)]
pub struct DeliverOptions {
    pub connect_wait: Duration,
    pub greeting_wait: Duration,
    pub command_wait: Duration,
    pub data_start_wait: Duration,
    pub data_block_wait: Duration,
    pub data_end_wait: Duration,
    pub recipients_per_transaction_max: usize,
    /// Roots in PEM beside the system's, for hosts whose certificate is verified.
    pub extra_roots: Option<PathBuf>,
    /// BDAT may be used where it is safe and saves a round trip.
    pub chunking: bool,
}

impl Default for DeliverOptions {
    /// The least that RFC 5321 §4.5.3.2 asks for; connecting is left to no host for so long.
    fn default() -> DeliverOptions {
        DeliverOptions {
            connect_wait: Duration::from_secs(30),
            greeting_wait: Duration::from_secs(300),
            command_wait: Duration::from_secs(300),
            data_start_wait: Duration::from_secs(120),
            data_block_wait: Duration::from_secs(180),
            data_end_wait: Duration::from_secs(600),
            recipients_per_transaction_max: 100,
            extra_roots: None,
            chunking: true,
        }
    }
}

/// Opens connections; one for the whole daemon. A cheap handle.
#[derive(Clone)]
pub struct Dialer {
    shared: Arc<Shared>,
}

/// What all connections share.
struct Shared {
    options: DeliverOptions,
    clock: Clock,
    tls: TlsConfigs,
    /// Hosts that offer STARTTLS and fail at it.
    without_tls: Remembered,
    /// Hosts that announce CHUNKING and do not know BDAT.
    without_chunking: Remembered,
}

impl Dialer {
    pub fn new(options: DeliverOptions, clock: Clock) -> Dialer {
        let tls = TlsConfigs::new(options.extra_roots.clone());
        let (without_tls, without_chunking) = (Remembered::new(), Remembered::new());
        Dialer { shared: Arc::new(Shared { options, clock, tls, without_tls, without_chunking }) }
    }

    /// Tries hosts and addresses in order until one greets, speaks EHLO and is as secure as asked.
    /// Ends within five minutes. Never fails a mail for good: what a host says before MAIL is not
    /// about the mail (RFC 5321 §3.1, RFC 7504 §4).
    pub async fn open(&self, target: &Target, source: &Source) -> Result<Connection, OpenFailure> {
        open::open(&self.shared, target, source).await
    }
}

/// An open connection that has said EHLO and is ready for MAIL.
pub struct Connection {
    shared: Arc<Shared>,
    line: Line,
    capabilities: Capabilities,
    facts: ConnectionFacts,
    /// What was said until the connection was open.
    opening: Dialogue,
    standing: Standing,
    transactions: u32,
    /// The last mail was taken for all its recipients.
    flawless: bool,
}

/// Addresses with a weakness that is worth a while of memory. Bounded; the oldest go first.
struct Remembered(moka::sync::Cache<SocketAddr, Timestamp>);

/// Long enough to spare each mail the failing try, short enough to notice a repair.
const REMEMBERED_FOR: Duration = Duration::from_secs(3600);
const REMEMBERED_MAX: u64 = 10_000;

impl Remembered {
    fn new() -> Remembered {
        Remembered(moka::sync::Cache::new(REMEMBERED_MAX))
    }

    fn add(&self, address: Option<SocketAddr>, clock: &Clock) {
        if let Some(address) = address {
            self.0.insert(address, clock.now() + REMEMBERED_FOR);
        }
    }

    fn holds(&self, address: Option<SocketAddr>, clock: &Clock) -> bool {
        let until = address.and_then(|address| self.0.get(&address));
        until.is_some_and(|until| clock.now() < until)
    }
}
