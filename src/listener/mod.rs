//! SMTP listeners: who comes to the door by 587, 465 and 25.
//!
//! Owns:       listening sockets, sessions, certificates, limits of clients.
//! Promises:   a mail is answered 250 only after the door has it; nobody who is slow, loud or
//!             hostile takes what others need; shutdown lets a body that is under way finish.
//! Knows not:  queue, schedule, delivery.
//!
//! `session` is the machine that knows SMTP, `connection` the loop that knows sockets.

mod body;
mod certificates;
mod connection;
mod meters;
mod places;
mod question;
mod sasl;
pub mod session;
mod verbs;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::{Domain as Family, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use self::meters::Meters;
use self::places::Places;
use self::session::{Role, Rules};
use crate::accept::{Acceptance, Received, Refusal, Submission};
use crate::auth::{Auth, Identity};
use crate::config::Smtp;
use crate::model::{Address, Enhanced, MessageId, ReversePath};

pub use certificates::{CertificateError, Certificates};

/// Where mail goes in.
pub trait Door: Send + Sync + 'static {
    /// At MAIL: may this identity send as this sender, and is there room?
    fn check_sender(
        &self,
        identity: &Identity,
        sender: &ReversePath,
        declared_bytes: Option<u64>,
    ) -> Result<(), Refusal>;
    /// At the end of the mail. An id means that it is on disk.
    fn submit(
        &self,
        submission: Submission,
    ) -> impl Future<Output = Result<MessageId, Refusal>> + Send;
    /// At MAIL where nobody signs in: is this client welcome?
    fn check_client(
        &self,
        _peer: IpAddr,
        _declared_bytes: Option<u64>,
    ) -> impl Future<Output = Result<(), Refusal>> + Send {
        std::future::ready(Err(not_here()))
    }
    /// At RCPT where nobody signs in: is it one of ours?
    fn check_recipient(&self, _recipient: &Address) -> Result<(), Refusal> {
        Err(not_here())
    }
    /// At the end of a mail from outside. `Ok` means that it and what follows from it is on disk.
    fn receive(&self, _received: Received) -> impl Future<Output = Result<(), Refusal>> + Send {
        std::future::ready(Err(not_here()))
    }
}

/// What a door answers that does not take what it is brought.
fn not_here() -> Refusal {
    Refusal::new(550, Enhanced(5, 7, 1), "not here")
}

impl Door for Acceptance {
    fn check_sender(
        &self,
        identity: &Identity,
        sender: &ReversePath,
        declared_bytes: Option<u64>,
    ) -> Result<(), Refusal> {
        Acceptance::check_sender(self, identity, sender, declared_bytes)
    }

    async fn submit(&self, submission: Submission) -> Result<MessageId, Refusal> {
        Acceptance::submit(self, submission).await
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    #[error("cannot listen on {address}: {why}")]
    Socket { address: SocketAddr, why: io::Error },
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

const BACKLOG: i32 = 1024;
const ACCEPT_WAIT_FIRST: Duration = Duration::from_millis(20);
const ACCEPT_WAIT_MAX: Duration = Duration::from_secs(1);
/// After the limit of `drain`, for tasks that have been told to end to do so.
const CUT_WAIT: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    Run,
    /// No new session; those that are there end as soon as no body is under way.
    Drain,
    Cut,
}

impl Stop {
    /// Returns once it has come to this, or the listener is gone altogether.
    async fn reached(self, stop: &mut watch::Receiver<Stop>) {
        if stop.wait_for(|now| *now >= self).await.is_err() {
            tracing::trace!("the listener is gone");
        }
    }
}

/// What one listening socket is for.
#[derive(Clone, Copy, Debug)]
struct Port {
    role: Role,
    /// TLS from the first octet (465).
    implicit_tls: bool,
}

/// The numbers, as they stand for sessions that begin now.
struct Tuning {
    smtp: Smtp,
    rules: Arc<Rules>,
}

struct Shared<D> {
    door: D,
    auth: Auth,
    tls: Arc<rustls::ServerConfig>,
    tuning: Arc<ArcSwap<Tuning>>,
    places: Arc<Places>,
    meters: Meters,
    stop: watch::Receiver<Stop>,
}

/// The listeners that run. Dropping it cuts every session.
pub struct Listener {
    submission: Vec<SocketAddr>,
    submissions: Vec<SocketAddr>,
    host_name: String,
    tuning: Arc<ArcSwap<Tuning>>,
    places: Arc<Places>,
    stop: watch::Sender<Stop>,
    /// Looks after the certificates.
    watch: Option<AbortHandle>,
}

impl Listener {
    /// Binds every address of the settings (port 0 takes a free one) and begins to accept. Must
    /// run inside a tokio runtime.
    pub fn start<D: Door>(
        smtp: &Smtp,
        host_name: &str,
        auth: Auth,
        door: D,
        certificates: &Certificates,
    ) -> Result<Listener, ListenerError> {
        // All are bound before the first is served: a start that fails takes no mail.
        let submission = bind(&smtp.submission)?;
        let submissions = bind(&smtp.submissions)?;
        let (mut listener, shared) = Listener::idle(smtp, host_name, auth, door, certificates)?;
        let clear = Port { role: Role::SUBMISSION, implicit_tls: false };
        let secured = Port { role: Role::SUBMISSION, implicit_tls: true };
        listener.submission = serve_all(&shared, clear, submission);
        listener.submissions = serve_all(&shared, secured, submissions);
        listener.watch = Some(tokio::spawn(certificates.clone().watch()).abort_handle());
        Ok(listener)
    }

