//! A receiving host of the simulated internet: its listener, and what it remembers of its clients.
//!
//! Owns:       the socket of one host, its manners, greylist and throttle.
//! Promises:   manners and script may change at run time; memory is bounded; a session that breaks
//!             ends alone.
//! Knows not:  the words of the dialogue (`session`), nor who else is on the internet.
//! It shares no code with our own client or listener, so that it is a check on both.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::certificates::Authority;
use super::manners::{Deed, Manners, Phase, Rule, TlsManner, take};
use super::session;
use super::sink::{Received, Sink};
use crate::clock::Clock;
use crate::model::Timestamp;

const SESSIONS_MAX: usize = 2_000;
const GREYLIST_ENTRIES_MAX: usize = 100_000;
const SOURCES_MAX: usize = 10_000;
const FAULTS_MAX: usize = 1_000;

/// Whose mail a host takes.
#[derive(Clone, Debug)]
pub enum Serves {
    Anybody,
    /// These domains; `*.many.test` is all below `many.test`. Others are refused with 5.7.1.
    Domains(Vec<String>),
}

impl Serves {
    fn covers(&self, domain: &str) -> bool {
        let Serves::Domains(domains) = self else { return true };
        domains.iter().any(|own| match own.strip_prefix('*') {
            Some(below) => domain.ends_with(below),
            None => own == domain,
        })
    }
}

/// What all hosts of a world share.
pub(super) struct Common {
    pub(super) clock: Clock,
    pub(super) sink: Sink,
    pub(super) authority: Authority,
    /// Where mail goes that was taken, when something is sent back for some of it.
    pub(super) echoes: OnceLock<mpsc::Sender<Arc<Received>>>,
    faults: Mutex<Vec<String>>,
}

impl Common {
    pub(super) fn new(clock: Clock, sink: Sink, authority: Authority) -> Common {
        let (echoes, faults) = (OnceLock::new(), Mutex::new(Vec::new()));
        Common { clock, sink, authority, echoes, faults }
    }

    /// Keeps a mail that was taken; its number.
    pub(super) async fn keep(&self, mail: Received) -> io::Result<u64> {
        let echoes = self.echoes.get().map(|echoes| (echoes, Arc::new(mail.clone())));
        let number = self.sink.keep(mail).await?;
        if let Some((echoes, mail)) = echoes
            && echoes.try_send(mail).is_err()
        {
            tracing::warn!("too many mails wait to be answered: nothing comes back for this one");
        }
        Ok(number)
    }

    /// A client broke the protocol.
    pub(super) fn fault(&self, host: &str, fault: &str) {
        tracing::warn!(host, reason = fault, "a client of the simulated internet broke SMTP");
        let mut faults = self.faults.lock();
        if faults.len() < FAULTS_MAX {
            faults.push(format!("{host}: {fault}"));
        }
    }

    pub(super) fn faults(&self) -> Vec<String> {
        self.faults.lock().clone()
    }
}

pub struct Host {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    serves: Serves,
    manners: RwLock<Arc<Manners>>,
    /// Rules of a test, asked before those of the manners.
    script: Mutex<Vec<Rule>>,
    memory: Mutex<Memory>,
    tls: Mutex<HashMap<TlsManner, Arc<ServerConfig>>>,
    connections: AtomicU64,
    pub(super) common: Arc<Common>,
}

#[derive(Default)]
struct Memory {
    greylisted: HashMap<(IpAddr, String, String), Timestamp>,
    /// When the window began, and the mails since.
    windows: HashMap<IpAddr, (Timestamp, u32)>,
    connected: HashMap<IpAddr, usize>,
}

