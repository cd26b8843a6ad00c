//! One mail of a session: MAIL, RCPT, DATA or BDAT, and whether what was declared is true.
//!
//! Owns:       the state between MAIL and the end of the mail.
//! Promises:   every end of a mail, kept or refused, ends its transaction; a mail is answered
//!             `250` only once it is kept.
//! Knows not:  greeting, TLS and the other commands (`session`).

use std::io;

use bytes::{Bytes, BytesMut};

use super::body::{self, Ending};
use super::grammar;
use super::manners::{Deed, Phase};
use super::session::{Flow, Moment, Session, pause};
use super::sink::{Received, SaidEnvelope};

/// A chunk that is refused is swallowed up to this size, so that the dialogue goes on.
const CHUNK_BYTES_MAX: u64 = 64 << 20;

#[derive(Default)]
pub(super) struct Transaction {
    said: SaidEnvelope,
    eight_bit: bool,
    smtputf8: bool,
    size: Option<u64>,
    /// BDAT so far.
    chunks: BytesMut,
}

impl Session {
    pub(super) async fn mail(&mut self, argument: &str) -> io::Result<Flow> {
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

    pub(super) async fn rcpt(&mut self, argument: &str) -> io::Result<Flow> {
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

    pub(super) async fn data(&mut self, argument: &str) -> io::Result<Flow> {
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

    pub(super) async fn chunk(&mut self, argument: &str) -> io::Result<Flow> {
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
        self.host.common.keep(mail).await
    }
}

/// RFC 3339 in UTC with microseconds.
fn moment_text(microseconds: i64) -> String {
    match jiff::Timestamp::from_microsecond(microseconds) {
        Ok(moment) => format!("{moment:.6}"),
        Err(_) => String::new(),
    }
}
