//! Books over mail: what a client was promised on one side, what a sink got on the other.
//!
//! A `Submitter` sends numbered mails to a submission port and books each answer; a `Sink` is a
//! remote host that books each mail before it answers `250`. `Ledger::reckon` compares the two:
//! nothing acknowledged may be missing, nothing may be damaged, and what came twice is listed with
//! its times, so that a story with kills can say which doubles were allowed.
//!
//! The number travels in the field `X-Ledger`, and what is compared is the body behind the header
//! section, since every host on the way adds fields.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const FIELD: &str = "X-Ledger: ";
/// Longer than any answer of a daemon that lives; one that was killed closes the connection.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
const LINE_BYTES_MAX: u64 = 64 * 1024;
const MAIL_BYTES_MAX: usize = 40 * 1024 * 1024;

/// A mail's number and the recipient: one delivery.
pub type Debt = (u64, String);

#[derive(Clone, Debug)]
pub struct Arrival {
    pub at: Instant,
    pub sender: String,
    pub whole: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `250`: the text of it, and the stamp taken after it was seen (see `Submitter::stamp`).
    Acknowledged { text: String, stamp: u64 },
    /// Refused in words; nobody owes it.
    Refused { text: String },
    /// The connection ended, or time did, after the final dot: it may be owed or not.
    NotSeen,
    /// The connection ended before the final dot: nobody owes it.
    NotSent,
}

#[derive(Default)]
struct Books {
    bodies: BTreeMap<u64, Vec<u8>>,
    recipients: BTreeMap<u64, Vec<String>>,
    answers: BTreeMap<u64, Answer>,
    arrivals: BTreeMap<Debt, Vec<Arrival>>,
    /// Mails that bear no number of ours, or one that was never given.
    strangers: usize,
    kills: Vec<Instant>,
}

#[derive(Clone, Default)]
pub struct Ledger {
    books: Arc<Mutex<Books>>,
    next: Arc<AtomicU64>,
}

/// The two sides compared.
#[derive(Debug, Default)]
pub struct Reckoning {
    pub acknowledged: usize,
    pub arrived: usize,
    /// Acknowledged, and never arrived.
    pub lost: Vec<Debt>,
    /// Arrived with another body than was sent.
    pub damaged: Vec<Debt>,
    /// Arrived more than once, with when.
    pub doubled: BTreeMap<Debt, Vec<Instant>>,
    /// Arrived although the client never saw an answer: committed, not acknowledged.
    pub arrived_unacknowledged: Vec<Debt>,
    /// Arrived although it was refused, or never sent whole: each one is a fault.
    pub arrived_refused: Vec<Debt>,
    pub refused: usize,
    pub strangers: usize,
}

impl Ledger {
    pub fn acknowledged(&self) -> usize {
        let books = self.books.lock();
        books.answers.values().filter(|a| matches!(a, Answer::Acknowledged { .. })).count()
    }

    /// Mails acknowledged with a stamp of at most `stamp`, by number.
    pub fn acknowledged_by(&self, stamp: u64) -> BTreeSet<u64> {
        let books = self.books.lock();
        let by = |answer: &Answer| match answer {
            Answer::Acknowledged { stamp: at, .. } => *at <= stamp,
            _ => false,
        };
        books.answers.iter().filter(|(_, answer)| by(answer)).map(|(number, _)| *number).collect()
    }

    /// Books the moment of a kill; call it just before.
    pub fn killed(&self) {
        self.books.lock().kills.push(Instant::now());
    }

    pub fn kills(&self) -> Vec<Instant> {
        self.books.lock().kills.clone()
    }

    pub fn reckon(&self) -> Reckoning {
        let books = self.books.lock();
        let mut reckoning = Reckoning { strangers: books.strangers, ..Reckoning::default() };
        for (number, answer) in &books.answers {
            for recipient in &books.recipients[number] {
                let debt = (*number, recipient.clone());
                let arrivals = books.arrivals.get(&debt).map_or(&[][..], Vec::as_slice);
                reckoning.count(debt, answer, arrivals);
            }
        }
        reckoning
    }

