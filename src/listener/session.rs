//! One SMTP session as a pure machine: octets in, replies and steps for the world out.
//!
//! Owns:       the order of commands, the envelope, the buffers of one client.
//! Promises:   a split of the input at any octet changes nothing; every end of a mail, good or
//!             bad, drops the envelope (A6); nothing said before STARTTLS survives it (A3);
//!             memory stays bounded whatever the client sends.
//! Knows not:  sockets, clocks, who may send.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Buf, BytesMut};

use super::sasl::{Sasl, SaslStep, Secret};
use crate::accept::{Received, Refusal, Submission};
use crate::auth::Identity;
use crate::model::limits::COMMAND_LINE_BYTES_MAX;
use crate::model::*;
use crate::wire::command::{Command, CommandError};
use crate::wire::data::{ChunkDecoder, DataDecoder};

/// What is wanted of those who come to one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// For logs and metrics.
    pub name: &'static str,
    /// AUTH is offered (under TLS), and MAIL needs it or a trusted network (A10).
    pub identity_required: bool,
}

impl Role {
    pub const SUBMISSION: Role = Role { name: "submission", identity_required: true };
    /// Mail from outside: nobody signs in, and each recipient is asked about.
    pub const INBOUND: Role = Role { name: "inbound", identity_required: false };
}

/// The numbers of one session.
#[derive(Clone, Debug)]
pub struct Rules {
    pub host_name: String,
    pub message_bytes_max: u64,
    pub recipients_max: usize,
    pub errors_max: u32,
    pub commands_per_minute_max: u32,
}

/// What the machine waits for.
#[derive(Debug)]
pub enum Step {
    /// Write what `output` holds; there is more to do before anything is read.
    Write,
    /// Write what `output` holds, read into `room`.
    Read,
    /// May this sender send? See `in_question`; answered by `sender_checked`.
    CheckSender,
    /// Is the recipient one of ours? See `recipient_in_question`; answered by
    /// `recipient_checked`.
    CheckRecipient,
    /// Write, then ask who it is; answered by `verified`.
    Verify { user: String, password: Secret },
    /// Answered by `submitted`.
    Submit(Box<Submission>),
    /// Answered by `received`.
    Receive(Box<Received>),
    /// Write, shake hands; answered by `secured`.
    StartTls,
    /// Write, close.
    Close,
}

/// Who it turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Known(Identity),
    /// Wrong in whatever way: the client is never told which (A11).
    Refused,
    Unavailable,
}

/// What happened since the tally was taken last; for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub commands: u64,
    pub refused: u64,
    pub accepted: u64,
    pub accepted_bytes: u64,
}

/// AUTH attempts that may fail before the session is cut.
const AUTH_FAILURES_MAX: u32 = 3;
/// Replies that wait for a write; far more than an honest pipeline makes.
const OUTPUT_BYTES_MAX: usize = 16 * 1024;
/// A read while commands are awaited, and the least while a body comes in.
const READ_BYTES: usize = 2 * 1024;
const BODY_READ_BYTES: usize = 16 * 1024;
/// A client that declares its size gets the room at once, up to here.
const BODY_AHEAD_BYTES_MAX: u64 = 256 * 1024;

#[derive(Debug)]
pub(super) enum Phase {
    Command,
    Sasl(Sasl),
    Data(DataDecoder),
    Chunk {
        last: bool,
    },
    /// The octets of a chunk that was refused, before the reply to it.
    Swallow {
        left: u64,
        reply: &'static str,
    },
    /// The world has been asked and has not answered yet.
    Sender(Box<Transaction>),
    Recipient(Box<Recipient>),
    Asked,
    Verify {
        user: String,
        password: Secret,
    },
    Tls,
    Closing,
}

/// A mail on its way in.
#[derive(Debug)]
pub(super) struct Transaction {
    pub envelope: Envelope,
    pub declared: Option<u64>,
    /// From the first BDAT on.
    pub chunks: Option<ChunkDecoder>,
}

#[derive(Debug)]
pub struct Session {
    pub(super) role: Role,
    pub(super) rules: Arc<Rules>,
    pub(super) peer: IpAddr,
    pub(super) tls: Option<String>,
    /// Whom the client's network stands for.
    trusted: Option<Identity>,
    pub(super) authenticated: Option<Identity>,
    pub(super) ehlo: Option<String>,
    pub(super) extended: bool,
    pub(super) transaction: Option<Box<Transaction>>,
    pub(super) phase: Phase,
    pub(super) input: BytesMut,
    pub(super) output: BytesMut,
    errors: u32,
    auth_failures: u32,
    commands_left: u32,
    draining: bool,
    goodbye: bool,
    pub(super) turns: u64,
    /// Of the mail that was submitted last.
    pub(super) mail_bytes: u64,
    pub(super) tally: Tally,
}

