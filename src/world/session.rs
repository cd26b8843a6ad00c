//! The dialogue of a simulated host with one client, strictly by RFC 5321 and its extensions.
//!
//! Owns:       the state of one session.
//! Promises:   what the client does against the protocol is answered with 5xx or swallowed, and
//!             noted as a fault of the client; a mail is answered `250` only once it is kept.
//! Knows not:  our own client, whose faults it is there to see.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;

use super::body::{self, Ending};
use super::grammar;
use super::manners::{Deed, Manners, Phase, TlsManner};
use super::mx::Host;
use super::sink::{Received, SaidEnvelope};
use super::stream::{Line, Stream};

const ERRORS_MAX: u32 = 20;
/// A chunk that is refused is swallowed up to this size, so that the dialogue goes on.
const CHUNK_BYTES_MAX: u64 = 64 << 20;

/// What a moment of the dialogue came to.
enum Moment {
    AsUsual,
    /// Goes on, with these words instead of the usual ones.
    Words(String),
    /// A refusal was said.
    Refused,
    /// The connection is gone.
    Ended,
    KeepThenEnd(Deed),
}

enum Flow {
    Go,
    End,
}

#[derive(Default)]
struct Transaction {
    said: SaidEnvelope,
    eight_bit: bool,
    smtputf8: bool,
    size: Option<u64>,
    /// BDAT so far.
    chunks: BytesMut,
}

struct Session {
    host: Arc<Host>,
    stream: Stream,
    peer: SocketAddr,
    /// As they were at the latest EHLO.
    manners: Arc<Manners>,
    ehlo: Option<String>,
    tls: Option<String>,
    transaction: Option<Transaction>,
    kept: u64,
    errors: u32,
}

pub(super) async fn hold(host: Arc<Host>, socket: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let connected = host.connected(peer.ip());
    let mut session = Session {
        manners: host.manners(),
        host,
        stream: Stream::new(socket),
        peer,
        ehlo: None,
        tls: None,
        transaction: None,
        kept: 0,
        errors: 0,
    };
    let guard = match connected {
        Ok(guard) => guard,
        Err(reply) => {
            session.say(&reply);
            return session.stream.close().await;
        }
    };
    let held = session.talk().await;
    drop(guard);
    held
}

impl Session {
    async fn talk(&mut self) -> io::Result<()> {
        if let Flow::End = self.greet().await? {
            return Ok(());
        }
        loop {
            let line = match self.stream.line().await? {
                Line::Whole(line) => line,
                Line::Bare => {
                    self.host.fault("a bare CR or LF in a command");
                    self.say("500 5.5.2 Lines end with CR LF");
                    return self.stream.close().await;
                }
                Line::TooLong => {
                    self.host.fault("a command line of more than 4096 octets");
                    self.say("500 5.5.6 Line too long");
                    return self.stream.close().await;
                }
                Line::End => return Ok(()),
            };
            pause(self.manners.pace.command).await;
            if let Flow::End = self.obey(&line).await? {
                return Ok(());
            }
            if self.errors > ERRORS_MAX {
                self.say("421 4.7.0 Too many errors");
                return self.stream.close().await;
            }
        }
    }

    async fn greet(&mut self) -> io::Result<Flow> {
        pause(self.manners.pace.greeting).await;
        if !self.stream.input.is_empty() {
            self.host.fault("the client spoke before the greeting");
        }
        match self.moment(Phase::Connect, &[]).await? {
            Moment::AsUsual => self.say(&format!("220 {} ESMTP ready", self.host.name)),
            Moment::Words(words) => self.say(&words),
            // RFC 5321 §3.1: after a refusal to serve it waits for QUIT.
            Moment::Refused => {}
            Moment::Ended | Moment::KeepThenEnd(_) => return Ok(Flow::End),
        }
        Ok(Flow::Go)
    }

    async fn obey(&mut self, line: &Bytes) -> io::Result<Flow> {
        let Ok(line) = std::str::from_utf8(line) else {
            self.host.fault("a command line that is not UTF-8");
            return self.refuse("500 5.5.2 Not UTF-8");
        };
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        let verb = verb.to_ascii_uppercase();
        self.check_group(&verb);
        match verb.as_str() {
            "EHLO" | "HELO" => self.hello(&verb, argument).await,
            "STARTTLS" => self.start_tls().await,
            "MAIL" => self.mail(argument).await,
            "RCPT" => self.rcpt(argument).await,
            "DATA" => self.data(argument).await,
            "BDAT" => self.chunk(argument).await,
            "RSET" => self.rset().await,
            "NOOP" => self.answer("250 2.0.0 Ok"),
            "VRFY" => self.answer("252 2.1.5 Send it and see"),
            "QUIT" => self.quit().await,
            _ => {
                self.host.fault(&format!("an unknown command: {verb}"));
                self.refuse("502 5.5.1 Unknown command")
            }
        }
    }

