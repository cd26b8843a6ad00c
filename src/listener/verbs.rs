//! What each command does to a session.

use std::fmt::Write;

use super::body::{SWALLOW_BYTES_MAX, TOO_BIG};
use super::sasl::Sasl;
use super::session::{Phase, Session, Transaction};
use crate::model::{Envelope, Recipient};
use crate::wire::command::{Command, CommandError, MailFrom, Mechanism, RcptTo};
use crate::wire::data::{ChunkDecoder, DataDecoder};

const MAIL_FIRST: &str = "503 5.5.1 Say MAIL first";
const NO_RECIPIENTS: &str = "554 5.5.1 No valid recipients";

impl Session {
    pub(super) fn answer(&mut self, command: Command<'_>) {
        match command {
            Command::Ehlo(name) => self.hello(name, true),
            Command::Helo(name) => self.hello(name, false),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(rcpt) => self.rcpt(rcpt),
            Command::Data => self.data(),
            Command::Bdat { octets, last } => self.bdat(octets, last),
            Command::Rset => {
                self.transaction = None;
                self.reply("250 2.0.0 ok");
            }
            Command::Noop => self.reply("250 2.0.0 ok"),
            Command::Quit => self.say_goodbye(),
            // RFC 5321 §7.3: an answer that tells nothing, and changes nothing (A6).
            Command::Vrfy => self.reply("252 2.0.0 Send the mail and see"),
            Command::Help => {
                self.reply("214 2.0.0 EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY AUTH STARTTLS QUIT");
            }
            Command::Auth { mechanism, initial } => self.auth(mechanism, initial),
            Command::StartTls => self.start_tls(false),
        }
    }

    fn hello(&mut self, name: &str, extended: bool) {
        self.transaction = None;
        self.ehlo = Some(name.to_owned());
        self.extended = extended;
        if !extended {
            let reply = format!("250 {}", self.rules.host_name);
            return self.reply(&reply);
        }
        let mut text = format!("250-{}\r\n250-PIPELINING\r\n", self.rules.host_name);
        if self.tls.is_none() {
            text.push_str("250-STARTTLS\r\n");
        } else if self.role.identity_required {
            text.push_str("250-AUTH PLAIN LOGIN\r\n");
        }
        // Writing into a String cannot fail.
        write!(text, "250-SIZE {}\r\n", self.rules.message_bytes_max).unwrap_or_default();
        text.push_str("250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250-DSN\r\n");
        text.push_str("250 ENHANCEDSTATUSCODES");
        self.reply(&text);
    }

    fn mail(&mut self, mail: MailFrom<'_>) {
        if self.ehlo.is_none() {
            return self.reply("503 5.5.1 Say EHLO first");
        }
        if self.transaction.is_some() {
            return self.reply("503 5.5.1 There is a sender already; RSET forgets it");
        }
        if self.role.identity_required && self.identity().is_none() {
            return self.reply(match self.tls {
                Some(_) => "530 5.7.0 Authentication required",
                None => "530 5.7.0 Say STARTTLS first, then AUTH",
            });
        }
        if mail.size.is_some_and(|octets| octets > self.rules.message_bytes_max) {
            return self.reply(TOO_BIG);
        }
        let envelope = Envelope {
            sender: mail.sender,
            recipients: Vec::new(),
            eight_bit: mail.eight_bit,
            smtputf8: mail.smtputf8,
            dsn_return: mail.dsn_return,
            dsn_envelope_id: mail.envelope_id.map(str::to_owned),
        };
        let transaction = Transaction { envelope, declared: mail.size, chunks: None };
        self.phase = Phase::Sender(Box::new(transaction));
    }

    fn rcpt(&mut self, rcpt: RcptTo<'_>) {
        let recipients_max = self.rules.recipients_max;
        let Some(transaction) = self.transaction.as_mut() else {
            return self.reply(MAIL_FIRST);
        };
        if transaction.chunks.is_some() {
            return self.reply("503 5.5.1 The message has begun");
        }
        let envelope = &mut transaction.envelope;
        if rcpt.utf8 && !envelope.smtputf8 {
            return self.reply(CommandError::NeedsSmtpUtf8.reply());
        }
        if envelope.recipients.len() >= recipients_max {
            return self.reply("452 4.5.3 Too many recipients; send the rest in another message");
        }
        let recipient = Recipient {
            address: rcpt.address,
            notify: rcpt.notify,
            original: rcpt.original.map(str::to_owned),
        };
        if !self.role.identity_required {
            self.phase = Phase::Recipient(Box::new(recipient));
            return;
        }
        envelope.recipients.push(recipient);
        self.reply("250 2.1.5 ok");
    }

    fn data(&mut self) {
        let reply = match self.transaction.as_deref() {
            None => MAIL_FIRST,
            Some(mail) if mail.chunks.is_some() => "503 5.5.1 The message comes by BDAT",
            Some(mail) if mail.envelope.recipients.is_empty() => NO_RECIPIENTS,
            Some(_) => {
                self.phase = Phase::Data(DataDecoder::new(self.rules.message_bytes_max));
                "354 End the message with a dot alone on a line"
            }
        };
        self.reply(reply);
    }

    /// RFC 3030 §2: the octets come whatever the answer is, so they are taken first.
    fn bdat(&mut self, octets: u64, last: bool) {
        let octets_max = self.rules.message_bytes_max;
        let trouble = match self.transaction.as_deref_mut() {
            None => MAIL_FIRST,
            Some(mail) if mail.envelope.recipients.is_empty() => NO_RECIPIENTS,
            Some(mail) => {
                let chunks = mail.chunks.get_or_insert_with(|| ChunkDecoder::new(octets_max));
                if chunks.received().saturating_add(octets) <= octets_max {
                    chunks.start(octets);
                    self.phase = Phase::Chunk { last };
                    return;
                }
                TOO_BIG
            }
        };
        self.transaction = None;
        if octets > octets_max.saturating_add(SWALLOW_BYTES_MAX) {
            return self.cut(trouble);
        }
        self.phase = Phase::Swallow { left: octets, reply: trouble };
    }

    fn auth(&mut self, mechanism: Mechanism, initial: Option<&str>) {
        if !self.role.identity_required {
            return self.reply(CommandError::NotOffered.reply());
        }
        if self.tls.is_none() {
            return self.reply("538 5.7.11 Encryption is required: say STARTTLS first");
        }
        if self.ehlo.is_none() || !self.extended {
            return self.reply("503 5.5.1 Say EHLO first");
        }
        if self.authenticated.is_some() || self.transaction.is_some() {
            return self.reply("503 5.5.1 Not now: signed in already, or in a message");
        }
        self.sasl_step(Sasl::begin(mechanism, initial));
    }

    pub(super) fn start_tls(&mut self, more_follows: bool) {
        if self.tls.is_some() {
            return self.reply("503 5.5.1 TLS is active already");
        }
        self.transaction = None;
        if more_follows {
            return self.cut("554 5.5.1 Nothing may follow STARTTLS before the handshake");
        }
        self.phase = Phase::Tls;
        self.reply("220 2.0.0 Go ahead");
    }
}
