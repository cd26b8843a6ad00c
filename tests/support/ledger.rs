//! Books over mail: what a client was promised on one side, what a sink got on the other.
//!
//! A `Submitter` sends numbered mails to a submission port and books each answer; a `Sink` is a
//! remote host that books each mail before it answers `250`. `Ledger::reckon` compares the two:
//! nothing acknowledged may be missing, nothing may be damaged, and what came twice is listed with
//! its times, so that a story with kills can say which doubles were allowed.
//!
//! The number travels in the field `X-Ledger`, and what is compared is the body behind the header
//! section, since every host on the way adds fields. A recipient whose name begins with `refused`
//! is refused by every sink, and the debt to him is paid by a report to the sender (RFC 3464).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
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

/// A row of the daemon's own ledger as a host sees it: its message's id, and the recipient.
pub type Delivered = (i64, String);

#[derive(Clone, Debug)]
pub struct Arrival {
    pub at: Instant,
    /// The message's id in the daemon's Received field.
    pub message: Option<i64>,
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

/// What a `250` stands for.
pub struct Promise {
    /// The message's id, as the answer named it.
    pub message: String,
    pub recipients: usize,
    pub body: Vec<u8>,
}

#[derive(Default)]
struct Books {
    bodies: BTreeMap<u64, Vec<u8>>,
    recipients: BTreeMap<u64, Vec<String>>,
    answers: BTreeMap<u64, Answer>,
    arrivals: BTreeMap<Debt, Vec<Arrival>>,
    /// The lives of the daemon in which each row's mail arrived, in order.
    lives: BTreeMap<Delivered, Vec<usize>>,
    life: usize,
    /// Refusals that a report told the sender of.
    reported: BTreeSet<Debt>,
    /// How sessions ended that were greeted and then got neither a reply nor a 421.
    cut_off: Vec<String>,
    /// Mails that bear no number of ours, or one that was never given.
    strangers: usize,
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
    /// Numbers handed in again under one key, of which the daemon made two messages: faults.
    pub split: Vec<u64>,
    pub refused: usize,
    /// Debts to refused recipients, paid by a report.
    pub reported: usize,
    /// Handed in, and no answer was seen in the end.
    pub unanswered: usize,
    /// How sessions ended that were greeted and then got neither a reply nor a 421.
    pub cut_off: Vec<String>,
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

    /// What arrives from now on comes from the daemon's next life. Call it between two lives, when
    /// all sinks are quiet.
    pub fn next_life(&self) {
        self.books.lock().life += 1;
    }

    /// In which lives the mail of each row arrived, reports included.
    pub fn lives(&self) -> BTreeMap<Delivered, Vec<usize>> {
        self.books.lock().lives.clone()
    }

    /// The mails acknowledged with a stamp of at most `stamp`.
    pub fn promises_by(&self, stamp: u64) -> Vec<Promise> {
        let books = self.books.lock();
        let by = |(number, answer): (&u64, &Answer)| match answer {
            Answer::Acknowledged { text, stamp: at } if *at <= stamp => Some(Promise {
                message: text.rsplit(' ').next().unwrap_or_default().to_owned(),
                recipients: books.recipients[number].len(),
                body: books.bodies[number].clone(),
            }),
            _ => None,
        };
        books.answers.iter().filter_map(by).collect()
    }