    /// RFC 2920 §3.1: who was not told of PIPELINING waits for each answer, and some commands end
    /// a group in any case.
    fn check_group(&self, verb: &str) {
        let ends = ["EHLO", "HELO", "STARTTLS", "DATA", "VRFY", "QUIT", "NOOP"].contains(&verb);
        let told = self.ehlo.is_some() && self.manners.extensions.pipelining;
        if !self.stream.input.is_empty() && verb != "BDAT" && (ends || !told) {
            self.host.fault(&format!("octets after {verb} before its answer"));
        }
    }

    async fn hello(&mut self, verb: &str, name: &str) -> io::Result<Flow> {
        if name.is_empty() || name.contains(' ') {
            self.host.fault("EHLO without a name of one word");
            return self.refuse("501 5.5.4 EHLO needs a name");
        }
        self.transaction = None;
        let words = match self.moment(Phase::Ehlo, &[]).await? {
            Moment::AsUsual => None,
            Moment::Words(words) => Some(words),
            Moment::Refused => return Ok(Flow::Go),
            Moment::Ended | Moment::KeepThenEnd(_) => return Ok(Flow::End),
        };
        self.manners = self.host.manners();
        self.ehlo = Some(name.to_owned());
        let usual = || match verb {
            "EHLO" => self.announcement(),
            _ => format!("250 {}", self.host.name),
        };
        let words = words.unwrap_or_else(usual);
        self.say(&words);
        Ok(Flow::Go)
    }

    fn announcement(&self) -> String {
        let extensions = &self.manners.extensions;
        let mut lines = vec![self.host.name.clone()];
        let mut announce = |told: bool, word: &str| {
            if told {
                lines.push(word.to_owned());
            }
        };
        announce(extensions.pipelining, "PIPELINING");
        announce(extensions.eight_bit, "8BITMIME");
        announce(extensions.smtputf8, "SMTPUTF8");
        announce(extensions.chunking, "CHUNKING");
        announce(extensions.dsn, "DSN");
        announce(extensions.enhanced, "ENHANCEDSTATUSCODES");
        announce(self.manners.tls != TlsManner::Absent && self.tls.is_none(), "STARTTLS");
        if let Some(size) = extensions.size_max {
            lines.push(format!("SIZE {size}"));
        }
        if let Some(recipients) = extensions.recipients_max {
            lines.push(format!("LIMITS RCPTMAX={recipients}"));
        }
        let last = lines.pop().unwrap_or_default();
        let mut text: String = lines.iter().map(|line| format!("250-{line}\n")).collect();
        text.push_str("250 ");
        text.push_str(&last);
        text
    }

    async fn start_tls(&mut self) -> io::Result<Flow> {
        if self.manners.tls == TlsManner::Absent || self.tls.is_some() || self.ehlo.is_none() {
            self.host.fault("STARTTLS where it was not announced");
            return self.refuse("503 5.5.1 STARTTLS is not offered");
        }
        match self.moment(Phase::StartTls, &[]).await? {
            Moment::AsUsual | Moment::Words(_) => {}
            Moment::Refused => return Ok(Flow::Go),
            Moment::Ended | Moment::KeepThenEnd(_) => return Ok(Flow::End),
        }
        self.stream.input.clear();
        self.say("220 2.0.0 Go ahead");
        match self.manners.tls {
            TlsManner::Broken => {
                self.stream.fill().await?;
                self.stream.say(b"this is not a handshake\r\n");
                self.stream.close().await?;
                return Ok(Flow::End);
            }
            TlsManner::Mute => return self.keep_silent().await,
            manner => {
                let config = self.host.server_config(manner)?;
                self.tls = Some(self.stream.secure(config).await?);
            }
        }
        // RFC 3207 §4.2: nothing that was said in the clear holds any longer.
        self.ehlo = None;
        self.transaction = None;
        Ok(Flow::Go)
    }