impl Session {
    /// A client that has just connected: the greeting stands in `output`. `tls` describes the
    /// connection when it is under TLS already.
    pub fn new(
        role: Role,
        rules: Arc<Rules>,
        peer: IpAddr,
        trusted: Option<Identity>,
        tls: Option<String>,
    ) -> Session {
        let mut session = Session {
            role,
            commands_left: rules.commands_per_minute_max,
            rules,
            peer,
            tls,
            trusted,
            authenticated: None,
            ehlo: None,
            extended: false,
            transaction: None,
            phase: Phase::Command,
            input: BytesMut::new(),
            output: BytesMut::new(),
            errors: 0,
            auth_failures: 0,
            draining: false,
            goodbye: false,
            turns: 0,
            mail_bytes: 0,
            tally: Tally::default(),
        };
        let greeting = format!("220 {} ESMTP Postroad", session.rules.host_name);
        session.reply(&greeting);
        session
    }

    /// Works off what was read, up to the next thing that only the world can do.
    pub fn step(&mut self) -> Step {
        loop {
            if self.output.len() >= OUTPUT_BYTES_MAX {
                return Step::Write;
            }
            match std::mem::replace(&mut self.phase, Phase::Asked) {
                Phase::Command if self.draining && self.may_leave() => self.leave(),
                Phase::Command => {
                    self.phase = Phase::Command;
                    if !self.read_line(None) {
                        return Step::Read;
                    }
                }
                Phase::Sasl(_) if self.draining => self.leave(),
                Phase::Sasl(sasl) => {
                    if !self.read_line(Some(sasl)) {
                        return Step::Read;
                    }
                }
                Phase::Data(decoder) => {
                    if let Some(step) = self.read_data(decoder) {
                        return step;
                    }
                }
                Phase::Chunk { last } => {
                    if let Some(step) = self.read_chunk(last) {
                        return step;
                    }
                }
                Phase::Swallow { left, reply } => {
                    if !self.swallow(left, reply) {
                        return Step::Read;
                    }
                }
                Phase::Sender(transaction) => {
                    self.phase = Phase::Sender(transaction);
                    return Step::CheckSender;
                }
                Phase::Recipient(recipient) => {
                    self.phase = Phase::Recipient(recipient);
                    return Step::CheckRecipient;
                }
                Phase::Verify { user, password } => return Step::Verify { user, password },
                // The world owes an answer. It is not stepped before it has given it; if it were,
                // closing would be the harmless thing.
                Phase::Asked => return Step::Close,
                Phase::Tls => return Step::StartTls,
                Phase::Closing => {
                    self.phase = Phase::Closing;
                    return Step::Close;
                }
            }
        }
    }

    /// Where the next read goes; always with room to spare.
    pub fn room(&mut self) -> &mut BytesMut {
        let wanted = match &self.phase {
            Phase::Data(_) if self.input.is_empty() => {
                let declared = self.transaction.as_ref().and_then(|mail| mail.declared);
                // The dots that are stuffed and the end mark come on top of what was declared.
                declared.map_or(BODY_READ_BYTES, |octets| ahead(octets.saturating_add(512)))
            }
            Phase::Data(_) => BODY_READ_BYTES / 2,
            Phase::Chunk { .. } => ahead(self.chunks().map_or(0, ChunkDecoder::missing)),
            Phase::Swallow { .. } => BODY_READ_BYTES,
            _ => READ_BYTES,
        };
        if self.input.capacity() - self.input.len() < wanted {
            self.input.reserve(wanted);
        }
        &mut self.input
    }

    /// For tests, and for octets that were read elsewhere.
    pub fn feed(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
    }

    /// Replies to be written, in order; the writer empties it.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Grows with each command and each mail: a deadline runs anew when it has moved.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// Octets of the present body, while one is coming in.
    pub fn body_received(&self) -> Option<u64> {
        match &self.phase {
            Phase::Data(decoder) => Some(decoder.received()),
            Phase::Chunk { .. } => self.chunks().map(ChunkDecoder::received),
            _ => None,
        }
    }

    pub(super) fn chunks(&self) -> Option<&ChunkDecoder> {
        self.transaction.as_ref().and_then(|mail| mail.chunks.as_ref())
    }

    /// A minute has passed: the client may say its number of commands again.
    pub fn minute_passed(&mut self) {
        self.commands_left = self.rules.commands_per_minute_max;
    }

    /// The daemon stops, or the session has lasted too long: a body under way is finished, and
    /// then, or at once, the session ends with 421.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Ends the session now, with this reply.
    pub fn cut(&mut self, reply: &str) {
        self.reply(reply);
        self.phase = Phase::Closing;
    }