impl Host {
    pub(super) fn new(
        name: String,
        address: SocketAddr,
        serves: Serves,
        manners: Manners,
        common: Arc<Common>,
    ) -> Host {
        Host {
            name,
            address,
            serves,
            manners: RwLock::new(Arc::new(manners)),
            script: Mutex::new(Vec::new()),
            memory: Mutex::new(Memory::default()),
            tls: Mutex::new(HashMap::new()),
            connections: AtomicU64::new(0),
            common,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections taken since the start.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    pub fn manners(&self) -> Arc<Manners> {
        self.manners.read().clone()
    }

    /// Holds from the next command on; TLS and extensions from the next EHLO on.
    pub fn change_manners(&self, change: impl FnOnce(&mut Manners)) {
        change(Arc::make_mut(&mut self.manners.write()));
    }

    /// Adds a rule that is asked before the host's own.
    pub fn script(&self, rule: Rule) {
        self.script.lock().push(rule);
    }

    /// What the script and the rules do at this moment.
    pub(super) fn deeds(&self, phase: Phase, addresses: &[&str]) -> Vec<Deed> {
        let scripted = take(&mut self.script.lock(), phase, addresses);
        if !scripted.is_empty() {
            return scripted;
        }
        let manners = self.manners();
        let ruled = manners.rules.iter().find(|rule| rule.covers(phase, addresses));
        let Some(ruled) = ruled else { return Vec::new() };
        if ruled.times.is_none() {
            return vec![ruled.deed.clone()];
        }
        take(&mut Arc::make_mut(&mut self.manners.write()).rules, phase, addresses)
    }

    /// The refusal of a recipient: not our domain, or greylisted.
    pub(super) fn refusal(&self, peer: IpAddr, sender: &str, recipient: &str) -> Option<String> {
        let domain = recipient.rsplit_once('@').map_or("", |(_, domain)| domain);
        if !self.serves.covers(&domain.to_ascii_lowercase()) {
            return Some("550 5.7.1 We do not relay".to_owned());
        }
        let manners = self.manners();
        let greylist = manners.greylist.as_ref()?;
        let now = self.common.clock.now();
        let mut memory = self.memory.lock();
        let key = (peer, sender.to_ascii_lowercase(), recipient.to_ascii_lowercase());
        if memory.greylisted.len() >= GREYLIST_ENTRIES_MAX {
            memory.greylisted.clear();
        }
        let since = *memory.greylisted.entry(key).or_insert(now);
        (now.since(since) < greylist.wait).then(|| greylist.reply.clone())
    }

    /// The refusal of one more mail in this window.
    pub(super) fn throttled(&self, peer: IpAddr) -> Option<String> {
        let manners = self.manners();
        let throttle = manners.throttle.as_ref()?;
        let now = self.common.clock.now();
        let mut memory = self.memory.lock();
        if memory.windows.len() >= SOURCES_MAX {
            memory.windows.clear();
        }
        let window = memory.windows.entry(peer).or_insert((now, 0));
        if now.since(window.0) >= throttle.window {
            *window = (now, 0);
        }
        if window.1 >= throttle.messages_max {
            return Some(throttle.messages_reply.clone());
        }
        window.1 += 1;
        None
    }

    /// The refusal of one more connection, or that one is counted until the guard is dropped.
    pub(super) fn connected(self: &Arc<Host>, peer: IpAddr) -> Result<Connected, String> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        let manners = self.manners();
        let mut memory = self.memory.lock();
        let count = memory.connected.get(&peer).copied().unwrap_or(0);
        match &manners.throttle {
            Some(throttle) if count >= throttle.connections_max => {
                Err(throttle.connections_reply.clone())
            }
            _ => {
                memory.connected.insert(peer, count + 1);
                Ok(Connected { host: self.clone(), peer })
            }
        }
    }

    pub(super) fn server_config(&self, manner: TlsManner) -> io::Result<Arc<ServerConfig>> {
        if let Some(config) = self.tls.lock().get(&manner) {
            return Ok(config.clone());
        }
        let made = self.common.authority.server_config(&self.name, manner);
        let config = made.map_err(io::Error::other)?;
        self.tls.lock().insert(manner, config.clone());
        Ok(config)
    }

    pub(super) fn fault(&self, fault: &str) {
        self.common.fault(&self.name, fault);
    }
}

/// One open connection of a source address.
pub(super) struct Connected {
    host: Arc<Host>,
    peer: IpAddr,
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut memory = self.host.memory.lock();
        match memory.connected.get_mut(&self.peer) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(memory.connected.remove(&self.peer)),
        }
    }
}

/// Takes connections until the task is dropped, and its sessions with it.
pub(super) async fn serve(host: Arc<Host>, listener: TcpListener) {
    let room = Arc::new(Semaphore::new(SESSIONS_MAX));
    let mut sessions = JoinSet::new();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        while sessions.try_join_next().is_some() {}
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(host = host.name, reason = %error, "cannot take a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let host = host.clone();
        sessions.spawn(async move {
            if let Err(error) = welcome(&host, socket, peer).await {
                tracing::debug!(host = host.name, %peer, reason = %error, "a session broke");
            }
            drop(permit);
        });
    }
}

async fn welcome(host: &Arc<Host>, socket: TcpStream, peer: SocketAddr) -> io::Result<()> {
    socket.set_nodelay(true)?;
    session::hold(host.clone(), socket, peer).await
}