    /// For mail from outside: listens where `smtp.submission` says, for whoever comes. It has
    /// places of its own, so that strangers take none from those who submit.
    pub fn start_inbound<D: Door>(
        smtp: &Smtp,
        host_name: &str,
        auth: Auth,
        door: D,
        certificates: &Certificates,
    ) -> Result<Listener, ListenerError> {
        let sockets = bind(&smtp.submission)?;
        let (mut listener, shared) = Listener::idle(smtp, host_name, auth, door, certificates)?;
        let port = Port { role: Role::INBOUND, implicit_tls: false };
        listener.submission = serve_all(&shared, port, sockets);
        Ok(listener)
    }

    /// One that listens nowhere yet, and what its sessions share.
    fn idle<D: Door>(
        smtp: &Smtp,
        host_name: &str,
        auth: Auth,
        door: D,
        certificates: &Certificates,
    ) -> Result<(Listener, Arc<Shared<D>>), ListenerError> {
        let (stop, stopped) = watch::channel(Stop::Run);
        let tuning = Arc::new(ArcSwap::from_pointee(Tuning::of(smtp, host_name)));
        let places = Arc::new(Places::default());
        let shared = Arc::new(Shared {
            door,
            auth,
            tls: certificates.server_config(&[])?,
            tuning: tuning.clone(),
            places: places.clone(),
            meters: Meters::new(),
            stop: stopped,
        });
        let listener = Listener {
            submission: Vec::new(),
            submissions: Vec::new(),
            host_name: host_name.to_owned(),
            tuning,
            places,
            stop,
            watch: None,
        };
        Ok((listener, shared))
    }

    /// Where STARTTLS clients come, as bound.
    pub fn submission(&self) -> &[SocketAddr] {
        &self.submission
    }

    /// Where implicit TLS clients come, as bound.
    pub fn submissions(&self) -> &[SocketAddr] {
        &self.submissions
    }

    /// Sessions that are open now.
    pub fn sessions(&self) -> usize {
        self.places.taken()
    }

    /// Other numbers for sessions that begin from now on; addresses need a restart.
    pub fn retune(&self, smtp: &Smtp) {
        self.tuning.store(Arc::new(Tuning::of(smtp, &self.host_name)));
    }

    /// Stops accepting; idle sessions get 421 at once, bodies under way may finish within
    /// `limit`, and what is left then is cut.
    pub async fn drain(&self, limit: Duration) {
        self.stop.send_replace(Stop::Drain);
        if timeout(limit, self.places.empty()).await.is_err() {
            let sessions = self.places.taken();
            tracing::warn!(sessions, "sessions are cut: they did not finish in time");
            self.stop.send_replace(Stop::Cut);
            if timeout(CUT_WAIT, self.places.empty()).await.is_err() {
                tracing::error!(sessions = self.places.taken(), "sessions do not end");
            }
        }
        self.end_watch();
    }