    async fn mail(&mut self, argument: &str) -> io::Result<Flow> {
        if self.ehlo.is_none() || self.transaction.is_some() {
            self.host.fault("MAIL out of order");
            return self.refuse("503 5.5.1 MAIL is out of order");
        }
        let mut transaction = Transaction::default();
        match grammar::mail(argument, &self.manners.extensions) {
            Ok(mail) => {
                transaction.said.sender = mail.address;
                transaction.said.sender_parameters = mail.parameters;
                transaction.eight_bit = mail.eight_bit;
                transaction.smtputf8 = mail.smtputf8;
                transaction.size = mail.size;
            }
            Err(reply) => {
                self.host.fault(&format!("MAIL {argument}: {reply}"));
                return self.refuse(reply);
            }
        }
        let too_big = transaction.size.zip(self.manners.extensions.size_max);
        if too_big.is_some_and(|(size, size_max)| size > size_max) {
            return self.refuse("552 5.3.4 Too big");
        }
        if let Some(reply) = self.host.throttled(self.peer.ip()) {
            return self.refuse_as(&reply).await;
        }
        let sender = transaction.said.sender.clone();
        let words = match self.moment(Phase::Mail, &[&sender]).await? {
            Moment::AsUsual => "250 2.1.0 Sender ok".to_owned(),
            Moment::Words(words) => words,
            Moment::Refused => return Ok(Flow::Go),
            Moment::Ended | Moment::KeepThenEnd(_) => return Ok(Flow::End),
        };
        self.transaction = Some(transaction);
        self.answer(&words)
    }

    async fn rcpt(&mut self, argument: &str) -> io::Result<Flow> {
        let Some(transaction) = &self.transaction else {
            return self.refuse("503 5.5.1 MAIL comes first");
        };
        let (sender, utf8) = (transaction.said.sender.clone(), transaction.smtputf8);
        let taken = transaction.said.recipients.len();
        let (recipient, parameters) = match grammar::rcpt(argument, utf8, &self.manners.extensions)
        {
            Ok(recipient) => recipient,
            Err(reply) => {
                self.host.fault(&format!("RCPT {argument}: {reply}"));
                return self.refuse(reply);
            }
        };
        if self.manners.extensions.recipients_max.is_some_and(|most| taken >= most) {
            return self.refuse("452 4.5.3 Too many recipients");
        }
        let words = match self.moment(Phase::Rcpt, &[&recipient]).await? {
            Moment::AsUsual => "250 2.1.5 Recipient ok".to_owned(),
            Moment::Words(words) => words,
            Moment::Refused => return Ok(Flow::Go),
            Moment::Ended | Moment::KeepThenEnd(_) => return Ok(Flow::End),
        };
        if let Some(reply) = self.host.refusal(self.peer.ip(), &sender, &recipient) {
            return self.refuse_as(&reply).await;
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.said.recipients.push(recipient);
            transaction.said.recipient_parameters.push(parameters);
        }
        self.answer(&words)
    }

    async fn data(&mut self, argument: &str) -> io::Result<Flow> {
        if !argument.is_empty() {
            self.host.fault("DATA with an argument");
            return self.refuse("501 5.5.4 DATA takes no argument");
        }
        let Some(transaction) = self.transaction.take() else {
            return self.refuse("503 5.5.1 MAIL comes first");
        };
        if !transaction.chunks.is_empty() {
            self.host.fault("DATA after BDAT");
            return self.refuse("503 5.5.1 DATA after BDAT");
        }
        let recipients: Vec<&str> =
            transaction.said.recipients.iter().map(String::as_str).collect();
        match self.moment(Phase::Data, &recipients).await? {
            Moment::AsUsual if recipients.is_empty() => {
                self.transaction = Some(transaction);
                return self.refuse("554 5.5.1 No valid recipients");
            }
            Moment::AsUsual => self.say("354 End with a dot alone"),
            // A host that says 354 though it took nobody must still get its dot (RFC 2920 §3.1).
            Moment::Words(words) => self.say(&words),
            Moment::Refused => return Ok(Flow::Go),
            Moment::Ended | Moment::KeepThenEnd(_) => return Ok(Flow::End),
        }
        self.receive(transaction).await
    }