    /// Waits until everything acknowledged has arrived, or `patience` is at its end.
    pub async fn settled_within(&self, patience: Duration) -> Reckoning {
        let until = Instant::now() + patience;
        loop {
            let reckoning = self.reckon();
            if reckoning.lost.is_empty() || Instant::now() >= until {
                return reckoning;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn arrived(&self, sender: &str, recipients: &[String], mail: &[u8]) {
        let mut books = self.books.lock();
        let number = number_of(mail).filter(|number| books.bodies.contains_key(number));
        let Some(number) = number else {
            books.strangers += 1;
            return;
        };
        let whole = body_of(mail) == books.bodies[&number];
        for recipient in recipients {
            let arrival = Arrival { at: Instant::now(), sender: sender.to_owned(), whole };
            books.arrivals.entry((number, recipient.clone())).or_default().push(arrival);
        }
    }
}

impl Reckoning {
    fn count(&mut self, debt: Debt, answer: &Answer, arrivals: &[Arrival]) {
        match answer {
            Answer::Acknowledged { .. } => self.acknowledged += 1,
            Answer::Refused { .. } => self.refused += 1,
            Answer::NotSeen | Answer::NotSent => {}
        }
        if arrivals.is_empty() {
            if matches!(answer, Answer::Acknowledged { .. }) {
                self.lost.push(debt);
            }
            return;
        }
        self.arrived += 1;
        if arrivals.iter().any(|arrival| !arrival.whole) {
            self.damaged.push(debt.clone());
        }
        if arrivals.len() > 1 {
            self.doubled.insert(debt.clone(), arrivals.iter().map(|arrival| arrival.at).collect());
        }
        match answer {
            Answer::Acknowledged { .. } => {}
            Answer::NotSeen => self.arrived_unacknowledged.push(debt),
            Answer::Refused { .. } | Answer::NotSent => self.arrived_refused.push(debt),
        }
    }
}

fn number_of(mail: &[u8]) -> Option<u64> {
    let header = &mail[..memchr::memmem::find(mail, b"\r\n\r\n")?];
    let at = memchr::memmem::find(header, FIELD.as_bytes())? + FIELD.len();
    let digits: String =
        header[at..].iter().take_while(|b| b.is_ascii_digit()).map(|b| *b as char).collect();
    digits.parse().ok()
}

fn body_of(mail: &[u8]) -> &[u8] {
    memchr::memmem::find(mail, b"\r\n\r\n").map_or(&[], |at| &mail[at + 4..])
}

/// Where and how mails are handed in.
#[derive(Clone)]
pub struct Submitter {
    pub ledger: Ledger,
    pub server: SocketAddr,
    pub sender: String,
    /// User and password for AUTH PLAIN; None on a trusted network.
    pub credential: Option<(String, String)>,
    /// The recipients of the mail with this number.
    pub recipients: Arc<dyn Fn(u64) -> Vec<String> + Send + Sync>,
    pub body_bytes: usize,
    /// Asked after each acknowledgement; `Recording::written` makes a power cut comparable.
    pub stamp: Arc<dyn Fn() -> u64 + Send + Sync>,
    pub stop: Arc<AtomicBool>,
}

impl Submitter {
    pub fn new(ledger: &Ledger, server: SocketAddr, sender: &str, domain: &str) -> Submitter {
        let domain = domain.to_owned();
        Submitter {
            ledger: ledger.clone(),
            server,
            sender: sender.to_owned(),
            credential: None,
            recipients: Arc::new(move |number| vec![format!("r{number}@{domain}")]),
            body_bytes: 2000,
            stamp: Arc::new(|| 0),
            stop: Arc::default(),
        }
    }

    /// Sends over `sessions` connections until `mails` were sent or `stop` is set. A connection
    /// that fails is opened again, whatever the reason: the daemon is being killed meanwhile.
    pub async fn run(&self, sessions: usize, mails: u64) {
        let mut tasks = tokio::task::JoinSet::new();
        let left = Arc::new(AtomicU64::new(mails));
        for _ in 0..sessions {
            let (this, left) = (self.clone(), left.clone());
            tasks.spawn(async move { this.session_after_session(&left).await });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("a session does not panic");
        }
    }

    async fn session_after_session(&self, left: &AtomicU64) {
        while !self.stop.load(Ordering::Relaxed) && left.load(Ordering::Relaxed) > 0 {
            if self.session(left).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn session(&self, left: &AtomicU64) -> io::Result<()> {
        let mut wire = Wire::new(TcpStream::connect(self.server).await?);
        wire.expect(None).await?;
        wire.expect(Some("EHLO client.test")).await?;
        if let Some((user, password)) = &self.credential {
            let secret = base64::prelude::BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
            wire.expect(Some(&format!("AUTH PLAIN {secret}"))).await?;
        }
        while !self.stop.load(Ordering::Relaxed) {
            let one_less = |left: u64| left.checked_sub(1);
            if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err() {
                break;
            }
            self.submit(&mut wire).await?;
        }
        wire.expect(Some("QUIT")).await.map(drop)
    }

    /// One mail, booked whatever becomes of it.
    async fn submit(&self, wire: &mut Wire) -> io::Result<()> {
        let number = self.ledger.next.fetch_add(1, Ordering::Relaxed);
        let recipients = (self.recipients)(number);
        let body = body(number, self.body_bytes);
        {
            let mut books = self.ledger.books.lock();
            books.bodies.insert(number, body.clone());
            books.recipients.insert(number, recipients.clone());
            books.answers.insert(number, Answer::NotSent);
        }
        let book = |answer| drop(self.ledger.books.lock().answers.insert(number, answer));
        let commands = std::iter::once(format!("MAIL FROM:<{}>", self.sender))
            .chain(recipients.iter().map(|recipient| format!("RCPT TO:<{recipient}>")))
            .chain(["DATA".to_owned()]);
        for command in commands {
            let reply = wire.ask(Some(&command)).await?;
            if !reply.starts_with(['2', '3']) {
                book(Answer::Refused { text: reply });
                return wire.expect(Some("RSET")).await.map(drop);
            }
        }
        let mut mail = format!(
            "From: <{}>\r\nTo: <{}>\r\nSubject: {number}\r\n{FIELD}{number}\r\n\r\n",
            self.sender, recipients[0]
        )
        .into_bytes();
        mail.extend(&body);
        // From here on the daemon may have it, whatever happens to the connection.
        book(Answer::NotSeen);
        mail.extend(b".\r\n");
        wire.stream.write_all(&mail).await?;
        let reply = wire.ask(None).await?;
        if reply.starts_with('2') {
            book(Answer::Acknowledged { text: reply, stamp: (self.stamp)() });
        } else {
            book(Answer::Refused { text: reply });
        }
        Ok(())
    }
}

/// Lines that never start with a dot, and are never the same for two numbers.
fn body(number: u64, length: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(length + 80);
    let mut line = 0u64;
    while body.len() < length {
        let noise = number.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(line * 0x1234_5677);
        body.extend(format!("line {line} of mail {number}: {noise:016x}\r\n").into_bytes());
        line += 1;
    }
    body
}

struct Wire {
    stream: BufReader<TcpStream>,
}

impl Wire {
    fn new(stream: TcpStream) -> Wire {
        Wire { stream: BufReader::new(stream) }
    }

    /// Sends the command, if there is one, and returns the last line of the reply.
    async fn ask(&mut self, command: Option<&str>) -> io::Result<String> {
        if let Some(command) = command {
            self.stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        }
        let reply = tokio::time::timeout(ANSWER_WAIT, async {
            loop {
                let line = line_of(&mut self.stream).await?;
                if line.as_bytes().get(3) != Some(&b'-') {
                    return io::Result::Ok(line);
                }
            }
        });
        reply.await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    async fn expect(&mut self, command: Option<&str>) -> io::Result<String> {
        let reply = self.ask(command).await?;
        if reply.starts_with('2') { Ok(reply) } else { Err(io::Error::other(reply)) }
    }
}

async fn line_of(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = Vec::new();
    (&mut *stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
    if line.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.pop_if(|octet| *octet == b'\r');
    String::from_utf8(line).map_err(io::Error::other)
}

/// How a sink treats the mail of one transaction, asked at the final dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Booked, then `250`.
    Accept,
    /// `451`, and not booked.
    Defer,
    /// Booked, and the connection closed without an answer.
    VanishAfterDot,
}

/// A remote host that accepts mail; it ends with its handle.
pub struct Sink {
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Manners = Arc<dyn Fn(u64) -> Manner + Send + Sync>;

impl Sink {
    /// `manners` is given the count of transactions so far, over all connections.
    pub async fn start(
        ledger: &Ledger,
        address: SocketAddr,
        manners: impl Fn(u64) -> Manner + Send + Sync + 'static,
    ) -> io::Result<Sink> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (ledger, manners): (_, Manners) = (ledger.clone(), Arc::new(manners));
        let count = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(async move {
            // Ends with the handle: the sessions are children of this task.
            let mut sessions = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (ledger, manners, count) = (ledger.clone(), manners.clone(), count.clone());
                sessions.spawn(async move { serve(stream, &ledger, &manners, &count).await });
                while sessions.try_join_next().is_some() {}
            }
        });
        Ok(Sink { address, task })
    }
}

async fn serve(
    stream: TcpStream,
    ledger: &Ledger,
    manners: &Manners,
    count: &AtomicU64,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut sender, mut recipients) = (String::new(), Vec::new());
    answer(&mut stream, "220 sink.test ESMTP").await?;
    loop {
        let line = line_of(&mut stream).await?;
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let path = || line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        match verb.as_str() {
            "EHLO" => {
                let extensions =
                    "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE";
                answer(&mut stream, extensions).await?;
            }
            "MAIL" => {
                (sender, recipients) = (path(), Vec::new());
                answer(&mut stream, "250 2.1.0 ok").await?;
            }
            "RCPT" => {
                recipients.push(path());
                answer(&mut stream, "250 2.1.5 ok").await?;
            }
            "DATA" => {
                answer(&mut stream, "354 go on").await?;
                let mail = mail_of(&mut stream).await?;
                let manner = manners(count.fetch_add(1, Ordering::Relaxed));
                if manner != Manner::Defer {
                    ledger.arrived(&sender, &recipients, &mail);
                }
                match manner {
                    Manner::Accept => answer(&mut stream, "250 2.0.0 taken").await?,
                    Manner::Defer => answer(&mut stream, "451 4.7.1 later").await?,
                    Manner::VanishAfterDot => return Ok(()),
                }
            }
            "QUIT" => return answer(&mut stream, "221 2.0.0 bye").await,
            _ => answer(&mut stream, "250 2.0.0 ok").await?,
        }
    }
}

async fn answer(stream: &mut BufReader<TcpStream>, text: &str) -> io::Result<()> {
    stream.write_all(format!("{text}\r\n").as_bytes()).await
}

/// The octets up to the final dot, dots taken off (RFC 5321 §4.5.2).
async fn mail_of(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut mail = Vec::new();
    while mail.len() < MAIL_BYTES_MAX {
        let start = mail.len();
        (&mut *stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut mail).await?;
        match &mail[start..] {
            b".\r\n" => {
                mail.truncate(start);
                return Ok(mail);
            }
            [b'.', ..] => drop(mail.remove(start)),
            [] => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => {}
        }
    }
    Err(io::ErrorKind::FileTooLarge.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    async fn run(manners: impl Fn(u64) -> Manner + Send + Sync + 'static) -> Reckoning {
        let ledger = Ledger::default();
        let sink = Sink::start(&ledger, LOOPBACK, manners).await.expect("binds");
        let mut client = Submitter::new(&ledger, sink.address, "a@example.test", "b.test");
        client.credential = Some(("user".into(), "password".into()));
        client.run(4, 100).await;
        ledger.reckon()
    }

    #[tokio::test]
    async fn the_books_agree_when_everything_arrives() {
        let reckoning = run(|_| Manner::Accept).await;
        assert_eq!((reckoning.acknowledged, reckoning.arrived), (100, 100));
        assert!(reckoning.lost.is_empty() && reckoning.doubled.is_empty());
        assert!(reckoning.damaged.is_empty() && reckoning.strangers == 0);
    }

    #[tokio::test]
    async fn refused_and_unanswered_mail_is_counted_apart() {
        let reckoning = run(|count| match count % 10 {
            3 => Manner::Defer,
            7 => Manner::VanishAfterDot,
            _ => Manner::Accept,
        })
        .await;
        assert_eq!((reckoning.acknowledged, reckoning.refused), (80, 10));
        assert_eq!(reckoning.arrived_unacknowledged.len(), 10);
        assert!(reckoning.arrived_refused.is_empty() && reckoning.lost.is_empty());
    }

    #[test]
    fn lost_doubled_and_damaged_mail_is_found() {
        let ledger = Ledger::default();
        for number in 0..4u64 {
            let mut books = ledger.books.lock();
            books.bodies.insert(number, body(number, 100));
            books.recipients.insert(number, vec!["x@b.test".into()]);
            let answer = Answer::Acknowledged { text: "250".into(), stamp: number };
            books.answers.insert(number, answer);
        }
        let mail = |number: u64, body: &[u8]| {
            [format!("{FIELD}{number}\r\n\r\n").as_bytes(), body].concat()
        };
        let to = ["x@b.test".to_owned()];
        ledger.arrived("a", &to, &mail(0, &body(0, 100)));
        ledger.arrived("a", &to, &mail(1, &body(0, 100)));
        ledger.arrived("a", &to, &mail(2, &body(2, 100)));
        ledger.arrived("a", &to, &mail(2, &body(2, 100)));
        ledger.arrived("a", &to, &mail(9, b""));
        let reckoning = ledger.reckon();
        assert_eq!(reckoning.lost, [(3, to[0].clone())]);
        assert_eq!(reckoning.damaged, [(1, to[0].clone())]);
        assert_eq!(reckoning.doubled.keys().next(), Some(&(2, to[0].clone())));
        assert_eq!((reckoning.strangers, ledger.acknowledged_by(1).len()), (1, 2));
    }
}
