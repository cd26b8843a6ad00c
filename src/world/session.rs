//! The dialogue of a simulated host with one client, strictly by RFC 5321 and its extensions.
//!
//! Owns:       the state of one session.
//! Promises:   what the client does against the protocol is answered with 5xx or swallowed, and
//!             noted as a fault of the client; a mail is answered `250` only once it is kept.
//! Knows not:  our own client, whose faults it is there to see.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpStream;

use super::grammar;
use super::manners::{Deed, Manners, Phase, TlsManner};
use super::mx::{Connected, Host};
use super::stream::{Line, Stream};
use super::transaction::Transaction;

const ERRORS_MAX: u32 = 20;

/// What a moment of the dialogue came to.
pub(super) enum Moment {
    AsUsual,
    /// Goes on, with these words instead of the usual ones.
    Words(String),
    /// A refusal was said.
    Refused,
    /// The connection is gone.
    Ended,
    KeepThenEnd(Deed),
}

pub(super) enum Flow {
    Go,
    End,
}

pub(super) struct Session {
    pub(super) host: Arc<Host>,
    pub(super) stream: Stream,
    pub(super) peer: SocketAddr,
    /// As they were at the latest EHLO.
    pub(super) manners: Arc<Manners>,
    pub(super) ehlo: Option<String>,
    pub(super) tls: Option<String>,
    pub(super) transaction: Option<Transaction>,
    pub(super) kept: u64,
    errors: u32,
    /// Its place among the connections of its peer.
    place: Option<Connected>,
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
        place: None,
    };
    match connected {
        Ok(place) => session.place = Some(place),
        Err(reply) => {
            session.say(&reply);
            return session.stream.close().await;
        }
    }
    session.talk().await
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
        // Before the answer: with it the client may open its next connection.
        self.place = None;
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
    pub(super) async fn moment(&mut self, phase: Phase, addresses: &[&str]) -> io::Result<Moment> {
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

    pub(super) async fn refuse_as(&mut self, reply: &str) -> io::Result<Flow> {
        match self.reply(reply).await? {
            Moment::Ended => Ok(Flow::End),
            _ => Ok(Flow::Go),
        }
    }

    pub(super) fn refuse(&mut self, reply: &str) -> io::Result<Flow> {
        self.errors += 1;
        self.answer(reply)
    }

    pub(super) fn answer(&mut self, reply: &str) -> io::Result<Flow> {
        self.say(reply);
        Ok(Flow::Go)
    }

    /// One reply, its lines separated by `\n`; without enhanced codes where none are announced.
    pub(super) fn say(&mut self, reply: &str) {
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

pub(super) async fn pause(span: std::time::Duration) {
    if !span.is_zero() {
        tokio::time::sleep(span).await;
    }
}