    pub fn reckon(&self) -> Reckoning {
        let books = self.books.lock();
        let mut reckoning = Reckoning {
            strangers: books.strangers,
            cut_off: books.cut_off.clone(),
            ..Reckoning::default()
        };
        for (number, answer) in &books.answers {
            reckoning.unanswered += usize::from(*answer == Answer::NotSeen);
            let mut messages = BTreeSet::new();
            for recipient in &books.recipients[number] {
                let debt = (*number, recipient.clone());
                let arrivals = books.arrivals.get(&debt).map_or(&[][..], Vec::as_slice);
                messages.extend(arrivals.iter().filter_map(|arrival| arrival.message));
                let reported = books.reported.contains(&debt);
                reckoning.count(debt, answer, arrivals, reported);
            }
            if messages.len() > 1 {
                reckoning.split.push(*number);
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
        let books = &mut *self.books.lock();
        let message = message_of(mail);
        for (message, recipient) in message.into_iter().flat_map(|message| {
            recipients.iter().map(move |recipient| (message, recipient.clone()))
        }) {
            books.lives.entry((message, recipient)).or_default().push(books.life);
        }
        let header = header_of(mail);
        let number = number_in(header).filter(|number| books.bodies.contains_key(number));
        let Some(number) = number else {
            let reported = if sender.is_empty() { refusals_in(mail) } else { Vec::new() };
            books.strangers += usize::from(reported.is_empty());
            books.reported.extend(reported);
            return;
        };
        let whole = body_of(mail) == books.bodies[&number];
        for recipient in recipients {
            let arrival = Arrival { at: Instant::now(), message, sender: sender.to_owned(), whole };
            books.arrivals.entry((number, recipient.clone())).or_default().push(arrival);
        }
    }
}

pub fn is_refused(recipient: &str) -> bool {
    recipient.starts_with("refused")
}

impl Reckoning {
    fn count(&mut self, debt: Debt, answer: &Answer, arrivals: &[Arrival], reported: bool) {
        self.reported += usize::from(reported);
        match answer {
            Answer::Acknowledged { .. } => self.acknowledged += 1,
            Answer::Refused { .. } => self.refused += 1,
            Answer::NotSeen | Answer::NotSent => {}
        }
        if arrivals.is_empty() {
            if matches!(answer, Answer::Acknowledged { .. }) && !reported {
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

fn header_of(mail: &[u8]) -> &[u8] {
    &mail[..memchr::memmem::find(mail, b"\r\n\r\n").unwrap_or(mail.len())]
}

fn number_in(text: &[u8]) -> Option<u64> {
    number_after(text, FIELD)
}

fn number_after(text: &[u8], words: &str) -> Option<u64> {
    let at = memchr::memmem::find(text, words.as_bytes())? + words.len();
    let digits: String =
        text[at..].iter().take_while(|b| b.is_ascii_digit()).map(|b| *b as char).collect();
    digits.parse().ok()
}

/// The message's id: in our Received field, or in a report's Message-ID. Mail of the first campaign
/// names its delivery instead.
fn message_of(mail: &[u8]) -> Option<i64> {
    let header = header_of(mail);
    let id = number_after(header, "SMTP id ").or_else(|| number_after(header, "<report."));
    let id = id.or_else(|| number_after(header, "Message-ID: <1."));
    id.map(u64::cast_signed)
}

/// What a report tells of: the number in the returned header section, and whom it failed for.
fn refusals_in(report: &[u8]) -> Vec<Debt> {
    let Some(number) = number_in(report) else { return Vec::new() };
    let text = String::from_utf8_lossy(report);
    let failed = text.lines().filter_map(|line| line.strip_prefix("Final-Recipient: rfc822;"));
    failed.map(|recipient| (number, recipient.trim().to_owned())).collect()
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
    /// One mail of so many has a body of so many octets instead.
    pub long_bodies: Option<(u64, usize)>,
    /// Each mail bears an idempotency key, and is handed in again when no answer was seen.
    pub keyed: bool,
    /// Between two mails of a session.
    pub pause: Duration,
    /// Asked after each acknowledgement; `Recording::written` makes a power cut comparable.
    pub stamp: Arc<dyn Fn() -> u64 + Send + Sync>,
    pub stop: Arc<AtomicBool>,
    /// To be handed in again under the same key: no answer was seen.
    again: Arc<Mutex<Vec<u64>>>,
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
            long_bodies: None,
            keyed: false,
            pause: Duration::ZERO,
            stamp: Arc::new(|| 0),
            stop: Arc::default(),
            again: Arc::default(),
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

    /// A number for the next mail: one that is handed in again, or a new one.
    fn next_number(&self, left: &AtomicU64) -> Option<u64> {
        if let Some(number) = self.again.lock().pop() {
            return Some(number);
        }
        let one_less = |left: u64| left.checked_sub(1);
        let stopped = self.stop.load(Ordering::Relaxed);
        if stopped || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err() {
            return None;
        }
        Some(self.ledger.next.fetch_add(1, Ordering::Relaxed))
    }

    fn is_done(&self, left: &AtomicU64) -> bool {
        let stopped = self.stop.load(Ordering::Relaxed) || left.load(Ordering::Relaxed) == 0;
        stopped && self.again.lock().is_empty()
    }

    async fn session_after_session(&self, left: &AtomicU64) {
        while !self.is_done(left) {
            if self.session(left).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn session(&self, left: &AtomicU64) -> io::Result<()> {
        let mut wire = Wire::new(TcpStream::connect(self.server).await?);
        let ended = self.talk(&mut wire, left).await;
        // Before the greeting it may have stood in the backlog, where nobody can answer it.
        if let (Err(error), true, false) = (&ended, wire.was_greeted, wire.was_closed_in_words) {
            self.ledger.books.lock().cut_off.push(error.to_string());
        }
        ended
    }

    async fn talk(&self, wire: &mut Wire, left: &AtomicU64) -> io::Result<()> {
        wire.expect(None).await?;
        wire.expect(Some("EHLO client.test")).await?;
        if let Some((user, password)) = &self.credential {
            let secret = base64::prelude::BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
            wire.expect(Some(&format!("AUTH PLAIN {secret}"))).await?;
        }
        while let Some(number) = self.next_number(left) {
            let booked = Booked { submitter: self, number };
            self.submit(wire, number).await?;
            drop(booked);
            tokio::time::sleep(self.pause).await;
        }
        wire.expect(Some("QUIT")).await.map(drop)
    }

    /// One mail, booked whatever becomes of it.
    async fn submit(&self, wire: &mut Wire, number: u64) -> io::Result<()> {
        let recipients = (self.recipients)(number);
        let body = body(number, self.body_bytes_of(number));
        // What an earlier try of it had left open stays open, whatever is refused now.
        let is_open = {
            let mut books = self.ledger.books.lock();
            books.bodies.insert(number, body.clone());
            books.recipients.insert(number, recipients.clone());
            *books.answers.entry(number).or_insert(Answer::NotSent) == Answer::NotSeen
        };
        let commands = std::iter::once(format!("MAIL FROM:<{}>", self.sender))
            .chain(recipients.iter().map(|recipient| format!("RCPT TO:<{recipient}>")))
            .chain(["DATA".to_owned()]);
        for command in commands {
            let reply = wire.ask(Some(&command)).await?;
            if !reply.starts_with(['2', '3']) {
                if !is_open {
                    self.book(number, Answer::Refused { text: reply });
                }
                return wire.expect(Some("RSET")).await.map(drop);
            }
        }
        let mut mail = format!(
            "From: <{}>\r\nTo: <{}>\r\nSubject: {number}\r\n{FIELD}{number}\r\n",
            self.sender, recipients[0]
        );
        if self.keyed {
            mail.push_str(&format!("X-Postroad-Idempotency-Key: ledger-{number}\r\n"));
        }
        let mut mail = format!("{mail}\r\n").into_bytes();
        mail.extend(&body);
        // From here on the daemon may have it, whatever happens to the connection.
        self.book(number, Answer::NotSeen);
        mail.extend(b".\r\n");
        let sent = wire.stream.write_all(&mail).await;
        let reply = wire.ask(None).await?;
        sent?;
        if reply.starts_with('2') {
            self.book(number, Answer::Acknowledged { text: reply, stamp: (self.stamp)() });
        } else if !is_open {
            self.book(number, Answer::Refused { text: reply });
        }
        Ok(())
    }

    fn body_bytes_of(&self, number: u64) -> usize {
        match self.long_bodies {
            Some((every, octets)) if number.is_multiple_of(every) => octets,
            _ => self.body_bytes,
        }
    }

    fn book(&self, number: u64, answer: Answer) {
        self.ledger.books.lock().answers.insert(number, answer);
    }
}

/// A mail under way: one with a key comes again when its answer was not seen.
struct Booked<'a> {
    submitter: &'a Submitter,
    number: u64,
}

impl Drop for Booked<'_> {
    fn drop(&mut self) {
        let submitter = self.submitter;
        let answer = submitter.ledger.books.lock().answers.get(&self.number).cloned();
        if submitter.keyed && answer == Some(Answer::NotSeen) {
            submitter.again.lock().push(self.number);
        }
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
    was_greeted: bool,
    /// The last reply was a 421: the server said that it would close.
    was_closed_in_words: bool,
}

impl Wire {
    fn new(stream: TcpStream) -> Wire {
        Wire { stream: BufReader::new(stream), was_greeted: false, was_closed_in_words: false }
    }

    /// Sends the command, if there is one, and returns the last line of the reply. A server that
    /// has closed meanwhile may have said why: that is read all the same.
    async fn ask(&mut self, command: Option<&str>) -> io::Result<String> {
        let sent = match command {
            Some(command) => self.stream.write_all(format!("{command}\r\n").as_bytes()).await,
            None => Ok(()),
        };
        let reply = tokio::time::timeout(ANSWER_WAIT, async {
            loop {
                let line = line_of(&mut self.stream).await?;
                if line.as_bytes().get(3) != Some(&b'-') {
                    return io::Result::Ok(line);
                }
            }
        });
        let reply = reply.await.map_err(|_| io::ErrorKind::TimedOut)??;
        self.was_greeted = true;
        if reply.starts_with("421") {
            self.was_closed_in_words = true;
            return Err(io::Error::other(reply));
        }
        sent.map(|()| reply)
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

/// What a sink does with all that comes.
#[derive(Clone)]
pub struct Habits {
    /// Given the count of transactions so far, over all connections.
    pub transaction: Arc<dyn Fn(u64) -> Manner + Send + Sync>,
    /// Every so many recipients one is deferred by a `451`; 0 is never.
    pub recipients_deferred_every: u64,
    /// Between the booking of a mail and the answer.
    pub delay: Duration,
}

/// A remote host that accepts mail; it ends with its handle.
pub struct Sink {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    ledger: Ledger,
    habits: Habits,
    transactions: AtomicU64,
    recipients: AtomicU64,
    sessions: AtomicUsize,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sink {
    /// `manners` is given the count of transactions so far, over all connections.
    pub async fn start(
        ledger: &Ledger,
        address: SocketAddr,
        manners: impl Fn(u64) -> Manner + Send + Sync + 'static,
    ) -> io::Result<Sink> {
        let transaction = Arc::new(manners);
        let habits = Habits { transaction, recipients_deferred_every: 0, delay: Duration::ZERO };
        Sink::with(ledger, address, habits).await
    }

    pub async fn with(ledger: &Ledger, address: SocketAddr, habits: Habits) -> io::Result<Sink> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            ledger: ledger.clone(),
            habits,
            transactions: AtomicU64::new(0),
            recipients: AtomicU64::new(0),
            sessions: AtomicUsize::new(0),
        });
        let task = tokio::spawn(accept(listener, shared.clone()));
        Ok(Sink { address, shared, task })
    }

    /// Returns once no session is open: all that was sent is booked.
    pub async fn quiet(&self) {
        while self.shared.sessions.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Ends with the handle: the sessions are children of this task.
    let mut sessions = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        shared.sessions.fetch_add(1, Ordering::AcqRel);
        sessions.spawn(async move {
            let ended = serve(stream, &shared).await;
            shared.sessions.fetch_sub(1, Ordering::AcqRel);
            ended
        });
        while sessions.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
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
            "RCPT" => match shared.about(&path()) {
                "250" => {
                    recipients.push(path());
                    answer(&mut stream, "250 2.1.5 ok").await?;
                }
                words => answer(&mut stream, words).await?,
            },
            "DATA" if recipients.is_empty() => {
                answer(&mut stream, "554 5.5.1 no recipients").await?;
            }
            "DATA" => {
                answer(&mut stream, "354 go on").await?;
                let mail = mail_of(&mut stream).await?;
                if !shared.take(&mut stream, &sender, &recipients, &mail).await? {
                    return Ok(());
                }
            }
            "QUIT" => return answer(&mut stream, "221 2.0.0 bye").await,
            _ => answer(&mut stream, "250 2.0.0 ok").await?,
        }
    }
}

impl Shared {
    fn about(&self, recipient: &str) -> &'static str {
        let count = self.recipients.fetch_add(1, Ordering::Relaxed) + 1;
        match self.habits.recipients_deferred_every {
            _ if is_refused(recipient) => "550 5.1.1 no such user",
            every if every > 0 && count.is_multiple_of(every) => "451 4.2.1 not now",
            _ => "250",
        }
    }

    /// Books and answers one mail; false when the connection is to end.
    async fn take(
        &self,
        stream: &mut BufReader<TcpStream>,
        sender: &str,
        recipients: &[String],
        mail: &[u8],
    ) -> io::Result<bool> {
        let count = self.transactions.fetch_add(1, Ordering::Relaxed);
        let manner = (self.habits.transaction)(count);
        if manner != Manner::Defer {
            self.ledger.arrived(sender, recipients, mail);
        }
        tokio::time::sleep(self.habits.delay).await;
        match manner {
            Manner::Accept => answer(stream, "250 2.0.0 taken").await?,
            Manner::Defer => answer(stream, "451 4.7.1 later").await?,
            Manner::VanishAfterDot => return Ok(false),
        }
        Ok(true)
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
