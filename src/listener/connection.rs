//! One client's socket: feeds the session, carries out its steps, keeps the deadlines.
//!
//! Owns:       reads, writes, handshakes and how long they may take.
//! Promises:   a client that is slow, silent or gone costs its place for a bounded time; replies
//!             that are ready together leave in one write.
//! Knows not:  SMTP.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::places::Place;
use super::session::{Session, Step, Verdict};
use super::{Door, Port, Shared, Stop, Tuning};
use crate::accept::{Received, Refusal, Submission};
use crate::auth::AuthError;
use crate::model::{Enhanced, MessageId};
use crate::wire::proxy::{self, ProxyHeader};

const PROXY_WAIT: Duration = Duration::from_secs(10);
const HANDSHAKE_WAIT: Duration = Duration::from_secs(30);
/// Bodies may pause for `command_wait` in all, but must come at this rate on the average.
const BODY_BYTES_PER_SECOND_MIN: u64 = 1024;
/// A session that is over its time may finish its mail within this.
const SESSION_GRACE: Duration = Duration::from_secs(600);
/// The store has deadlines of its own; this one is for the case that they fail.
const SUBMIT_WAIT: Duration = Duration::from_secs(300);
/// For lists of the world that say who is unwelcome.
const CHECK_WAIT: Duration = Duration::from_secs(30);
/// A client that is cut gets this long to take the last reply, which a reset would swallow.
const LINGER_WAIT: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 256 * 1024;
/// Above this an output buffer is not kept for the next reply.
const OUTPUT_KEPT_BYTES_MAX: usize = 4 * 1024;

/// Why a conversation came to its end.
#[derive(Debug, thiserror::Error)]
enum Gone {
    /// Also a close_notify in the midst of a body: what came so far is dropped (A4).
    #[error("the client closed the connection")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the client did not take its replies in time")]
    NotRead,
}

enum Next {
    Handshake,
    Close,
}

/// Serves a client from its first octet to its last.
pub(super) async fn serve<D: Door>(
    shared: Arc<Shared<D>>,
    port: Port,
    mut socket: TcpStream,
    peer: IpAddr,
    place: Place,
    proxied: bool,
) {
    let tuning = shared.tuning.load_full();
    let (mut peer, mut place) = (peer, place);
    if proxied {
        match timeout(PROXY_WAIT, Box::pin(read_proxy_header(&mut socket))).await {
            Ok(Ok(client)) => peer = client.map_or(peer, |client| client.to_canonical()),
            _ => return tracing::info!(%peer, "no PROXY header from a proxy: closed"),
        }
        let Some(taken) = place.of_client(peer, tuning.smtp.connections_per_client_max) else {
            return super::turn_away(&shared.meters, &socket, port);
        };
        place = taken;
    }
    let mut stop = shared.stop.clone();
    let client = Client::new(&shared, tuning, peer, shared.stop.clone());
    tokio::select! {
        () = client.run(port, socket) => {}
        () = Stop::Cut.reached(&mut stop) => {}
    }
    drop(place);
}

/// Takes the header out of the socket and no octet more: TLS may follow it.
async fn read_proxy_header(socket: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    let refused = |_| io::Error::from(io::ErrorKind::InvalidData);
    let mut header = Vec::new();
    let mut window = [0u8; proxy::PROXY_BYTES_MAX];
    loop {
        let ahead = socket.peek(&mut window[header.len()..]).await?;
        if ahead == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let known = header.len() + ahead;
        // All that is known belongs to the header as long as the header is not complete.
        let (belongs, client) = match proxy::read(&window[..known]).map_err(refused)? {
            ProxyHeader::Complete(length, client) => (length, Some(client)),
            ProxyHeader::Incomplete(_) => (known, None),
        };
        let from = header.len();
        header.resize(belongs, 0);
        socket.read_exact(&mut header[from..]).await?;
        if let Some(client) = client {
            return Ok(client);
        }
    }
}

/// When the client must have done what it is at.
struct Pace {
    /// The command or mail that is under way, by `Session::turns` and whether it is a body.
    at: (u64, bool),
    since: Instant,
    minute: Instant,
    session_end: Instant,
    overdue: bool,
}

struct Client<'a, D> {
    shared: &'a Shared<D>,
    tuning: Arc<Tuning>,
    peer: IpAddr,
    stop: watch::Receiver<Stop>,
    /// Somebody's right to be here may have ended.
    rights: watch::Receiver<()>,
    draining: bool,
    pace: Pace,
}