    /// After 354: the mail up to its dot.
    async fn receive(&mut self, transaction: Transaction) -> io::Result<Flow> {
        if !self.stream.fill().await? {
            return Ok(Flow::End);
        }
        let recipients: Vec<&str> =
            transaction.said.recipients.iter().map(String::as_str).collect();
        let early = match self.moment(Phase::Body, &recipients).await? {
            Moment::Refused => true,
            Moment::Ended | Moment::KeepThenEnd(_) => return Ok(Flow::End),
            Moment::AsUsual | Moment::Words(_) => false,
        };
        self.stream.flush().await?;
        let ending = body::read(&mut self.stream, self.manners.extensions.size_max).await?;
        if early {
            return Ok(Flow::Go);
        }
        match ending {
            Ending::Whole(body) => self.finish(transaction, body).await,
            Ending::TooBig => self.refuse("552 5.3.4 Too big"),
            Ending::Bare => {
                self.host.fault("a bare CR or LF in a mail");
                self.refuse("554 5.6.0 Lines end with CR LF")
            }
            Ending::SingleDot => {
                self.host.fault("a line of a mail starts with a dot that is not doubled");
                self.refuse("554 5.6.0 A dot was not doubled")
            }
            Ending::Closed => Ok(Flow::End),
        }
    }

    async fn chunk(&mut self, argument: &str) -> io::Result<Flow> {
        let Some((size, last)) = grammar::chunk(argument) else {
            self.host.fault(&format!("BDAT {argument}"));
            self.say("501 5.5.4 BDAT needs a size");
            self.stream.close().await?;
            return Ok(Flow::End);
        };
        if size > CHUNK_BYTES_MAX {
            self.say("421 4.3.0 Such a chunk is not even swallowed");
            self.stream.close().await?;
            return Ok(Flow::End);
        }
        let Some(chunk) = body::take(&mut self.stream, size as usize).await? else {
            return Ok(Flow::End);
        };
        if !self.manners.extensions.chunking {
            self.host.fault("BDAT where CHUNKING was not announced");
            return self.refuse("502 5.5.1 Unknown command");
        }
        let Some(mut transaction) = self.transaction.take() else {
            return self.refuse("503 5.5.1 MAIL comes first");
        };
        if transaction.said.recipients.is_empty() {
            return self.refuse("554 5.5.1 No valid recipients");
        }
        transaction.chunks.extend_from_slice(&chunk);
        let length = transaction.chunks.len() as u64;
        if self.manners.extensions.size_max.is_some_and(|most| length > most) {
            return self.refuse("552 5.3.4 Too big");
        }
        if !last {
            self.transaction = Some(transaction);
            return self.answer(&format!("250 2.0.0 {size} octets"));
        }
        let body = std::mem::take(&mut transaction.chunks).freeze();
        if body::has_bare_end(&body) {
            self.host.fault("a bare CR or LF in a mail");
            return self.refuse("554 5.6.0 Lines end with CR LF");
        }
        self.finish(transaction, body).await
    }

    /// The end of DATA or of the last chunk: kept or refused, and the transaction is over.
    async fn finish(&mut self, transaction: Transaction, body: Bytes) -> io::Result<Flow> {
        if transaction.said.recipients.is_empty() {
            if !body.is_empty() {
                self.host.fault("a mail was sent though nobody was to get it");
            }
            return self.refuse("554 5.5.1 No valid recipients");
        }
        self.check_promises(&transaction, &body);
        pause(self.manners.pace.data_end).await;
        let recipients: Vec<&str> =
            transaction.said.recipients.iter().map(String::as_str).collect();
        let moment = self.moment(Phase::DataEnd, &recipients).await?;
        if matches!(moment, Moment::Refused) {
            return Ok(Flow::Go);
        }
        if matches!(moment, Moment::Ended) {
            return Ok(Flow::End);
        }
        let number = match self.keep(transaction.said, body).await {
            Ok(number) => number,
            Err(error) => {
                tracing::warn!(host = self.host.name, reason = %error, "a mail was not kept");
                return self.refuse("451 4.3.0 The sink is out of order");
            }
        };
        match moment {
            Moment::Words(words) => self.answer(&words),
            Moment::KeepThenEnd(Deed::KeepThenReset) => {
                self.stream.reset()?;
                Ok(Flow::End)
            }
            Moment::KeepThenEnd(_) => {
                self.stream.abandon();
                Ok(Flow::End)
            }
            _ => self.answer(&format!("250 2.0.0 Kept as {number}")),
        }
    }

    /// What was declared at MAIL must be true of the mail.
    fn check_promises(&self, transaction: &Transaction, body: &Bytes) {
        let extensions = &self.manners.extensions;
        if extensions.eight_bit && !transaction.eight_bit && !body.is_ascii() {
            self.host.fault("octets above 127 without BODY=8BITMIME");
        }
        if transaction.size.is_some_and(|size| size < body.len() as u64) {
            self.host.fault("a mail larger than its SIZE");
        }
    }