    /// The client said QUIT, so it reads the last reply and expects nothing more.
    pub fn said_goodbye(&self) -> bool {
        self.goodbye
    }

    pub(super) fn say_goodbye(&mut self) {
        self.goodbye = true;
        self.cut("221 2.0.0 Goodbye");
    }

    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    pub fn identity(&self) -> Option<&Identity> {
        self.authenticated.as_ref().or(self.trusted.as_ref())
    }

    pub fn verified(&mut self, verdict: Verdict) {
        self.phase = Phase::Command;
        match verdict {
            Verdict::Known(identity) => {
                self.authenticated = Some(identity);
                self.reply("235 2.7.0 Authentication succeeded");
            }
            Verdict::Refused => {
                self.auth_failures += 1;
                self.reply("535 5.7.8 Authentication failed");
                if self.auth_failures >= AUTH_FAILURES_MAX {
                    self.phase = Phase::Closing;
                }
            }
            Verdict::Unavailable => {
                self.reply("454 4.7.0 Authentication is not possible now; try again later");
            }
        }
    }

    /// The handshake is done: all that was said before it is forgotten (RFC 3207 §4.2).
    pub fn secured(&mut self, tls: String) {
        self.tls = Some(tls);
        self.ehlo = None;
        self.authenticated = None;
        self.transaction = None;
        self.input.clear();
        self.phase = Phase::Command;
    }

    pub fn submitted(&mut self, answer: Result<MessageId, Refusal>) {
        self.phase = Phase::Command;
        match answer {
            Ok(id) => {
                self.tally.accepted += 1;
                self.tally.accepted_bytes += self.mail_bytes;
                self.reply(&format!("250 2.0.0 queued as {id}"));
            }
            Err(refusal) => self.refuse(&refusal),
        }
    }

    pub(super) fn refuse(&mut self, refusal: &Refusal) {
        self.reply(&harmless(&refusal.to_string()));
    }

    /// Adds a reply; a permanent one counts as an error of the client.
    pub(super) fn reply(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
        match line.as_bytes().first() {
            Some(b'5') => {
                self.tally.refused += 1;
                self.errors += 1;
            }
            Some(b'4') => self.tally.refused += 1,
            _ => {}
        }
        if self.errors > self.rules.errors_max {
            self.errors = 0;
            self.cut("421 4.7.0 Too many errors");
        }
    }

    /// A mail whose chunks are coming in is finished first, and so is a body.
    fn may_leave(&self) -> bool {
        self.chunks().is_none()
    }

    fn leave(&mut self) {
        self.cut("421 4.3.2 The service closes this connection; come again");
    }

    /// Takes a line out of the input and answers it; false when there is none yet.
    fn read_line(&mut self, sasl: Option<Sasl>) -> bool {
        let end = memchr::memchr(b'\n', &self.input);
        let length = end.map_or(self.input.len(), |end| end + 1);
        if length > COMMAND_LINE_BYTES_MAX {
            self.cut("500 5.5.2 The line is too long");
            return true;
        }
        let Some(end) = end else {
            // An exchange that is under way goes on when its line is there.
            self.phase = sasl.map_or(Phase::Command, Phase::Sasl);
            return false;
        };
        self.turns += 1;
        self.tally.commands += 1;
        let mut input = std::mem::take(&mut self.input);
        match input[..end].strip_suffix(b"\r") {
            // What a bare LF divides might be one line to a proxy in front of us (A1).
            None => self.cut("500 5.5.2 Lines end with CR LF"),
            Some(_) if self.commands_left == 0 => self.cut("421 4.7.0 Too many commands a minute"),
            Some(line) => self.answer_line(line, sasl, input.len() > length),
        }
        input.advance(length);
        self.input = input;
        true
    }

    fn answer_line(&mut self, line: &[u8], sasl: Option<Sasl>, more_follows: bool) {
        self.commands_left -= 1;
        self.phase = Phase::Command;
        if let Some(sasl) = sasl {
            return self.sasl_step(sasl.read(line));
        }
        match Command::parse(line) {
            Ok(Command::StartTls) => self.start_tls(more_follows),
            Ok(command) => self.answer(command),
            Err(error) => self.answer_mistake(&error),
        }
    }

    fn answer_mistake(&mut self, error: &CommandError) {
        self.reply(error.reply());
        if error.ends_session() {
            self.transaction = None;
            self.phase = Phase::Closing;
        }
    }

