//! The simulated internet of `postroad demo` and of the tests: a name server and many MX hosts.
//!
//! Owns:       everything that stands for other people's machines, all of it on 127.0.0.0/8.
//! Promises:   nothing leaves this machine; each host has an address of its own at one shared port;
//!             what a host accepts is in the sink before it says `250`; all ends with the `World`.
//! Knows not:  how our own client and listener are built, so that it is an honest peer of both
//!             (only `demo` knows the daemon, which it starts).
//!
//! `operators` is the cast, `manners` the vocabulary, `session` the dialogue, `dns` the zones.

mod body;
pub mod certificates;
pub mod demo;
pub mod dns;
mod echo;
mod grammar;
pub mod manners;
pub mod mx;
mod narrator;
pub mod operators;
mod registrar;
mod seed;
mod session;
pub mod sink;
mod stream;
pub mod tolerance;
mod traffic;
mod transaction;
mod weak_key;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::clock::Clock;
use certificates::{Authority, CertificateError};
use dns::{DnsServer, Zones};
use manners::Manners;
use mx::{Common, Host, Serves};
use sink::{Keep, Received, Sink};

/// A free port of one address may be taken on another; another one is tried then.
const BIND_TRIES: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    #[error("the simulated internet cannot listen: {0}")]
    Listen(#[source] io::Error),
    #[error("the sink of the simulated internet: {0}")]
    Sink(#[source] io::Error),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// A host before it runs.
#[derive(Clone, Debug)]
pub struct HostPlan {
    pub name: String,
    /// In 127.0.0.0/8; no two hosts share one.
    pub address: Ipv4Addr,
    pub serves: Serves,
    pub manners: Manners,
}

/// A world before it runs. Port 0 takes a free one.
pub struct WorldPlan {
    pub hosts: Vec<HostPlan>,
    pub zones: Zones,
    pub keep: Keep,
    pub mx_port: u16,
    pub dns_port: u16,
    pub clock: Clock,
}

/// A running simulated internet; dropping it ends all its connections.
pub struct World {
    dns: DnsServer,
    hosts: Vec<Arc<Host>>,
    mx_port: u16,
    common: Arc<Common>,
    _tasks: JoinSet<()>,
}

impl World {
    pub async fn start(plan: WorldPlan) -> Result<World, WorldError> {
        let sink = Sink::open(plan.keep).map_err(WorldError::Sink)?;
        let common = Arc::new(Common::new(plan.clock, sink, Authority::new()?));
        let dns = DnsServer::start(plan.zones, plan.dns_port).await.map_err(WorldError::Listen)?;
        let addresses: Vec<Ipv4Addr> = plan.hosts.iter().map(|host| host.address).collect();
        let (mx_port, listeners) =
            listen(&addresses, plan.mx_port).await.map_err(WorldError::Listen)?;
        let mut tasks = JoinSet::new();
        let mut hosts = Vec::with_capacity(plan.hosts.len());
        for (plan, listener) in plan.hosts.into_iter().zip(listeners) {
            let address = SocketAddr::from((plan.address, mx_port));
            let host = Host::new(plan.name, address, plan.serves, plan.manners, common.clone());
            let host = Arc::new(host);
            tasks.spawn(mx::serve(host.clone(), listener));
            hosts.push(host);
        }
        Ok(World { dns, hosts, mx_port, common, _tasks: tasks })
    }

    /// From now on mailboxes with habits (`bounces@`, `complains@` …) send something back, to where
    /// mail from outside comes in. The first call wins.
    pub fn send_back_to(&self, address: SocketAddr) {
        let (sender, mails) = mpsc::channel(echo::ECHOES_MAX);
        if self.common.echoes.set(sender).is_ok() {
            tokio::spawn(echo::run(address, self.common.clock.clone(), mails));
        }
    }

    pub fn dns(&self) -> &DnsServer {
        &self.dns
    }

    /// Where every host listens, each on its own address.
    pub fn mx_port(&self) -> u16 {
        self.mx_port
    }

    pub fn host(&self, name: &str) -> Option<&Arc<Host>> {
        self.hosts.iter().find(|host| host.name() == name)
    }

    pub fn hosts(&self) -> &[Arc<Host>] {
        &self.hosts
    }

    /// What was accepted and kept in memory, oldest first.
    pub fn received(&self) -> Vec<Arc<Received>> {
        self.common.sink.received()
    }

    /// How many mails were accepted since the start, kept or not.
    pub fn accepted(&self) -> u64 {
        self.common.sink.accepted()
    }

    /// The clock of greylists and throttles.
    pub fn clock(&self) -> &Clock {
        &self.common.clock
    }

    /// What clients did against the protocol.
    pub fn faults(&self) -> Vec<String> {
        self.common.faults()
    }

    /// The root that signs the hosts' certificates, in PEM.
    pub fn root_pem(&self) -> String {
        self.common.authority.root_pem()
    }
}

/// A listener on each address, all at one port.
async fn listen(addresses: &[Ipv4Addr], port: u16) -> io::Result<(u16, Vec<TcpListener>)> {
    let mut failure = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..BIND_TRIES {
        match listen_once(addresses, port).await {
            Ok(listening) => return Ok(listening),
            Err(error) if port == 0 && error.kind() == io::ErrorKind::AddrInUse => failure = error,
            Err(error) => return Err(error),
        }
    }
    Err(failure)
}

async fn listen_once(addresses: &[Ipv4Addr], port: u16) -> io::Result<(u16, Vec<TcpListener>)> {
    let mut port = port;
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let listener = TcpListener::bind((*address, port)).await?;
        port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok((port, listeners))
}