    fn end_watch(&self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.send_replace(Stop::Cut);
        self.end_watch();
    }
}

impl Tuning {
    fn of(smtp: &Smtp, host_name: &str) -> Tuning {
        let rules = Rules {
            host_name: host_name.to_owned(),
            message_bytes_max: smtp.message_bytes_max,
            recipients_max: smtp.recipients_max,
            errors_max: smtp.errors_max,
            commands_per_minute_max: smtp.commands_per_minute_max,
        };
        Tuning { smtp: smtp.clone(), rules: Arc::new(rules) }
    }
}

fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, ListenerError> {
    let bind_one = |address: &SocketAddr| {
        bind_socket(*address).map_err(|why| ListenerError::Socket { address: *address, why })
    };
    addresses.iter().map(bind_one).collect()
}

fn bind_socket(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Family::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // So that 0.0.0.0:587 and [::]:587 can stand side by side.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn serve_all<D: Door>(
    shared: &Arc<Shared<D>>,
    port: Port,
    sockets: Vec<TcpListener>,
) -> Vec<SocketAddr> {
    let addresses = sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect();
    for socket in sockets {
        tokio::spawn(accept(shared.clone(), port, socket));
    }
    addresses
}

async fn accept<D: Door>(shared: Arc<Shared<D>>, port: Port, listener: TcpListener) {
    let mut stop = shared.stop.clone();
    let mut wait = ACCEPT_WAIT_FIRST;
    loop {
        let accepted = tokio::select! {
            biased;
            () = Stop::Drain.reached(&mut stop) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                wait = ACCEPT_WAIT_FIRST;
                receive(&shared, port, socket, peer.ip().to_canonical());
            }
            // The client had gone before it was served.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(
                    reason = %error, wait = ?wait,
                    "cannot accept connections; raise the limit of open files (LimitNOFILE=) if \
                     there are too many"
                );
                sleep(wait).await;
                wait = (wait * 2).min(ACCEPT_WAIT_MAX);
            }
        }
    }
}

/// Gives a new client its place and its task, or turns it away at little cost.
fn receive<D: Door>(shared: &Arc<Shared<D>>, port: Port, socket: TcpStream, peer: IpAddr) {
    let tuning = shared.tuning.load();
    let smtp = &tuning.smtp;
    let proxied = smtp.proxies.iter().any(|network| network.contains(peer));
    let place = shared.places.take(smtp.connections_max);
    let place = match place {
        // Whom the proxy speaks for is not known yet.
        Some(place) if proxied => Some(place),
        Some(place) => place.of_client(peer, smtp.connections_per_client_max),
        None => None,
    };
    let Some(place) = place else {
        return turn_away(&shared.meters, &socket, port);
    };
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%peer, reason = %error, "a socket without TCP_NODELAY");
    }
    shared.meters.sessions.increment(1);
    let shared = shared.clone();
    tokio::spawn(async move {
        let _open = Open::new(&shared.meters, peer);
        connection::serve(shared.clone(), port, socket, peer, place, proxied).await;
    });
}

/// A word in the clear where the client can read it, and no task of its own.
fn turn_away(meters: &Meters, socket: &TcpStream, port: Port) {
    meters.sessions_refused.increment(1);
    const WORD: &[u8] = b"421 4.7.0 Too many connections; come again later\r\n";
    if !port.implicit_tls
        && let Err(error) = SockRef::from(socket).send(WORD)
    {
        tracing::trace!(reason = %error, "a client went before it was turned away");
    }
}

/// Counts a session as open, and tells when it was a panic that ended it.
struct Open {
    sessions_open: metrics::Gauge,
    peer: IpAddr,
}

impl Open {
    fn new(meters: &Meters, peer: IpAddr) -> Open {
        meters.sessions_open.increment(1.0);
        Open { sessions_open: meters.sessions_open.clone(), peer }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.sessions_open.decrement(1.0);
        if std::thread::panicking() {
            tracing::error!(peer = %self.peer, "a session panicked; the others go on");
        }
    }
}