impl<'a, D: Door> Client<'a, D> {
    fn new(
        shared: &'a Shared<D>,
        tuning: Arc<Tuning>,
        peer: IpAddr,
        stop: watch::Receiver<Stop>,
    ) -> Client<'a, D> {
        let now = Instant::now();
        let session_end = now + tuning.smtp.session_max;
        let pace = Pace { at: (0, false), since: now, minute: now, session_end, overdue: false };
        let rights = shared.auth.changes();
        Client { shared, tuning, peer, stop, rights, draining: false, pace }
    }

    async fn run(mut self, port: Port, socket: TcpStream) {
        let mut session = None;
        let mut socket = socket;
        if !port.implicit_tls {
            let clear = session.insert(self.session(port, None));
            match self.talk(clear, &mut socket).await {
                Ok(Next::Handshake) => {}
                Ok(Next::Close) => return self.close(clear, &mut socket, false).await,
                Err(gone) => return self.note_end(clear, &gone),
            }
        }
        let Some(mut stream) = self.handshake(socket).await else { return };
        let tls = describe(stream.get_ref().1);
        let session = match &mut session {
            Some(session) => {
                session.secured(tls);
                session
            }
            None => session.insert(self.session(port, Some(tls))),
        };
        match self.talk(session, &mut stream).await {
            // Under TLS the session asks for no second handshake.
            Ok(Next::Handshake | Next::Close) => self.close(session, &mut stream, true).await,
            Err(gone) => self.note_end(session, &gone),
        }
    }

    fn session(&self, port: Port, tls: Option<String>) -> Session {
        // A network that is trusted to submit is a stranger where mail comes in from outside.
        let needs_identity = port.role.identity_required;
        let trusted = self.shared.auth.trusted(self.peer).filter(|_| needs_identity);
        Session::new(port.role, self.tuning.rules.clone(), self.peer, trusted, tls)
    }

    async fn handshake(&mut self, socket: TcpStream) -> Option<Box<TlsStream<TcpStream>>> {
        let acceptor = TlsAcceptor::from(self.shared.tls.clone());
        let shaken = tokio::select! {
            biased;
            shaken = timeout(HANDSHAKE_WAIT, acceptor.accept(socket)) => shaken,
            // Nothing was said yet that would have to be finished.
            () = Stop::Drain.reached(&mut self.stop) => return None,
        };
        let reason = match shaken {
            Ok(Ok(stream)) => return Some(Box::new(stream)),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it took too long".to_owned(),
        };
        self.shared.meters.handshakes_failed.increment(1);
        tracing::debug!(peer = %self.peer, reason, "no TLS with a client");
        None
    }

    /// Does what the session wants until it wants no more.
    async fn talk<S>(&mut self, session: &mut Session, stream: &mut S) -> Result<Next, Gone>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            match session.step() {
                Step::Write => self.write(session, stream).await?,
                Step::Read => {
                    self.write(session, stream).await?;
                    self.read(session, stream).await?;
                }
                Step::CheckSender => self.check_sender(session).await,
                Step::CheckRecipient => self.check_recipient(session),
                Step::Verify { user, password } => {
                    self.write(session, stream).await?;
                    let verdict = self.verify(&user, password.expose()).await;
                    session.verified(verdict);
                }
                Step::Submit(submission) => {
                    let answer = self.submit(*submission).await;
                    session.submitted(answer);
                    self.shared.meters.add(session.take_tally());
                }
                Step::Receive(received) => {
                    let answer = self.receive(*received).await;
                    session.received(answer);
                    self.shared.meters.add(session.take_tally());
                }
                Step::StartTls => {
                    self.write(session, stream).await?;
                    return Ok(Next::Handshake);
                }
                Step::Close => {
                    self.write(session, stream).await?;
                    return Ok(Next::Close);
                }
            }
        }
    }

    async fn check_sender(&self, session: &mut Session) {
        let Some((who, sender, size)) = session.in_question() else { return };
        let answer = match who {
            Some(who) => self.shared.door.check_sender(who, sender, size),
            None => {
                // On the heap while it runs, so that a session is not larger for it.
                let asking = Box::pin(self.shared.door.check_client(self.peer, size));
                let late = |_| Err(Refusal::new(451, Enhanced(4, 3, 0), "come again later"));
                timeout(CHECK_WAIT, asking).await.unwrap_or_else(late)
            }
        };
        session.sender_checked(answer);
    }

    fn check_recipient(&self, session: &mut Session) {
        if let Some(recipient) = session.recipient_in_question() {
            let answer = self.shared.door.check_recipient(recipient);
            session.recipient_checked(answer);
        }
    }

    async fn receive(&self, received: Received) -> Result<(), Refusal> {
        let receiving = Box::pin(self.shared.door.receive(received));
        timeout(SUBMIT_WAIT, receiving).await.unwrap_or_else(|_| {
            let text = "The message could not be stored in time; send it again";
            Err(Refusal::new(451, Enhanced(4, 3, 0), text))
        })
    }

    async fn write<S>(&self, session: &mut Session, stream: &mut S) -> Result<(), Gone>
    where
        S: AsyncWrite + Unpin,
    {
        let output = session.output();
        if output.is_empty() {
            return Ok(());
        }
        let write = async {
            stream.write_all(output).await?;
            stream.flush().await
        };
        timeout(self.tuning.smtp.command_wait, write).await.map_err(|_| Gone::NotRead)??;
        output.clear();
        if output.capacity() > OUTPUT_KEPT_BYTES_MAX {
            *output = bytes::BytesMut::new();
        }
        Ok(())
    }

    async fn read<S>(&mut self, session: &mut Session, stream: &mut S) -> Result<(), Gone>
    where
        S: AsyncRead + Unpin,
    {
        let deadline = self.deadline(session);
        let read = tokio::select! {
            biased;
            Ok(()) = self.rights.changed() => {
                self.check_rights(session);
                return Ok(());
            }
            read = timeout_at(deadline, stream.read_buf(session.room())) => read,
            () = Stop::Drain.reached(&mut self.stop), if !self.draining => {
                self.draining = true;
                session.drain();
                return Ok(());
            }
        };
        match read {
            Ok(Ok(0)) => return Err(Gone::Closed),
            Ok(read) => read.map(|_| ())?,
            Err(_) => self.time_out(session),
        }
        Ok(())
    }

    /// A credential that was revoked ends its sessions, whatever they are at.
    fn check_rights(&self, session: &mut Session) {
        let Some(who) = session.identity().filter(|who| !self.shared.auth.is_current(who)) else {
            return;
        };
        tracing::info!(credential = %who.name, peer = %self.peer, "revoked: its session ends");
        session.cut("421 4.7.0 The credential was revoked");
    }

    fn deadline(&mut self, session: &mut Session) -> Instant {
        let pace = &mut self.pace;
        let body = session.body_received();
        let at = (session.turns(), body.is_some());
        if at != pace.at {
            pace.at = at;
            pace.since = Instant::now();
            if pace.since - pace.minute >= Duration::from_secs(60) {
                pace.minute = pace.since;
                session.minute_passed();
            }
            // A client that is never silent lets no timer run out.
            if pace.since >= pace.session_end && !pace.overdue {
                pace.overdue = true;
                session.drain();
            }
        }
        let wait = self.tuning.smtp.command_wait;
        let earned = body.map_or(0, |octets| octets / BODY_BYTES_PER_SECOND_MIN);
        let end = pace.session_end + if pace.overdue { SESSION_GRACE } else { Duration::ZERO };
        (pace.since + wait + Duration::from_secs(earned)).min(end)
    }

    fn time_out(&mut self, session: &mut Session) {
        if !self.pace.overdue && Instant::now() >= self.pace.session_end {
            self.pace.overdue = true;
            return session.drain();
        }
        self.shared.meters.sessions_timed_out.increment(1);
        session.cut("421 4.4.2 That took too long");
    }

    async fn verify(&self, user: &str, password: &str) -> Verdict {
        let reason = match self.shared.auth.verify_login(user, password, self.peer).await {
            Ok(identity) => return Verdict::Known(identity),
            Err(error) => error,
        };
        self.shared.meters.auth_refused.increment(1);
        let credential = user.chars().take(64).collect::<String>();
        tracing::info!(
            credential = %credential.escape_debug(), peer = %self.peer, %reason,
            "a client could not sign in"
        );
        match reason {
            AuthError::Refused | AuthError::Locked => Verdict::Refused,
            AuthError::Unavailable => Verdict::Unavailable,
        }
    }

    async fn submit(&self, submission: Submission) -> Result<MessageId, Refusal> {
        let credential = submission.identity.name.clone();
        let answer = timeout(SUBMIT_WAIT, self.shared.door.submit(submission)).await;
        let answer = answer.unwrap_or_else(|_| {
            let text = "The message could not be stored in time; send it again".to_owned();
            Err(Refusal { code: 451, enhanced: Enhanced(4, 3, 0), text, retry_after: None })
        });
        if let Err(refusal) = &answer {
            tracing::info!(credential, peer = %self.peer, reason = %refusal, "a mail was refused");
        }
        answer
    }

    /// After the last reply. A client that was cut may still be sending: its octets are read and
    /// dropped for a moment, since closing over them would reset the connection.
    async fn close<S>(&self, session: &mut Session, stream: &mut S, tls: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.shared.meters.add(session.take_tally());
        let goodbye = session.said_goodbye();
        if goodbye && !tls {
            return;
        }
        let linger = async {
            stream.shutdown().await?;
            let mut rubbish = vec![0u8; 4096];
            let mut left = if goodbye { 0 } else { LINGER_BYTES_MAX };
            while left > 0 {
                match stream.read(&mut rubbish).await? {
                    0 => break,
                    count => left = left.saturating_sub(count),
                }
            }
            Ok::<(), io::Error>(())
        };
        if let Ok(Err(error)) = timeout(LINGER_WAIT, linger).await {
            tracing::trace!(peer = %self.peer, reason = %error, "closed hard");
        }
    }

    fn note_end(&self, session: &mut Session, gone: &Gone) {
        self.shared.meters.add(session.take_tally());
        tracing::debug!(peer = %self.peer, reason = %gone, "a session ended without QUIT");
    }
}

/// `TLSv1.3 TLS13_AES_256_GCM_SHA384`, for the Received field.
fn describe(connection: &rustls::ServerConnection) -> String {
    use rustls::ProtocolVersion;
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLS",
    };
    let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    format!("{version} {}", suite.unwrap_or("unknown"))
}