    async fn keep(&mut self, envelope: SaidEnvelope, body: Bytes) -> io::Result<u64> {
        self.kept += 1;
        let mail = Received {
            number: 0,
            envelope,
            peer: self.peer.to_string(),
            ehlo: self.ehlo.clone().unwrap_or_default(),
            tls: self.tls.clone(),
            time: moment_text(self.host.common.clock.wall().0),
            host: self.host.name.clone(),
            address: self.host.address.to_string(),
            of_connection: self.kept,
            body,
        };
        self.host.common.sink.keep(mail).await
    }

    async fn rset(&mut self) -> io::Result<Flow> {
        self.transaction = None;
        match self.moment(Phase::Reset, &[]).await? {
            Moment::AsUsual => self.answer("250 2.0.0 Ok"),
            Moment::Words(words) => self.answer(&words),
            Moment::Refused => Ok(Flow::Go),
            Moment::Ended | Moment::KeepThenEnd(_) => Ok(Flow::End),
        }
    }

    async fn quit(&mut self) -> io::Result<Flow> {
        match self.moment(Phase::Quit, &[]).await? {
            Moment::Ended => return Ok(Flow::End),
            Moment::Words(words) => self.say(&words),
            Moment::Refused => {}
            Moment::AsUsual | Moment::KeepThenEnd(_) => self.say("221 2.0.0 Bye"),
        }
        self.stream.close().await?;
        Ok(Flow::End)
    }

    /// Does what the host's rules say for this moment.
    async fn moment(&mut self, phase: Phase, addresses: &[&str]) -> io::Result<Moment> {
        for deed in self.host.deeds(phase, addresses) {
            match deed {
                Deed::Pause(span) => pause(span).await,
                Deed::Reply(reply) if reply.starts_with(['2', '3']) => {
                    return Ok(Moment::Words(reply));
                }
                Deed::Reply(reply) => return self.reply(&reply).await,
                Deed::ReplyThenClose(reply) => {
                    self.say(&reply);
                    self.stream.close().await?;
                    return Ok(Moment::Ended);
                }
                Deed::Raw(octets) => {
                    self.stream.say(&octets);
                    return Ok(Moment::Refused);
                }
                Deed::Close => {
                    self.stream.flush().await?;
                    self.stream.abandon();
                    return Ok(Moment::Ended);
                }
                Deed::Reset => {
                    self.stream.flush().await?;
                    self.stream.reset()?;
                    return Ok(Moment::Ended);
                }
                Deed::Silence => {
                    self.keep_silent().await?;
                    return Ok(Moment::Ended);
                }
                Deed::KeepThenClose | Deed::KeepThenReset => return Ok(Moment::KeepThenEnd(deed)),
            }
        }
        Ok(Moment::AsUsual)
    }

    async fn reply(&mut self, reply: &str) -> io::Result<Moment> {
        self.say(reply);
        if !reply.starts_with("421") {
            return Ok(Moment::Refused);
        }
        self.stream.close().await?;
        Ok(Moment::Ended)
    }

    /// Reads and answers nothing until the client goes away.
    async fn keep_silent(&mut self) -> io::Result<Flow> {
        while self.stream.fill().await? {
            self.stream.input.clear();
        }
        Ok(Flow::End)
    }

    async fn refuse_as(&mut self, reply: &str) -> io::Result<Flow> {
        match self.reply(reply).await? {
            Moment::Ended => Ok(Flow::End),
            _ => Ok(Flow::Go),
        }
    }

    fn refuse(&mut self, reply: &str) -> io::Result<Flow> {
        self.errors += 1;
        self.answer(reply)
    }

    fn answer(&mut self, reply: &str) -> io::Result<Flow> {
        self.say(reply);
        Ok(Flow::Go)
    }

    /// One reply, its lines separated by `\n`; without enhanced codes where none are announced.
    fn say(&mut self, reply: &str) {
        for line in reply.split('\n') {
            let line = if self.manners.extensions.enhanced {
                line.to_owned()
            } else {
                grammar::without_enhanced(line)
            };
            self.stream.say(line.as_bytes());
            self.stream.say(b"\r\n");
        }
    }
}

async fn pause(span: std::time::Duration) {
    if !span.is_zero() {
        tokio::time::sleep(span).await;
    }
}

/// RFC 3339 in UTC with microseconds.
fn moment_text(microseconds: i64) -> String {
    match jiff::Timestamp::from_microsecond(microseconds) {
        Ok(moment) => format!("{moment:.6}"),
        Err(_) => String::new(),
    }
}
