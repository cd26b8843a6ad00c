//! One attempt over the network: connection → secured → dialogue → outcome.
//!
//! Owns:       sockets to receiving hosts and the words said over them.
//! Promises:   each recipient gets one outcome with its blame; every phase has a deadline; what a
//!             host sends can only cost bounded memory and time; the wire carries CRLF only.
//! Knows not:  the store, the queue, who sends, why.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::clock::Clock;
use crate::model::*;

/// One of our addresses with its EHLO name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub name: String,
    /// Bound before connecting; a family without an address is left to the system.
    pub bind_v4: Option<std::net::Ipv4Addr>,
    pub bind_v6: Option<std::net::Ipv6Addr>,
    pub ehlo: String,
}

#[derive(Clone)]
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
}

/// What was said, for the log of attempts that did not succeed: AUTH masked, body left out, bounded.
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
    pub dialogue: Dialogue,
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
    pub connect_wait: std::time::Duration,
    pub greeting_wait: std::time::Duration,
    pub command_wait: std::time::Duration,
    pub data_start_wait: std::time::Duration,
    pub data_block_wait: std::time::Duration,
    pub data_end_wait: std::time::Duration,
    /// Local port binding without IP_BIND_ADDRESS_NO_PORT would run out of ports.
    pub recipients_per_transaction_max: usize,
}

/// Opens connections; one for the whole daemon.
#[derive(Clone)]
pub struct Dialer {}

impl Dialer {
    pub fn new(options: DeliverOptions, clock: Clock) -> Dialer {
        todo!()
    }
    /// Tries hosts and addresses in order until one greets, speaks EHLO and is as secure as asked.
    pub async fn open(&self, target: &Target, source: &Source) -> Result<Connection, OpenFailure> {
        todo!()
    }
}

/// An open connection that has said EHLO and is ready for MAIL.
pub struct Connection {}

impl Connection {
    pub fn facts(&self) -> &ConnectionFacts {
        todo!()
    }
    /// Another transaction may follow.
    pub fn is_usable(&self) -> bool {
        todo!()
    }
    /// Never fails as a whole: a broken connection is an outcome for each recipient.
    pub async fn send(&mut self, transaction: &Transaction, mail: &Mail) -> Answer {
        todo!()
    }
    /// QUIT, not waiting long for the answer.
    pub async fn quit(self) {
        todo!()
    }
}