    pub(super) fn sasl_step(&mut self, step: SaslStep) {
        match step {
            SaslStep::Ask(challenge, sasl) => {
                self.reply(&format!("334 {challenge}"));
                self.phase = Phase::Sasl(sasl);
            }
            SaslStep::Verify { user, password } => self.phase = Phase::Verify { user, password },
            SaslStep::Cancelled => self.reply("501 5.7.0 Authentication cancelled"),
            SaslStep::Malformed => self.reply("501 5.5.2 Cannot read that response"),
        }
    }
}

/// At least a page-worth, at most what a client gets on its word alone.
fn ahead(octets: u64) -> usize {
    let octets = octets.clamp(READ_BYTES as u64, BODY_AHEAD_BYTES_MAX);
    usize::try_from(octets).unwrap_or(BODY_READ_BYTES)
}

/// One line that fits into a reply (RFC 5321 §4.5.3.1.5), without control characters.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(480).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::body::TOO_BIG;
    use proptest::prelude::*;

    fn somebody() -> Identity {
        Identity {
            credential: Some(CredentialId(1)),
            name: "app".into(),
            organization: OrganizationId(1),
            stream: StreamId(1),
            rules: Default::default(),
        }
    }

    fn rules() -> Rules {
        Rules {
            host_name: "mx.example".into(),
            message_bytes_max: 60,
            recipients_max: 3,
            errors_max: 1000,
            commands_per_minute_max: 100_000,
        }
    }

    /// A world that answers every question at once, and writes down what it saw.
    struct World {
        session: Session,
        /// Replies and submitted mails, in order.
        story: Vec<String>,
        ended: bool,
        submitted: i64,
    }

    impl World {
        fn new(trusted: bool, tls: bool, rules: Rules) -> World {
            let trusted = trusted.then(somebody);
            let tls = tls.then(|| "TLSv1.3".to_owned());
            let peer = "192.0.2.1".parse().expect("an address");
            let session = Session::new(Role::SUBMISSION, Arc::new(rules), peer, trusted, tls);
            let mut world = World { session, story: vec![], ended: false, submitted: 0 };
            world.run();
            world.story.clear();
            world
        }

        fn trusted() -> World {
            World::new(true, false, rules())
        }

        fn say(&mut self, octets: impl AsRef<[u8]>) -> &mut World {
            if !self.ended {
                assert!(self.session.room().spare_capacity_mut().len() >= READ_BYTES);
                self.session.feed(octets.as_ref());
                self.run();
            }
            self
        }

        fn run(&mut self) {
            loop {
                let step = self.session.step();
                assert!(self.session.output.len() < OUTPUT_BYTES_MAX + 1024);
                let output = self.session.output().split();
                let text = String::from_utf8(output.to_vec()).expect("replies are text");
                self.story.extend(text.split_terminator("\r\n").map(str::to_owned));
                match step {
                    Step::Write => assert!(!text.is_empty(), "nothing to write"),
                    Step::Read => return,
                    Step::CheckSender => {
                        let (_, sender, _) = self.session.in_question().expect("a question");
                        let bad = sender.to_string().starts_with("bad");
                        let refusal = Refusal {
                            code: 550,
                            enhanced: Enhanced(5, 7, 1),
                            text: "not\r\nyours".into(),
                            retry_after: None,
                        };
                        self.session.sender_checked(if bad { Err(refusal) } else { Ok(()) });
                    }
                    Step::CheckRecipient => {
                        let known = self
                            .session
                            .recipient_in_question()
                            .is_some_and(|address| address.local() == "known");
                        let refusal = Refusal::new(550, Enhanced(5, 1, 1), "nobody");
                        self.session.recipient_checked(if known { Ok(()) } else { Err(refusal) });
                    }
                    Step::Receive(received) => {
                        self.story.push(format!("in {}", received.arrival.protocol));
                        self.submitted += 1;
                        self.session.received(Ok(()));
                    }
                    Step::Verify { user, password } => {
                        let right = user == "app" && password.expose() == "right";
                        self.session.verified(match right {
                            true => Verdict::Known(somebody()),
                            false => Verdict::Refused,
                        });
                    }
                    Step::Submit(submission) => self.submit(&submission),
                    Step::StartTls => {
                        self.story.push("handshake".into());
                        return self.session.secured("TLSv1.3".into());
                    }
                    Step::Close => {
                        self.ended = true;
                        return;
                    }
                }
            }
        }

        fn submit(&mut self, submission: &Submission) {
            self.submitted += 1;
            let recipients: Vec<_> =
                submission.envelope.recipients.iter().map(|r| r.address.to_string()).collect();
            self.story.push(format!(
                "{} {} > {} {}: {:?}",
                submission.arrival.protocol,
                submission.envelope.sender,
                recipients.join(" "),
                if submission.envelope.eight_bit { "8" } else { "7" },
                String::from_utf8_lossy(&submission.mail)
            ));
            self.session.submitted(Ok(MessageId(self.submitted)));
        }

        /// The story, each reply cut to its code.
        fn codes(&self) -> Vec<&str> {
            self.story.iter().map(|line| line.split([' ', '-']).next().unwrap_or("")).collect()
        }
    }

    const ENVELOPE: &str = "EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n";

    #[test]
    fn a_pipelined_mail_is_taken_in_one_breath() {
        let mut world = World::trusted();
        world.say("HELO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n");
        assert_eq!(world.codes(), ["250", "250", "250", "354"]);
        world.story.clear();
        world.say("A: b\r\n\r\n..\r\n.\r\nQUIT\r\n");
        assert_eq!(world.story[0], "SMTP a@b.example > c@d.example 7: \"A: b\\r\\n\\r\\n.\\r\\n\"");
        assert_eq!(world.story[1], "250 2.0.0 queued as 1");
        assert_eq!(world.codes()[2..], ["221"]);
        assert!(world.ended);
        let tally = world.session.take_tally();
        assert_eq!((tally.accepted, tally.accepted_bytes, tally.commands), (1, 11, 5));
    }

    #[test]
    fn only_what_is_honoured_is_announced_and_auth_only_under_tls() {
        let mut world = World::trusted();
        let clear = world.say("EHLO a\r\n").story.join("\n");
        assert!(clear.contains("250-STARTTLS") && !clear.contains("AUTH"));
        let mut world = World::new(false, true, rules());
        let secured = world.say("EHLO a\r\n").story.join("\n");
        assert!(secured.contains("250-AUTH PLAIN LOGIN") && !secured.contains("STARTTLS"));
        for keyword in ["PIPELINING", "SIZE 60", "8BITMIME", "SMTPUTF8", "CHUNKING", "DSN"] {
            assert!(secured.contains(keyword), "{keyword}");
        }
        assert!(secured.ends_with("250 ENHANCEDSTATUSCODES"));
    }

    #[test]
    fn from_outside_each_recipient_is_asked_about_and_nobody_signs_in() {
        let mut world = World::trusted();
        let peer = "192.0.2.1".parse().expect("an address");
        world.session = Session::new(Role::INBOUND, Arc::new(rules()), peer, None, None);
        let said = world.say("EHLO a\r\n").story.join("\n");
        assert!(!said.contains("AUTH") && said.contains("STARTTLS"));
        world.story.clear();
        world.say(
            "AUTH PLAIN AGFwcAByaWdodA==\r\nMAIL FROM:<>\r\nRCPT TO:<x@d.example>\r\nDATA\r\n",
        );
        assert_eq!(world.codes(), ["502", "250", "550", "554"]);
        world.story.clear();
        world.say("RCPT TO:<known@d.example>\r\nRCPT TO:<x@d.example>\r\nDATA\r\nx\r\n.\r\n");
        assert_eq!(world.codes(), ["250", "550", "354", "in", "250"]);
        assert_eq!((world.story[3].as_str(), world.submitted), ("in ESMTP", 1));
    }

    #[test]
    fn a_stranger_must_sign_in_and_only_under_tls() {
        let mut world = World::new(false, false, rules());
        world.say("EHLO a\r\nMAIL FROM:<a@b.example>\r\nAUTH PLAIN AGFwcAByaWdodA==\r\n");
        let tail: Vec<_> = world.codes().into_iter().rev().take(2).collect();
        assert_eq!(tail, ["538", "530"]);
        world.story.clear();
        world.say("STARTTLS\r\n").say("MAIL FROM:<a@b.example>\r\n");
        assert_eq!(world.codes(), ["220", "handshake", "503"]);
        world.say("EHLO a\r\n").story.clear();
        world.say("AUTH PLAIN\r\n").say("AGFwcAByaWdodA==\r\n");
        world.say("AUTH PLAIN AGFwcAByaWdodA==\r\n");
        world.say("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nx\r\n.\r\n");
        assert_eq!(world.codes()[..6], ["334", "235", "503", "250", "250", "354"]);
        assert!(world.story[6].starts_with("ESMTPSA "));
    }

    #[test]
    fn every_wrong_secret_gets_the_same_answer_and_the_third_ends_the_session() {
        let mut world = World::new(false, true, rules());
        world.say("EHLO a\r\n").story.clear();
        for user in ["AGFwcAB3cm9uZw==", "AG5vYm9keQB4", "AAA="] {
            world.say(format!("AUTH PLAIN {user}\r\n"));
        }
        assert_eq!(world.story, ["535 5.7.8 Authentication failed"; 3]);
        assert!(world.ended);
    }

    #[test]
    fn what_is_pipelined_behind_starttls_is_never_carried_out() {
        let mut world = World::new(false, false, rules());
        world.say("EHLO a\r\n").story.clear();
        world.say("STARTTLS\r\nEHLO b\r\nNOOP\r\n");
        assert_eq!(world.codes(), ["554"]);
        assert!(world.ended);
    }

    #[test]
    fn every_end_of_a_mail_drops_the_envelope() {
        for body in ["DATA\r\nx\r\n.\r\n", "DATA\r\nx\ny\r\n.\r\n", "BDAT 1 LAST\r\nx"] {
            let mut world = World::trusted();
            world.say(ENVELOPE).say(body).say("DATA\r\n");
            assert_eq!(world.codes().last(), Some(&"503"), "{body:?}");
        }
        let mut world = World::trusted();
        world.say(ENVELOPE).say(format!("DATA\r\n{}\r\n.\r\n", "x".repeat(61)));
        assert_eq!(world.codes().last(), Some(&"552"));
        world.say("RCPT TO:<c@d.example>\r\n");
        assert_eq!(world.codes().last(), Some(&"503"));
    }

    #[test]
    fn vrfy_in_the_midst_of_a_mail_changes_nothing() {
        let mut world = World::trusted();
        world.say(ENVELOPE).say("VRFY x\r\nDATA\r\nx\r\n.\r\n");
        assert_eq!(world.submitted, 1);
    }

    #[test]
    fn refused_chunks_are_swallowed_and_never_read_as_commands() {
        let mut world = World::trusted();
        world.say("EHLO a\r\n").story.clear();
        world.say("BDAT 6\r\nNOOP\r\nBDAT 6 LAST\r\nQUIT\r\n");
        assert_eq!(world.codes(), ["503", "503"]);
        world.story.clear();
        world.say(&ENVELOPE[8..]).say(format!("BDAT 61 LAST\r\n{}NOOP\r\n", "x".repeat(61)));
        assert_eq!(world.codes(), ["250", "250", "552", "250"]);
        world.story.clear();
        world.say(&ENVELOPE[8..]).say("BDAT 9\r\na\r\nb\nc\r\ndBDAT 2 LAST\r\n\r\n");
        assert_eq!(world.codes(), ["250", "250", "554", "503"]);
        world.say("BDAT 99999999999\r\n");
        assert!(world.ended);
        assert_eq!(world.submitted, 0);
    }

    #[test]
    fn chunks_make_one_mail() {
        let mut world = World::trusted();
        world.say(ENVELOPE).story.clear();
        world.say(
            "BDAT 4\r\na: bBDAT 0\r\nDATA\r\nRCPT TO:<e@f.example>\r\nBDAT 4 LAST\r\n\r\n\r\n",
        );
        assert_eq!(world.codes()[..4], ["250", "250", "503", "503"]);
        assert_eq!(world.story[4], "ESMTP a@b.example > c@d.example 7: \"a: b\\r\\n\\r\\n\"");
    }

    #[test]
    fn too_many_recipients_too_large_a_size_and_foreign_senders_are_refused() {
        let mut world = World::trusted();
        world.say("EHLO a\r\n").story.clear();
        world.say("MAIL FROM:<a@b.example> SIZE=61\r\nMAIL FROM:<bad@b.example>\r\n");
        assert_eq!(world.story, [TOO_BIG, "550 5.7.1 not??yours"]);
        world.story.clear();
        world.say("MAIL FROM:<a@b.example> SIZE=60\r\n").say("RCPT TO:<c@d.example>\r\n".repeat(4));
        assert_eq!(world.codes(), ["250", "250", "250", "250", "452"]);
    }

    #[test]
    fn smtputf8_addresses_need_the_word_at_mail() {
        let mut world = World::trusted();
        world.say(ENVELOPE).say("RCPT TO:<ü@d.example>\r\nRSET\r\n").story.clear();
        world
            .say("MAIL FROM:<a@b.example> SMTPUTF8\r\nRCPT TO:<ü@d.example>\r\nDATA\r\nü\r\n.\r\n");
        assert_eq!(world.codes()[..3], ["250", "250", "354"]);
        assert!(world.story[3].starts_with("UTF8SMTP a@b.example > ü@d.example 8:"));
    }

    #[test]
    fn lines_that_are_too_long_or_end_in_a_bare_lf_end_the_session() {
        let mut world = World::trusted();
        world.say(vec![b'x'; 4096]).say("x");
        assert_eq!(world.codes(), ["500"]);
        assert!(world.ended);
        let mut world = World::trusted();
        world.say("NOOP\nRSET\r\n");
        assert_eq!(world.codes(), ["500"]);
        assert!(world.ended);
    }

    #[test]
    fn many_errors_or_commands_end_the_session() {
        let mut world = World::new(true, false, Rules { errors_max: 3, ..rules() });
        world.say("FOO\r\n".repeat(9));
        assert_eq!(world.codes(), ["500", "500", "500", "500", "421"]);
        assert!(world.ended);
        let mut world = World::new(true, false, Rules { commands_per_minute_max: 3, ..rules() });
        world.say("NOOP\r\n".repeat(3));
        world.session.minute_passed();
        world.say("NOOP\r\n".repeat(4));
        assert_eq!(world.codes().last(), Some(&"421"));
        assert_eq!(world.story.len(), 7);
    }

    #[test]
    fn draining_lets_a_body_finish_and_cuts_the_rest() {
        let mut world = World::trusted();
        world.say(ENVELOPE).say("DATA\r\nx\r\n").session.drain();
        world.say("y\r\n.\r\nNOOP\r\n");
        assert_eq!(world.submitted, 1);
        assert_eq!(world.codes()[world.story.len() - 2..], ["250", "421"]);
        let mut world = World::trusted();
        world.say(ENVELOPE).session.drain();
        world.run();
        assert_eq!(world.codes().last(), Some(&"421"));
        assert!(world.ended);
    }

    #[test]
    fn an_idle_session_gives_its_memory_back() {
        let wide = Rules { message_bytes_max: 10_000_000, ..rules() };
        let mut world = World::new(true, false, wide);
        world.say(ENVELOPE).say("DATA\r\n").say("x".repeat(5_000_000)).say("\r\n.\r\n");
        assert_eq!(world.submitted, 1);
        assert!(world.session.room().capacity() <= 2 * READ_BYTES);
    }

    /// What a client says, with what it means.
    #[derive(Clone, Debug)]
    enum Word {
        Ehlo,
        Mail { bad: bool },
        Rcpt,
        Data { body: String },
        Bdat { chunk: String, last: bool },
        Rset,
        Noop,
        Vrfy,
        Rubbish,
    }

    impl Word {
        /// A client that does not wait sends the body after DATA only when it was let in.
        fn octets(&self, data_goes: bool) -> String {
            match self {
                Word::Ehlo => "HELO a\r\n".into(),
                Word::Mail { bad: true } => "MAIL FROM:<bad@b.example>\r\n".into(),
                Word::Mail { bad: false } => "MAIL FROM:<a@b.example>\r\n".into(),
                Word::Rcpt => "RCPT TO:<c@d.example>\r\n".into(),
                Word::Data { body } if data_goes => format!("DATA\r\n{body}\r\n.\r\n"),
                Word::Data { .. } => "DATA\r\n".into(),
                Word::Bdat { chunk, last } => {
                    format!("BDAT {}{}\r\n{chunk}", chunk.len(), if *last { " LAST" } else { "" })
                }
                Word::Rset => "RSET\r\n".into(),
                Word::Noop => "NOOP\r\n".into(),
                Word::Vrfy => "VRFY a\r\n".into(),
                Word::Rubbish => "MAIL RCPT\r\n".into(),
            }
        }
    }

    /// The slow model: the session as RFC 5321 tells it, over words instead of octets.
    #[derive(Default)]
    struct Model {
        greeted: bool,
        /// Recipients, once there is a sender.
        recipients: Option<usize>,
        chunks: Option<String>,
        submitted: i64,
    }

    impl Model {
        fn hear(&mut self, word: &Word) -> (Vec<&'static str>, bool) {
            let reply = |code| (vec![code], false);
            match word {
                Word::Ehlo => {
                    self.forget();
                    self.greeted = true;
                    reply("250")
                }
                Word::Mail { .. } if !self.greeted || self.recipients.is_some() => reply("503"),
                Word::Mail { bad: true } => reply("550"),
                Word::Mail { bad: false } => {
                    self.recipients = Some(0);
                    reply("250")
                }
                Word::Rcpt => reply(match &mut self.recipients {
                    Some(_) if self.chunks.is_some() => "503",
                    None => "503",
                    Some(3) => "452",
                    Some(count) => {
                        *count += 1;
                        "250"
                    }
                }),
                Word::Data { body } => match self.recipients {
                    Some(_) if self.chunks.is_some() => reply("503"),
                    None => reply("503"),
                    Some(0) => reply("554"),
                    Some(_) => {
                        let end = self.end(&format!("{body}\r\n"), true);
                        (["354"].into_iter().chain(end).collect(), true)
                    }
                },
                Word::Bdat { chunk, last } => (self.bdat(chunk, *last), false),
                Word::Rset => {
                    self.forget();
                    reply("250")
                }
                Word::Noop => reply("250"),
                Word::Vrfy => reply("252"),
                Word::Rubbish => reply("501"),
            }
        }

        fn bdat(&mut self, chunk: &str, last: bool) -> Vec<&'static str> {
            match self.recipients {
                None => return vec!["503"],
                Some(0) => {
                    self.forget();
                    return vec!["554"];
                }
                Some(_) => {}
            }
            let mail = self.chunks.take().unwrap_or_default() + chunk;
            if mail.len() > 60 {
                self.forget();
                return vec!["552"];
            }
            let bare = mail.replace("\r\n", "");
            let half = !last && bare.ends_with('\r') && mail.ends_with('\r');
            let bare = if half { &bare[..bare.len() - 1] } else { &bare[..] };
            if last || bare.contains(['\r', '\n']) {
                return self.end(&mail, false);
            }
            self.chunks = Some(mail);
            vec!["250"]
        }

        fn end(&mut self, mail: &str, dotted: bool) -> Vec<&'static str> {
            self.forget();
            let length = if dotted { mail.len() - mail.matches("\n.").count() } else { mail.len() };
            if mail.replace("\r\n", "").contains(['\r', '\n']) {
                return vec!["554"];
            }
            if length - usize::from(dotted && mail.starts_with('.')) > 60 {
                return vec!["552"];
            }
            self.submitted += 1;
            vec!["SMTP", "250"]
        }

        fn forget(&mut self) {
            self.recipients = None;
            self.chunks = None;
        }
    }

    fn word() -> impl Strategy<Value = Word> {
        let text = "([ab]|\r\n|[ab]{9}|\r|\n){0,9}";
        prop_oneof![
            2 => Just(Word::Ehlo),
            6 => prop::bool::weighted(0.1).prop_map(|bad| Word::Mail { bad }),
            8 => Just(Word::Rcpt),
            4 => text.prop_map(|body| Word::Data { body }),
            4 => (text, any::<bool>()).prop_map(|(chunk, last)| Word::Bdat { chunk, last }),
            1 => Just(Word::Rset),
            1 => Just(Word::Noop),
            1 => Just(Word::Vrfy),
            1 => Just(Word::Rubbish),
        ]
    }

    const TOKENS: &[&str] = &[
        "EHLO a\r\n",
        "MAIL FROM:<a@b.example>",
        "RCPT TO:<c@d.example>",
        "\r\n",
        "DATA\r\n",
        "BDAT 5",
        " LAST",
        "BDAT 0",
        "RSET\r\n",
        "QUIT\r\n",
        ".\r\n",
        "\r\n.\r\n",
        "\r",
        "\n",
        "\0",
        "AUTH PLAIN ",
        "AGFwcAByaWdodA==",
        "AUTH LOGIN\r\n",
        "*\r\n",
        "xxxxx",
        ".",
        " ",
        "VRFY a\r\n",
        " SIZE=50",
        " BODY=8BITMIME",
        " SMTPUTF8",
        "ü",
        "NOOP\r\n",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

        #[test]
        fn the_machine_answers_as_the_slow_model_does(
            words in prop::collection::vec(word(), 0..25),
            pieces in prop::collection::vec(1usize..200, 1..6),
        ) {
            let mut model = Model::default();
            let (mut wire, mut expected) = (String::new(), vec![]);
            for word in &words {
                let (codes, data_goes) = model.hear(word);
                wire += &word.octets(data_goes);
                expected.extend(codes);
            }
            let mut world = World::trusted();
            let (mut rest, mut pieces) = (wire.as_bytes(), pieces.into_iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(pieces.next().unwrap_or(1).min(rest.len()));
                world.say(piece);
                rest = after;
            }
            prop_assert_eq!(world.codes(), expected, "{:?}", wire);
            prop_assert_eq!(world.submitted, model.submitted);
        }

        #[test]
        fn any_split_of_any_octets_gives_the_same_story(
            tokens in prop::collection::vec(prop::sample::select(TOKENS), 0..40),
            noise in prop::collection::vec(any::<u8>(), 0..20),
            pieces in prop::collection::vec(1usize..30, 1..6),
            tls in any::<bool>(),
        ) {
            let mut wire = ENVELOPE.repeat(usize::from(noise.len() % 2 == 0)).into_bytes();
            wire.extend(tokens.concat().into_bytes());
            wire.extend(&noise);
            let mut whole = World::new(true, tls, rules());
            whole.say(&wire);
            let mut split = World::new(true, tls, rules());
            let (mut rest, mut pieces) = (&wire[..], pieces.into_iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(pieces.next().unwrap_or(1).min(rest.len()));
                split.say(piece);
                prop_assert!(split.session.input.len() <= COMMAND_LINE_BYTES_MAX + 200);
                rest = after;
            }
            prop_assert_eq!(&whole.story, &split.story);
            prop_assert_eq!(whole.ended, split.ended);
        }
    }
}
